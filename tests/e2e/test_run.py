"""``pumice run`` from the command line: terminals, interruptions, wrong input, and what it costs."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import signal
import subprocess
import sys
import termios
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pumice.formats import oci
from pumice.formats.tar import Entry
from pumice.store.home import Home
from tests.support import images, peers, people

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person


@pytest.fixture(scope="module", params=["root", "ordinary"])
def who(request: pytest.FixtureRequest) -> Iterator[Person]:
    with people.person(request.param) as someone:
        content = images.shell()
        content["srv/own"] = Entry("srv/own", "dir", 0o700, uid=33, gid=34)
        with Home(someone.home / "store") as home:
            images.make(home, [content], name="box:1", config=oci.RunConfig(entrypoint=("sh", "-c")))
            images.make(home, [content], name="arm:1", architecture="arm64")
            images.make(home, [content], name="silent:1")
        someone.give(someone.home)
        yield someone


def test_standard_streams_are_the_programs(who: Person) -> None:
    done = who.pumice("run", "box:1", "read x; echo out $x; echo err $x >&2", input="line\n")
    assert (done.stdout, done.stderr.splitlines()[-1]) == ("out line\n", "err line")


def test_options_after_the_image_are_the_programs(who: Person) -> None:
    done = who.pumice("run", "--entrypoint", "echo", "box:1", "--user", "-x", "--", "y")
    assert done.stdout == "--user -x -- y\n"


@pytest.mark.parametrize("stage1", ["builtin", "runc"])
def test_control_c_interrupts_the_program_once(who: Person, stage1: str) -> None:
    # Not bwrap: it ends at control-C itself, and takes the program with it.
    if stage1 != "builtin":
        peers.need(stage1)
    loop = "trap 'echo caught' INT; echo ready; while :; do read line && echo got $line && exit 7; done"
    ours, theirs = pty.openpty()
    running = subprocess.Popen(
        who.command("run", "--stage1", stage1, "box:1", loop),
        env=who.environment(),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - there are none
    )
    os.close(theirs)
    try:
        seen = read_until(ours, b"ready")
        os.write(ours, b"\x03")
        seen += read_until(ours, b"caught")
        os.write(ours, b"word\n")
        seen += read_until(ours, b"got word")
        assert running.wait(timeout=60) == 7
        assert seen.count(b"caught") == 1
    finally:
        running.kill()
        running.wait()
        os.close(ours)


def read_until(terminal: int, mark: bytes) -> bytes:
    seen = b""
    while mark not in seen:
        seen += os.read(terminal, 1000)
    return seen


def test_a_terminal_stays_one(who: Person) -> None:
    ours, theirs = pty.openpty()
    done = subprocess.run(
        who.command("run", "box:1", "[ -t 0 ] && [ -t 1 ] && [ -t 2 ]"),
        env=who.environment(),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        check=False,
    )
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 0


def test_an_interrupted_unpacking_leaves_nothing(who: Person) -> None:
    many = [(Entry(f"f{number}", "file", 0o644, size=1), b"x") for number in range(30_000)]
    with who.store() as home:
        images.make(home, [images.shell(), many], name="many:1")
    scratch = who.home / "store" / "tmp"
    with who.running_pumice("run", "many:1", "sleep", "600") as running:
        while not list(scratch.glob("tree-*")) and running.poll() is None:
            pass
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=60)
    assert running.returncode == 128 + signal.SIGTERM
    assert list(scratch.iterdir()) == []


def test_hangups_that_are_ignored_stay_ignored(who: Person) -> None:
    command = [
        "sh",
        "-c",
        'trap "" HUP; exec "$@"',
        "sh",
        *who.command("run", "box:1", "kill -HUP $$; exit 6"),
    ]
    done = subprocess.run(command, env=who.environment(), capture_output=True, check=False)
    assert done.returncode == 6


def test_root_inside_can_become_others_where_there_are_ids(who: Person) -> None:
    script = "touch /tmp/x && chown 33:34 /tmp/x && ls -ln /tmp/x && ls -lnd /srv/own"
    if who.name == "ordinary":
        peers.need("newuidmap")
        peers.need("newgidmap")
        if "pumice-test:" not in Path("/etc/subuid").read_text():
            pytest.skip("the user has no subordinate ids")
    content = images.shell()
    content["bin/chown"] = Entry("bin/chown", "symlink", 0o777, link="busybox")
    content["srv/own"] = Entry("srv/own", "dir", 0o700, uid=33, gid=34)
    with who.store() as home:
        images.make(home, [content], name="owners:1")
    done = who.pumice("run", "owners:1", "sh", "-c", script)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.splitlines():
        assert line.split()[2:4] == ["33", "34"]


WRONG = {
    "no image": (("nope:1",), 10, "there is no image nope:1"),
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
    "volume mode": (("--volume", "/etc:/x:rx", "box:1"), 2, "'/etc:/x:rx' is not a volume"),
    "directory": (
        ("--workdir", "srv", "box:1", "x"),
        2,
        "the working directory 'srv' is not an absolute path",
    ),
    "stage 1": (("--stage1", "vm", "box:1"), 2, "--stage1 cannot be 'vm'"),
    "network": (("--network", "bridge", "box:1"), 2, "--network cannot be 'bridge'"),
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
def test_wrong_input_is_one_sentence(who: Person, name: str) -> None:
    arguments, code, message = WRONG[name]
    done = who.pumice("run", "--progress", "none", *arguments)
    assert done.returncode == code, done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert message in errors[0]
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_it_loads_no_more_than_it_needs(tmp_path: Path) -> None:
    with Home(tmp_path / "store") as home:
        images.make(home, [images.shell()], name="box:1")
    probe = (
        "import sys, json\nfrom pumice.cli.main import main\n"
        "code = main(sys.argv[1:])\njson.dump([code, sorted(sys.modules)], sys.stdout)"
    )
    for _ in range(2):  # the second time the tree is there already
        done = subprocess.run(
            [sys.executable, "-c", probe, "run", "--progress", "none", "box:1", "sh", "-c", ":"],
            env={**os.environ, "PUMICE_HOME": str(tmp_path / "store")},
            capture_output=True,
            text=True,
            check=True,
        )
    code, modules = json.loads(done.stdout)
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


def test_crun_takes_the_same_bundle() -> None:
    peers.need("crun")
    with people.person("root") as root:
        with Home(root.home / "store") as home:
            images.make(home, [images.shell()], name="box:1")
        # crun refuses a machine with both versions of cgroups; in a mount namespace one can be put away.
        script = 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"'
        command = root.command(
            "run", "--stage1", "crun", "--user", "web", "box:1", "sh", "-c", "id -u; exit 4"
        )
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", script, "sh", *command],
            env=root.environment(),
            capture_output=True,
            text=True,
            check=False,
        )
    assert (done.stdout, done.returncode) == ("33\n", 4), done.stderr
