"""``pumice fetch`` of what the store already has: caching, ``--pull``, and trust that has changed since."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice.discovery.download import lock_name
from pumice.store.home import Home
from tests.support import images, waiting, websites
from tests.support.publishers import NAME, Out, Publisher, run
from tests.support.websites import Website

FILE = "/aci/127.0.0.1/hello-1.0-linux-amd64.aci"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Website]:
    """A web site that says how long an answer is fresh only when it is asked whether that has changed."""
    extra = (
        'set $control ""; if ($http_if_none_match) { set $control max-age=600; }'
        " add_header Cache-Control $control; location /fresh { add_header Cache-Control max-age=600; }"
    )
    with websites.serving(tmp_path / "www", tmp_path / "nginx", extra) as site:
        yield site


def test_an_image_that_is_still_the_same_is_fresh_again(publisher: Publisher) -> None:
    publisher.publish(publisher.write())
    publisher.trust()
    for _ in range(3):
        publisher.fetch(f"{NAME}:1.0")
    statuses = [line.split()[2] for line in publisher.site.requests() if line.split()[1] == FILE]
    assert statuses == ["200", "304"]


def test_a_fresh_image_is_not_used_if_its_key_is_trusted_no_more(publisher: Publisher, capsys: Out) -> None:
    publisher.publish(publisher.write())
    publisher.trust()
    publisher.fetch(f"{NAME}:1.0")
    assert "signed by a trusted key" in publisher.fetch(f"{NAME}:1.0")[1]
    run(capsys, "trust", "revoke", publisher.fingerprint, "--reason", "stolen")
    before = len(publisher.site.requests())
    assert "is revoked (stolen)" in publisher.fetch(f"{NAME}:1.0", code=7)[1]
    assert FILE not in {line.split()[1] for line in publisher.site.requests()[before:]}
    _, err = publisher.fetch(f"{NAME}:1.0", "--insecure-options=image")
    assert "trusted key" not in err


def test_commands_that_run_at_once_download_an_image_once(tmp_path: Path, publisher: Publisher) -> None:
    publisher.publish(publisher.write())
    publisher.trust()
    command = [sys.executable, "-m", "pumice", "fetch", *publisher.connection, f"{NAME}:1.0"]
    with Home(tmp_path / "store") as home:
        url = f"{publisher.site.url}{FILE}"
        with home.lock(f"fetch-{lock_name(url)}"):
            processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
            # Then all have found that the store does not have it.
            waiting.until(lambda: publisher.site.log.read_text().count(f"GET {FILE}.asc ") == len(processes))
    assert [process.communicate()[0] for process in processes] == [f"{NAME}:1.0\n"] * 3
    statuses = [line.split()[2] for line in publisher.site.requests() if line.split()[1] == FILE]
    assert statuses == ["200", "304", "304"]


def test_a_page_that_came_without_verification_is_not_used_later(publisher: Publisher, capsys: Out) -> None:
    def discover(*options: str) -> str:
        command = ("discover", "127.0.0.1/fresh", *publisher.connection, "--json")
        return str(json.loads(run(capsys, *command, *options)[0])["images"][0]["url"])

    publisher.write_page("ac-discovery=127.0.0.1 https://evil.example/{name}.{ext}", path="fresh")
    assert "evil.example" in discover("--tls-verify=false")
    publisher.write_page("ac-discovery=127.0.0.1 https://good.example/{name}.{ext}", path="fresh")
    assert "good.example" in discover()
    publisher.write_page("ac-discovery=127.0.0.1 https://next.example/{name}.{ext}", path="fresh")
    assert "good.example" in discover()  # now it is fresh
    assert "next.example" in discover("--tls-verify=false")


def test_of_several_versions_in_the_store_the_newest_is_used(tmp_path: Path, publisher: Publisher) -> None:
    with Home(tmp_path / "store") as home:
        for version in ("1.10", "1.9", "latest"):
            images.make(home, [{"etc/motd": version}], name=f"{NAME}:{version}")
    assert publisher.fetch(NAME, "--pull", "never")[0] == f"{NAME}:1.10\n"
    assert publisher.fetch(f"{NAME}:1.9", "--pull", "new")[0] == f"{NAME}:1.9\n"


@pytest.mark.parametrize(
    ("labels", "is_there"),
    [
        (",os=linux,arch=amd64", True),
        (",arch=aarch64", False),
        (",os=windows", False),
        (",arch=unheard-of", False),
        (",channel=beta", False),
    ],
)
def test_an_image_for_another_platform_or_without_a_label_does_not_count(
    tmp_path: Path, publisher: Publisher, labels: str, *, is_there: bool
) -> None:
    with Home(tmp_path / "store") as home:
        images.make(home, [{"etc/motd": "hello"}], name=f"{NAME}:1.0")
    _, err = publisher.fetch(f"{NAME}:1.0{labels}", "--pull", "never", code=0 if is_there else 10)
    assert ("in the store\n  hint: fetch it without --pull never" in err) != is_there


def test_pull_applies_to_references_of_registries_too(
    tmp_path: Path, capsys: Out, publisher: Publisher
) -> None:
    host = "127.0.0.1:1"
    with Home(tmp_path / "store") as home:
        digest = images.make(home, [{"etc/motd": "hello"}], name=f"{host}/hello:1.0").root.digest

    def fetch(reference: str, when: str, code: int = 0) -> tuple[str, str]:
        return run(capsys, "fetch", reference, "--pull", when, code=code)

    for when in ("never", "new"):
        for reference in ("hello:1.0", f"hello@{digest}"):
            assert fetch(f"docker://{host}/{reference}", when)[0] == f"{digest}\n"
    assert "--pull never" in fetch(f"docker://{host}/x:1", "never", 10)[1]
    assert "cannot connect" in fetch(f"docker://{host}/x:1", "new", 6)[1]
    assert "is for names" in fetch("oci:layout", "never", 2)[1]


def test_the_last_event_says_what_was_fetched_and_quiet_says_nothing(publisher: Publisher) -> None:
    publisher.publish(publisher.write())
    publisher.trust()
    event = json.loads(publisher.fetch(f"{NAME}:1.0", "--progress=json")[1].splitlines()[-1])
    assert (event["event"], event["image"], event["new"]) == ("fetched", f"{NAME}:1.0", True)
    assert event["verified"]
    assert event["image_id"] == publisher.image_id
    assert publisher.fetch(f"{NAME}:1.0", "-q") == (f"{NAME}:1.0\n", "")
    assert publisher.publish(publisher.write("2.0"), options=("-q",))[1] == ""


def test_latest_is_not_a_version(publisher: Publisher) -> None:
    publisher.publish(publisher.write())
    publisher.trust()
    assert "write the name without a version" in publisher.fetch(f"{NAME}:latest", code=8)[1]
