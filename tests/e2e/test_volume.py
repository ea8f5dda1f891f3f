"""The command ``pumice volume``, and volumes of pods."""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import pytest

from pumice.formats import oci
from pumice.formats.tar import Entry
from tests.support import images, peers, pods, waiting

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with pods.person_with_images(request.param) as someone:
        content = images.shell()
        content["srv/own/start"] = "from the image\n"
        content["srv/own"] = Entry("srv/own", "dir", 0o750, uid=65532, gid=65532)
        with someone.store() as home:
            images.make(home, [content], name="data:1", config=oci.RunConfig(entrypoint=("sh", "-c")))
        yield someone


@pytest.mark.parametrize("stage1", ["builtin", "bwrap", "runc"])
def test_a_program_that_is_not_root_keeps_data_in_a_volume(person: Person, stage1: str) -> None:
    if stage1 != "builtin":
        peers.need(stage1)
    name = f"keep-{stage1}"
    options = ("--stage1", stage1, "--user", "web", "--volume", f"{name}:/var/lib/app")
    pods.run_ok(person, "run", *options, "box:1", "echo first > /var/lib/app/f; mkdir -m 700 /var/lib/app/d")
    assert pods.run_ok(person, "run", *options, "box:1", "cat /var/lib/app/f") == "first\n"
    process = person.pumice("run", *options[:-1], f"{name}:/x:ro", "box:1", "cat /x/f; echo > /x/f")
    assert process.stdout == "first\n"
    assert "Read-only file system" in process.stderr
    pods.run_ok(person, "volume", "rm", name)
    assert not (person.home / "store/volumes" / name).exists()


def test_a_new_volume_gets_what_the_image_has(person: Person) -> None:
    script = "cat /srv/own/start; echo changed > /srv/own/start; stat -c '%u %a' /srv/own"
    output = pods.run_ok(person, "run", "--volume", "filled:/srv/own", "data:1", script)
    assert output == f"from the image\n{65532 if person.name == 'root' else 0} 750\n"
    mount = ("--mount", "type=volume,src=filled,dst=/srv/own")
    assert pods.run_ok(person, "run", *mount, "data:1", "cat /srv/own/start") == "changed\n"
    for option in ("--volume=bare:/srv/own:nocopy", "--mount=type=volume,src=bare2,dst=/srv/own,nocopy"):
        assert pods.run_ok(person, "run", option, "data:1", "ls /srv/own") == ""
    pods.run_ok(person, "volume", "rm", "filled", "bare", "bare2")


def test_a_volume_in_use_is_not_removed(person: Person) -> None:
    pod = pods.start(person, "--volume", "busy:/data", "box:1", "sleep 600")
    process = person.pumice("volume", "rm", "busy")
    assert (process.returncode, process.stdout) == (10, "")
    assert "the volume 'busy' is in use by a running pod" in process.stderr
    assert pods.run_ok(person, "volume", "prune", "--force") == ""
    (listed,) = json.loads(pods.run_ok(person, "volume", "ls", "--json"))
    assert (listed["name"], listed["in_use"]) == ("busy", True)
    assert pods.run_ok(person, "volume", "ls", "-q", "--filter", "dangling=true") == ""
    started = json.loads((person.home / "store/pods" / pod / "started").read_text())
    os.kill(started["supervisor"], signal.SIGKILL)
    pods.status(person, pod, "--wait")
    # The kernel ends the sandbox, which has the lock, too.
    waiting.until(lambda: person.pumice("volume", "ls", "-q", "--filter", "dangling=true").stdout)
    pods.run_ok(person, "rm", pod)
    pods.run_ok(person, "gc", "--grace-period", "0")
    assert pods.run_ok(person, "volume", "prune", "--force") == "busy\n"


def test_volumes_are_created_listed_and_selected(person: Person) -> None:
    assert pods.run_ok(person, "volume", "create", "--label", "kind=a", "one") == "one\n"
    random_name = pods.run_ok(person, "volume", "create").strip()
    assert len(random_name) == 64
    assert person.pumice("volume", "create", "one").returncode == 10
    assert pods.run_ok(person, "volume", "create", "--ignore", "one") == "one\n"
    assert pods.run_ok(person, "volume", "ls", "-q", "--filter", "label=kind=a") == "one\n"
    assert person.pumice("volume", "exists", "one").returncode == 0
    assert person.pumice("volume", "exists", "two").returncode == 1
    (shown,) = json.loads(pods.run_ok(person, "volume", "inspect", "one"))
    assert shown["mountpoint"] == str(person.home / "store/volumes/one/data")
    process = person.pumice("volume", "prune")
    assert process.returncode == 2
    assert "2 volumes would be removed with their files" in process.stderr
    assert person.pumice("volume", "rm", "one", "two").returncode == 10
    assert pods.run_ok(person, "volume", "prune", "-f", "--filter", "label=kind") == "one\n"
    assert pods.run_ok(person, "volume", "rm", "--force", "two", random_name) == f"{random_name}\n"


def test_links_in_a_volume_stay_in_the_container(person: Person) -> None:
    outside = person.home / "outside"
    outside.mkdir()
    person.give(outside)
    pods.run_ok(person, "run", "-v", "links:/v", "box:1", f"ln -s {outside} /v/out; ln -s / /v/root")
    pods.run_ok(person, "run", "-v", "links:/v:U", "box:1", "touch /v/out/x || true")
    assert list(outside.iterdir()) == []
    pods.run_ok(person, "volume", "rm", "links")
    assert outside.is_dir()


def test_the_files_of_another_image_are_mounted(person: Person) -> None:
    mount = "type=image,source=data:1,target=/mnt"
    output = pods.run_ok(person, "run", "--mount", f"{mount},subpath=srv/own", "box:1", "cat /mnt/start")
    assert output == "from the image\n"
    process = person.pumice("run", "--mount", mount, "box:1", "touch /mnt/x")
    assert process.returncode == 1
    pod = pods.start(person, "--mount", mount, "box:1", "sleep 600")
    pods.run_ok(person, "gc", "--all")
    assert pods.run_ok(person, "exec", pod, "cat", "/mnt/srv/own/start") == "from the image\n"
    pods.run_ok(person, "rm", "--force", pod)
    for source, reason in (("box:1", "cannot be mounted in itself"), ("nosuch:1", "nosuch:1")):
        process = person.pumice("run", "--mount", f"type=image,source={source},target=/mnt", "box:1", "true")
        assert process.returncode != 0
        assert reason in process.stderr
