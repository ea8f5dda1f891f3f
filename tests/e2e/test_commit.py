"""The command ``pumice commit``, and ``pumice export`` of a running pod."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.support import pods

if TYPE_CHECKING:
    from tests.support.people import Person

_CHANGES = (
    "echo new > /new; rm /bin/wc; rm -r /bin/yes; mkdir -p /a/b; echo c > /a/b/c; ln /a/b/c /a/d;"
    "ln -sf nowhere /etc/group; chmod 700 /tmp; touch /etc/passwd"
)


@pytest.fixture(scope="module")
def pod(person: Person) -> str:
    """A running pod that has changed its files."""
    pod = pods.start(person, "--tmpfs", "/volume", "box:1", f"{_CHANGES}; echo > /volume/f; {pods.READY}")
    pods.wait_for_log(person, "ready", pod)
    return pod


def members(data: bytes) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        return {info.name.removeprefix("./") or ".": info for info in archive}


def output(person: Person, *arguments: str) -> bytes:
    return subprocess.run(
        person.command(*arguments), env=person.environment(), capture_output=True, check=True
    ).stdout


def test_the_image_has_the_changes_as_its_last_layer(person: Person, pod: str) -> None:
    options = ("--change", 'CMD ["cat /new"]', "--message", "why")
    assert pods.run_ok(person, "commit", *options, pod, "changed").startswith("sha256:")
    layers = json.loads(pods.run_ok(person, "manifest", "changed"))["layers"]
    assert layers[:-1] == json.loads(pods.run_ok(person, "manifest", "box:1"))["layers"]
    layer = members(output(person, "blob", f"changed@{layers[-1]['digest']}"))
    assert sorted(layer) == [
        *(
            ".",
            "a",
            "a/b",
            "a/b/c",
            "a/d",
            "bin",
            "bin/.wh.wc",
            "bin/.wh.yes",
            "etc",
            "etc/group",
            "new",
            "tmp",
        )
    ]
    assert layer["a/d"].islnk()
    assert pods.run_ok(person, "run", "changed") == "new\n"
    script = "cat /a/d; ls /bin/wc /bin/yes /volume; ls -ld /tmp"
    process = person.pumice("run", "changed", script)
    assert process.stdout.startswith("c\ndrwx------")
    assert process.stderr.count("No such file") == 3


def test_an_unchanged_pod_adds_an_empty_layer(person: Person) -> None:
    pod = pods.start(person, "--user", "web", "box:1", "sleep 600")
    pods.run_ok(person, "commit", pod, "same:1")
    layers = json.loads(pods.run_ok(person, "manifest", "same:1"))["layers"]
    assert members(output(person, "blob", f"same:1@{layers[-1]['digest']}")) == {}
    pods.run_ok(person, "rm", "--force", pod)


def test_the_root_is_exported_without_mounts(person: Person, pod: str) -> None:
    pods.run_ok(person, "export", "-o", "root.tar", pod)
    exported = members((person.home / "root.tar").read_bytes())
    assert exported.keys() == members(output(person, "export", pod)).keys()
    assert {"a/b/c", "new", "bin/busybox", "volume", "proc", "dev"} <= exported.keys()
    assert not [name for name in exported if name.startswith(("proc/", "dev/", "sys/", "volume/"))]
    assert exported["etc/hosts"].size == 0
    assert exported["a/d"].islnk()
    assert exported["tmp"].mode & 0o7777 == 0o700


def test_names_that_would_remove_files_are_refused(person: Person) -> None:
    pod = pods.start(person, "box:1", f"echo > /tmp/.wh.passwd; {pods.READY}")
    pods.wait_for_log(person, "ready", pod)
    process = person.pumice("commit", pod, "evil:1")
    assert process.returncode == 8
    assert "an image cannot have the file 'tmp/.wh.passwd'" in process.stderr
    assert "evil:1" not in pods.run_ok(person, "images")


def test_only_running_pods_with_an_image_can_be_committed(person: Person) -> None:
    pod = pods.start(person, "box:1", "true")
    pods.status(person, pod, "--wait")
    for command in (("commit", pod, "x:1"), ("export", pod)):
        process = person.pumice(*command)
        assert process.returncode == 10
        assert "is not running" in process.stderr
