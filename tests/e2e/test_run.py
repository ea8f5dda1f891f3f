"""The command ``pumice run``: terminals, interruptions, invalid input, and the number of loaded modules."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pumice.formats import oci
from pumice.formats.tar import Entry
from pumice.store.home import Home
from tests.support import images, peers, people, terminals, waiting
from tests.support.terminals import start_in_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with people.person(request.param) as someone:
        content = images.shell()
        content["srv/own"] = Entry("srv/own", "dir", 0o700, uid=33, gid=34)
        with Home(someone.home / "store") as home:
            images.make(home, [content], name="box:1", config=oci.RunConfig(entrypoint=("sh", "-c")))
            images.make(home, [content], name="arm:1", architecture="arm64")
            images.make(home, [content], name="silent:1")
        someone.give(someone.home)
        yield someone


def test_standard_streams_are_those_of_the_program(person: Person) -> None:
    process = person.pumice("run", "box:1", "read x; echo out $x; echo err $x >&2", input="line\n")
    assert (process.stdout, process.stderr.splitlines()[-1]) == ("out line\n", "err line")


def test_options_after_the_image_belong_to_the_program(person: Person) -> None:
    process = person.pumice("run", "--entrypoint", "echo", "box:1", "--user", "-x", "--", "y")
    assert process.stdout == "--user -x -- y\n"


@pytest.mark.parametrize("stage1", ["builtin", "runc"])
def test_control_c_interrupts_the_program_once(person: Person, stage1: str) -> None:
    # Without bwrap, which ends at Ctrl-C itself and kills the program.
    if stage1 != "builtin":
        peers.need(stage1)
    loop = "trap 'echo caught' INT; echo ready; while :; do read line && echo got $line && exit 7; done"
    controller, terminal = pty.openpty()
    running = start_in_terminal(
        person.command("run", "--stage1", stage1, "box:1", loop), terminal, person.environment()
    )
    os.close(terminal)
    try:
        output = read_until(controller, b"ready")
        os.write(controller, b"\x03")
        output += read_until(controller, b"caught")
        os.write(controller, b"word\n")
        output += read_until(controller, b"got word")
        assert running.wait(timeout=60) == 7
        assert output.count(b"caught") == 1
    finally:
        running.kill()
        running.wait()
        os.close(controller)


def read_until(terminal: int, mark: bytes) -> bytes:
    output = b""
    while mark not in output:
        output += os.read(terminal, 1000)
    return output


def test_a_terminal_is_passed_to_the_program(person: Person) -> None:
    command = person.command("run", "box:1", "[ -t 0 ] && [ -t 1 ] && [ -t 2 ]")
    assert terminals.run_in_terminal(command, person.environment()) == 0


def test_an_interrupted_unpacking_leaves_nothing(person: Person) -> None:
    files = [(Entry(f"f{number}", "file", 0o644, size=1), b"x") for number in range(30_000)]
    with person.store() as home:
        images.make(home, [images.shell(), files], name="many:1")
    scratch = person.home / "store" / "tmp"
    with person.running_pumice("run", "many:1", "sleep", "600") as running:
        waiting.until(lambda: list(scratch.glob("tree-*")) or running.poll() is not None)
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGTERM
    assert list(scratch.iterdir()) == []


def test_hangups_that_are_ignored_stay_ignored(person: Person) -> None:
    command = [
        "sh",
        "-c",
        'trap "" HUP; exec "$@"',
        "sh",
        *person.command("run", "box:1", "kill -HUP $$; exit 6"),
    ]
    process = subprocess.run(command, env=person.environment(), capture_output=True, check=False)
    assert process.returncode == 6


def test_root_can_change_to_other_users_if_subordinate_ids_exist(person: Person) -> None:
    script = "touch /tmp/x && chown 33:34 /tmp/x && ls -ln /tmp/x && ls -lnd /srv/own"
    if person.name == "ordinary":
        peers.need("newuidmap")
        peers.need("newgidmap")
        if "pumice-test:" not in Path("/etc/subuid").read_text():
            pytest.skip("the user has no subordinate ids")
    content = images.shell()
    content["bin/chown"] = Entry("bin/chown", "symlink", 0o777, link="busybox")
    content["srv/own"] = Entry("srv/own", "dir", 0o700, uid=33, gid=34)
    content["."] = Entry(".", "dir", 0o755, uid=33, gid=34)  # as in images of App Container
    with person.store() as home:
        images.make(home, [content], name="owners:1")
    process = person.pumice("run", "owners:1", "sh", "-c", script)
    assert process.returncode == 0, process.stderr
    for line in process.stdout.splitlines():
        assert line.split()[2:4] == ["33", "34"]


WRONG = {
    "no image": (("nope:1",), 10, "nope:1 is not in the local store"),
    "no user": (("--user", "nobody", "box:1", "id"), 10, "the image has no user 'nobody'"),
    "no program": (("silent:1",), 10, "the image has no entrypoint and no command"),
    "no reference": ((), 2, "REF is missing"),
    "volume": (("--volume", "x", "box:1"), 2, "'x' is not a volume"),
    "volume source": (
        ("--volume", "/no/such:/x", "box:1"),
        2,
        "cannot mount '/no/such': no such file or directory",
    ),
    "volume place": (
        ("--volume", "/etc:/", "box:1"),
        2,
        "the mount point '/' is not an absolute path below /",
    ),
    "volume mode": (("--volume", "/etc:/x:rx", "box:1"), 2, "unknown option 'rx' in '/etc:/x:rx'"),
    "directory": (
        ("--workdir", "srv", "box:1", "x"),
        2,
        "the working directory 'srv' is not an absolute path",
    ),
    "stage 1": (("--stage1", "vm", "box:1"), 2, "--stage1 cannot be 'vm'"),
    "network": (("--network", "a/b", "box:1"), 2, "'a/b'"),
    "variable": (("--env", "=x", "box:1", "x"), 2, "'=x' is not a variable"),
    "platform": (("--platform", "linux/s390x", "box:1", "x"), 10, "the image is not for linux/s390x"),
    "architecture": (("arm:1", "id"), 10, "the image is not for linux/"),
    "a file as a place": (("--workdir", "/etc/passwd", "box:1", "exit"), 11, "/etc/passwd"),
    "a mount on a file": (
        ("--volume", "/etc:/etc/passwd", "box:1", "exit"),
        11,
        "cannot mount /etc on /etc/passwd",
    ),
}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_invalid_input_is_reported_in_one_sentence(person: Person, name: str) -> None:
    arguments, code, message = WRONG[name]
    process = person.pumice("run", "--progress", "none", *arguments)
    assert process.returncode == code, process.stderr
    errors = [line for line in process.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in process.stderr
    assert process.stdout == ""


@pytest.mark.parametrize("how", ["fast", "full"])
def test_changed_files_of_an_image_are_never_run(person: Person, how: str) -> None:
    person.pumice("run", "box:1", "true")
    with person.store():  # the tree belongs to the person, and now to the tests as well
        for path in (person.home / "store" / "trees").glob("*/root/etc/passwd"):
            path.write_text("intruder::0:0::/:/bin/sh\n")
    process = person.pumice("run", "--verify", how, "box:1", "cat /etc/passwd")
    assert process.stdout.startswith("root:x:0:0:"), process.stderr
    assert (
        "the unpacked files of the image were changed (/etc/passwd), so they are unpacked again"
        in process.stderr
    )
    process = person.pumice("run", "--progress", "none", "--verify", how, "box:1", "true")
    assert process.stderr == ""


def test_run_loads_few_modules(tmp_path: Path) -> None:
    with Home(tmp_path / "store") as home:
        images.make(home, [images.shell()], name="box:1")
    probe = (
        "import sys, json\nfrom pumice.cli.main import main\n"
        "code = main(sys.argv[1:])\njson.dump([code, sorted(sys.modules)], sys.stdout)"
    )
    for _ in range(2):  # the root file system is already unpacked at the second run
        process = subprocess.run(
            [sys.executable, "-c", probe, "run", "--progress", "none", "box:1", "sh", "-c", ":"],
            env={**os.environ, "PUMICE_HOME": str(tmp_path / "store")},
            capture_output=True,
            text=True,
            check=True,
        )
    code, modules = json.loads(process.stdout)
    assert code == 0
    heavy = {
        "yaml",
        "urllib3",
        "http",
        "http.client",
        "ssl",
        "cryptography",
        "pysequoia",
        "rich",
        "zstandard",
    }
    heavy |= {
        "asyncio",
        "subprocess",
        "email",
        "dataclasses",
        "json.decoder",
        "tarfile",
        "pumice.image.rootfs",
    }
    assert heavy & set(modules) <= {"json.decoder"}


@pytest.mark.parametrize("name", ["crun", "oci"])
def test_engines_are_chosen_for_the_control_groups_of_the_machine(person: Person, name: str) -> None:
    """crun refuses a machine with both versions of control groups, so one is hidden from it."""
    engine = peers.need("crun") if name == "crun" else peers.need("runc")
    command = person.command("run", "--stage1", name, "box:1", "id -u; exit 4")
    assert engine
    process = subprocess.run(
        command, env=person.environment(), cwd=person.home, capture_output=True, text=True, check=False
    )
    assert (process.stdout, process.returncode) == ("0\n", 4), process.stderr
