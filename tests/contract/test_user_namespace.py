"""Root inside is not root of the host, if there are subordinate ids for containers."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from pumice.formats import oci
from pumice.formats.tar import Entry
from pumice.runtime import id_maps
from pumice.store.home import Home
from tests.support import aci, images, peers, people

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person

FIRST = 1_300_000
SUBORDINATE = f"containers:{FIRST}:65536\n"


@pytest.fixture(scope="module")
def root() -> Iterator[Person]:
    with people.person("root") as someone:
        content = images.shell()
        content["srv/own"] = Entry("srv/own", "dir", 0o700, uid=33, gid=34)
        with Home(someone.home / "store") as home:
            images.make(home, [content], name="box:1", config=oci.RunConfig(entrypoint=("sh", "-c")))
        (someone.home / "subordinate").write_text(SUBORDINATE)
        yield someone


@pytest.fixture(params=["builtin", "bwrap", "runc", "crun"])
def stage1(request: pytest.FixtureRequest) -> str:
    """Return the name of a stage 1; all of them shift ids."""
    if request.param != "builtin":
        peers.need(request.param)
    return str(request.param)


def command(root: Person, *arguments: str) -> list[str]:
    """Return a command that runs ``pumice run`` with subordinate ids, in a mount namespace of its own."""
    if not id_maps._is_kernel_at_least(5, 19):
        pytest.skip("the kernel cannot shift the owners in an overlay")
    ids = root.home / "subordinate"
    script = f'mount --bind {ids} /etc/subuid && mount --bind {ids} /etc/subgid && exec "$@"'
    words = root.command("run", "--progress", "none", *arguments)
    return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh", *words]


def run(root: Person, *arguments: str) -> subprocess.CompletedProcess[str]:
    process = subprocess.run(
        command(root, *arguments), env=root.environment(), capture_output=True, text=True, check=False
    )
    assert process.returncode == 0, process.stderr
    return process


MAP = "while read a b c; do echo $a $b $c; done < /proc/self/uid_map"


@pytest.mark.parametrize("options", [(), ("--init",), ("--read-only",), ("--user", "33")])
def test_ids_are_those_of_containers(root: Person, stage1: str, options: tuple[str, ...]) -> None:
    if "--init" in options and stage1 in ("runc", "crun"):
        pytest.skip("it has no init")
    # The inner namespace of bwrap is below one that has the ids of containers.
    first = 0 if stage1 == "bwrap" else FIRST
    assert run(root, "--stage1", stage1, *options, "box:1", MAP).stdout == f"0 {first} 65536\n"


def test_apps_of_a_pod_have_ids_of_containers_and_their_files_keep_owners(root: Person, stage1: str) -> None:
    first = 0 if stage1 == "bwrap" else FIRST
    network = ("--network", "none")
    process = run(
        *(
            root,
            "--stage1",
            stage1,
            *network,
            "box:1",
            f"{MAP}; sleep 1",
            "---",
            "--app",
            "b",
            "--user",
            "33",
        ),
        *("box:1", f"{MAP}; id -u; ls -d /srv/own && cd /srv/own && echo own"),
    )
    assert sorted(process.stdout.splitlines()) == [
        *("b   | /srv/own", f"b   | 0 {first} 65536", "b   | 33", "b   | own"),
        f"box | 0 {first} 65536",
    ]


def test_event_handlers_and_sockets_have_ids_of_containers(root: Person, stage1: str) -> None:
    handlers = [{"name": name, "exec": ["/bin/sh", "-c", MAP]} for name in ("pre-start", "post-stop")]
    ports = [{"name": "web", "protocol": "tcp", "port": 80, "socketActivated": True}]
    app = {"exec": ["sh", "-c", "echo $LISTEN_FDS $((LISTEN_PID == $$))"], "user": "33", "group": "34"}
    labels = [{"name": "os", "value": "linux"}, {"name": "arch", "value": "amd64"}]
    aci.shell(
        root.home / "hello.aci",
        {**app, "eventHandlers": handlers, "ports": ports},
        name="example.com/hello",
        labels=labels,
    )
    options = ("--stage1", stage1, "--network", "none", "--insecure-options=image")
    first = 0 if stage1 == "bwrap" else FIRST
    lines = run(root, *options, f"aci:{root.home}/hello.aci").stdout.splitlines()
    assert lines == [f"0 {first} 65536", "1 1", f"0 {first} 65536"]


def test_groups_are_those_of_the_user(root: Person, stage1: str) -> None:
    process = run(root, "--stage1", stage1, "--user", "web", "box:1", "id -u; id -g; id -G")
    assert process.stdout == "33\n34\n34 29 50\n"


def test_processes_have_no_rights_outside(root: Person, stage1: str) -> None:
    with subprocess.Popen(
        command(root, "--stage1", stage1, "box:1", "echo ready; exec sleep 601"),
        env=root.environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            assert running.stdout is not None
            assert running.stdout.readline() == "ready\n"
            listing = subprocess.run(["ps", "-eo", "uid,args"], capture_output=True, text=True, check=True)
            owners = {
                line.split()[0] for line in listing.stdout.splitlines() if line.strip().endswith(" sleep 601")
            }
            assert str(FIRST) in owners
        finally:
            running.kill()  # process 1 of runc ignores other signals
            running.wait(timeout=60)


def test_files_of_the_image_keep_their_owners(root: Person, stage1: str) -> None:
    script = "stat -c '%u:%g' /srv/own /bin /; touch /srv/own/new && stat -c %u /srv/own/new; echo > /bin/x"
    assert run(
        root, "--stage1", stage1, "box:1", f"export PATH=/bin; {script}".replace("stat", "busybox stat")
    ).stdout == ("33:34\n0:0\n0:0\n0\n")


def test_volumes_keep_their_owners_and_private_ones_can_be_used(root: Person, stage1: str) -> None:
    volume = root.home / f"volume-{stage1}"
    volume.mkdir(mode=0o700)
    (volume / "web").write_text("page")
    os.chown(volume / "web", 33, 34)
    script = "busybox stat -c %u:%g /v /v/web; touch /v/new; busybox chown 33:34 /v/new"
    process = run(root, "--stage1", stage1, "--volume", f"{volume}:/v", "box:1", script)
    assert process.stdout == "0:0\n33:34\n", process.stderr
    status = (volume / "new").stat()
    assert (status.st_uid, status.st_gid) == (33, 34)
    process = run(
        root, "--stage1", stage1, "--volume", f"{volume}/web:/etc/page:ro", "box:1", "cat /etc/page"
    )
    assert process.stdout == "page"


@pytest.mark.parametrize("userns", ["auto", "host"])
def test_a_volume_can_be_given_to_the_user_of_the_program(root: Person, userns: str) -> None:
    volume = root.home / f"given-{userns}"
    (volume / "sub").mkdir(parents=True, mode=0o755)
    outside = root.home / f"outside-{userns}"
    outside.write_text("")
    (volume / "link").symlink_to(outside)
    options = ("--userns", userns, "--user", "web", "--volume")
    script = "touch /v/sub/new 2>/dev/null && echo written || echo refused"
    assert run(root, *options, f"{volume}:/v", "box:1", script).stdout == "refused\n"
    assert run(root, *options, f"{volume}:/v:U", "box:1", script).stdout == "written\n"
    assert (volume / "sub/new").stat().st_uid == 33
    assert outside.stat().st_uid == 0
    process = root.pumice("run", "--volume", "/etc:/v:U", "box:1", "true")
    assert process.returncode == 2
    assert "cannot give '/etc' to the user of the program" in process.stderr


def test_root_inside_cannot_write_files_of_root_outside(root: Person, stage1: str) -> None:
    script = "echo x > /proc/sys/kernel/panic; echo x > /sys/kernel/uevent_seqnum; chmod 0 /dev/null"
    process = subprocess.run(
        command(
            root,
            "--stage1",
            stage1,
            "--security-opt",
            "unmask=ALL",
            "box:1",
            f"({script}) 2>/dev/null; echo $?",
        ),
        env=root.environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.stdout == "1\n", process.stderr


def test_standard_streams_can_be_opened_by_name(root: Person, stage1: str) -> None:
    process = run(
        root, "--stage1", stage1, "--user", "33", "box:1", "echo out > /dev/stdout; echo err > /dev/stderr"
    )
    assert (process.stdout, process.stderr) == ("out\n", "err\n")


def test_host_ids_can_be_requested_and_serve_where_the_range_is_too_small(root: Person) -> None:
    assert run(root, "--userns", "host", "box:1", MAP).stdout.startswith("0 0 ")
    assert run(root, "--user", "70000", "box:1", "id -u").stdout == "70000\n"
    assert run(root, "--stage1", "fly", "box:1", MAP).stdout.startswith("0 0 ")


def test_limits_and_devices_work_with_shifted_ids(root: Person, stage1: str) -> None:
    options = ("--stage1", stage1, "--device", "/dev/full:/dev/mine", "--memory", "64m")
    script = "{ echo x > /dev/mine; } 2>&1 || :; busybox stat -c %u /t; hostname"
    process = run(
        *(root, *options, "--tmpfs", "/t:size=1m,uid=33", "--hostname", "h1", "box:1"),
        script.replace("hostname", "uname -n"),
    )
    assert process.stdout == "sh: write error: No space left on device\n33\nh1\n", process.stderr


def test_nothing_stays_behind(root: Person, stage1: str) -> None:
    before = root.list_mounts()
    run(root, "--stage1", stage1, "box:1", "touch /x")
    assert root.list_mounts() == before
    store = root.home / "store"
    assert list((store / "tmp").iterdir()) == []


def test_keep_id_runs_the_program_as_the_caller() -> None:
    with people.person("ordinary") as someone:
        with Home(someone.home / "store") as home:
            images.make(home, [images.shell()], name="box:1", config=oci.RunConfig(entrypoint=("sh", "-c")))
        someone.give(someone.home)
        process = someone.pumice("run", "--userns", "keep-id", "box:1", "id -u")
        uid = int(process.stdout)
        assert uid == (someone.home / "store").stat().st_uid
        process = someone.pumice("run", "--userns", "keep-id", "--user", "7", "box:1", "id -u")
        assert process.stdout == "7\n", process.stderr
