"""Commands on one app of a pod of several, and volumes of compose files."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.support import pods

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person

_COMPOSE = """\
name: shop
services:
  db:
    image: box:1
    command: ["cat /data/file; echo kept > /data/file"]
    volumes: [data:/data, scratch:/scratch]
volumes: {data: {}}
"""


@pytest.fixture(scope="module")
def pair(person: Person) -> Iterator[str]:
    pods.start(
        *(person, "--network", "none", "--name", "pair", "--app", "a", "box:1", "echo a > /mine; sleep 600"),
        *("---", "--app", "b", "box:1", "echo b > /mine; sleep 600"),
    )
    yield "pair"
    pods.run_ok(person, "rm", "--force", "pair")


def test_files_of_an_app_are_copied(person: Person, pair: str) -> None:
    for app in ("a", "b"):
        pods.run_ok(
            person, "exec", "--app", app, pair, "sh", "-c", "while ! [ -s /mine ]; do sleep 0.1; done"
        )
        pods.run_ok(person, "cp", "--app", app, f"{pair}:/mine", f"mine-{app}")
        assert (person.home / f"mine-{app}").read_text() == f"{app}\n"
    process = person.pumice("cp", f"{pair}:/mine", "mine")
    assert process.returncode == 10
    assert process.stderr.endswith("hint: pass --app: a, b\n")


def test_an_app_is_exported_and_committed(person: Person, pair: str) -> None:
    pods.run_ok(person, "export", "--app", "b", "-o", "b.tar", pair)
    with tarfile.open(person.home / "b.tar") as archive:
        assert any(member.name.strip("./") == "mine" for member in archive)
    pods.run_ok(person, "commit", "--app", "b", pair, "committed:1")
    assert person.pumice("run", "--network", "none", "committed:1", "cat /mine").stdout == "b\n"


def test_each_app_has_a_line_in_stats(person: Person, pair: str) -> None:
    listed = json.loads(pods.run_ok(person, "stats", "--no-stream", "--json", pair))
    assert [row["name"] for row in listed] == ["pair/a", "pair/b"]
    assert all(row["pids"] >= 1 for row in listed)
    listed = json.loads(pods.run_ok(person, "stats", "--no-stream", "--json", "--app", "b", pair))
    assert [row["name"] for row in listed] == ["pair/b"]


def test_the_ports_of_a_pod_of_several_are_listed(person: Person, pair: str) -> None:
    assert pods.run_ok(person, "port", pair) == ""


def test_a_volume_that_a_compose_file_declares_outlives_the_pod(person: Person) -> None:
    (person.home / "compose.yaml").write_text(_COMPOSE)
    assert "kept" not in person.pumice("play", "--network", "none", "compose.yaml").stdout
    assert "kept" in person.pumice("play", "--network", "none", "compose.yaml").stdout
    assert "shop_data" in pods.run_ok(person, "volume", "ls")
    assert "scratch" not in pods.run_ok(person, "volume", "ls")
