"""Standard streams, terminal and host name of a program under every stage 1."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import socket
import struct
import subprocess
import termios
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pumice.formats import oci
from pumice.formats.tar import Entry
from pumice.store.home import Home
from tests.support import images, peers, people, waiting
from tests.support.terminals import start_in_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person

APPLETS = ("tty", "stty", "hostname", "ping", "wc", "dd")
BOTH = "echo out > /dev/stdout && echo err > /dev/stderr"


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    """Yield a person with an image ``box:1`` whose user is not root."""
    with people.person(request.param) as someone:
        content = images.shell()
        for name in APPLETS:
            content[f"bin/{name}"] = Entry(f"bin/{name}", "symlink", 0o777, link="busybox")
        with Home(someone.home / "store") as home:
            for name, user in (("box:1", "nonroot"), ("root:1", "")):
                config = oci.RunConfig(entrypoint=("sh", "-c"), user=user)
                images.make(home, [content], name=name, config=config)
        someone.give(someone.home)
        yield someone


def command(person: Person, stage1: str, script: str, image: str = "box:1") -> list[str]:
    return person.command("run", "--progress", "none", "--stage1", stage1, image, script)


def run(person: Person, stage1: str, script: str, image: str = "box:1", **streams: Any) -> int:
    process = subprocess.run(
        command(person, stage1, script, image),
        env=person.environment(),
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
        **streams,
    )
    return process.returncode


IMAGES = ("box:1", "root:1")


@pytest.mark.parametrize("image", IMAGES)
def test_pipes_can_be_opened_by_name(person: Person, stage1: str, image: str) -> None:
    process = subprocess.run(
        command(person, stage1, BOTH, image), env=person.environment(), capture_output=True, check=False
    )
    assert (process.stdout, process.stderr, process.returncode) == (b"out\n", b"err\n", 0)


@pytest.mark.parametrize("image", IMAGES)
def test_files_can_be_opened_by_name_and_keep_their_owner(
    person: Person, stage1: str, image: str, tmp_path: Path
) -> None:
    out, err = tmp_path / "out", tmp_path / "err"
    with out.open("wb") as out_file, err.open("wb") as err_file:
        status_before = os.fstat(out_file.fileno())
        script = f"echo first; {BOTH}; echo last"
        assert run(person, stage1, script, image, stdout=out_file, stderr=err_file) == 0
        status_after = os.fstat(out_file.fileno())
    # If the file were opened again, it would be truncated and written from its start.
    assert out.read_text() == "first\nout\nlast\n"
    assert err.read_text() == "err\n"
    assert (status_after.st_uid, status_after.st_gid, status_after.st_mode) == (
        status_before.st_uid,
        status_before.st_gid,
        status_before.st_mode,
    )


def test_one_file_for_both_keeps_the_order(person: Person, stage1: str, tmp_path: Path) -> None:
    if stage1 == "runc":
        pytest.skip("runc has two pipes")
    with (tmp_path / "log").open("wb") as log:
        script = "for i in 1 2 3 4 5 6 7 8 9; do echo $i; echo e$i >&2; done"
        assert run(person, stage1, script, stdout=log, stderr=log) == 0
    assert (tmp_path / "log").read_text() == "".join(f"{i}\ne{i}\n" for i in range(1, 10))


def test_sockets_can_be_opened_by_name(person: Person, stage1: str) -> None:
    """The standard streams of services are sockets of the journal."""
    our_socket, their_socket = socket.socketpair()
    with our_socket, their_socket:
        assert run(person, stage1, BOTH, stdout=their_socket, stderr=their_socket) == 0
        their_socket.close()
        assert sorted(our_socket.makefile("rb").read().split()) == [b"err", b"out"]


def test_a_named_pipe_keeps_its_owner(person: Person, stage1: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    descriptor = os.open(tmp_path / "pipe", os.O_RDWR)
    try:
        owner_before = os.fstat(descriptor).st_uid
        assert run(person, stage1, "echo out > /dev/stdout", stdout=descriptor) == 0
        assert os.read(descriptor, 100) == b"out\n"
        assert os.fstat(descriptor).st_uid == owner_before
    finally:
        os.close(descriptor)


def test_all_output_arrives(person: Person, stage1: str, tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as out:
        assert run(person, stage1, "dd if=/dev/zero bs=1M count=9 2>/dev/null", stdout=out) == 0
    assert (tmp_path / "out").stat().st_size == 9 << 20


@pytest.mark.parametrize("own_stage1", ["builtin", "bwrap"])
def test_output_that_cannot_be_written_is_an_error(person: Person, own_stage1: str) -> None:
    if own_stage1 != "builtin":
        peers.need(own_stage1)
    with Path("/dev/full").open("wb") as full_device:
        process = subprocess.run(
            command(person, own_stage1, "echo out || exit 9"),
            env=person.environment(),
            stdin=subprocess.DEVNULL,
            stdout=full_device,
            stderr=subprocess.PIPE,
            check=False,
        )
    assert process.returncode == 9
    script = 'exec 3>"$1"; ulimit -f 1; shift; "$@" >&3'
    target = person.home / "limited"
    target.write_text("")
    person.give(target)
    process = subprocess.run(
        [
            "sh",
            "-c",
            script,
            "sh",
            str(target),
            *command(person, own_stage1, "dd if=/dev/zero bs=1k count=64; :"),
        ],
        env=person.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    assert process.returncode != 0


@pytest.mark.parametrize("missing", ["<&-", ">&-", "2>&-"])
def test_a_closed_stream_causes_no_crash(person: Person, stage1: str, missing: str) -> None:
    process = subprocess.run(
        ["sh", "-c", f'"$@" {missing}', "sh", *command(person, stage1, "exit 3")],
        env=person.environment(),
        capture_output=True,
        check=False,
    )
    assert b"should not" not in process.stderr
    assert process.returncode in (3, 11)


class Terminal:
    """A terminal with `pumice run` in its foreground."""

    def __init__(self, arguments: list[str], environment: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("4H", 33, 77, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.owner = os.fstat(slave).st_uid
        self.slave = slave
        self.seen = b""
        self.running = start_in_terminal(arguments, slave, environment)

    def until(self, word: bytes) -> bytes:
        """Read until ``word`` appears; return all output up to now."""
        while word not in self.seen:
            assert select.select([self.master], [], [], waiting.PATIENCE_SECONDS)[0], self.seen
            self.seen += os.read(self.master, 4096)
        return self.seen

    def close(self) -> None:
        self.running.kill()
        self.running.wait()
        os.close(self.slave)
        os.close(self.master)


@pytest.fixture
def terminal(person: Person, stage1: str, request: pytest.FixtureRequest) -> Iterator[Terminal]:
    new_terminal = Terminal(command(person, stage1, request.param), person.environment())
    yield new_terminal
    new_terminal.close()


@pytest.mark.parametrize("terminal", [f"tty; {BOTH}; echo TERM=$TERM; stty size; echo end"], indirect=True)
def test_a_terminal_has_a_name_a_type_and_a_size(terminal: Terminal, stage1: str) -> None:
    lines = [line.strip() for line in terminal.until(b"end\r").decode().split("\n")]
    assert lines[0] == ("/dev/pts/0" if stage1 == "runc" else "/dev/console")
    assert lines[1:5] == ["out", "err", "TERM=xterm", "33 77"]
    assert terminal.running.wait(60) == 0
    assert termios.tcgetattr(terminal.slave) == terminal.before
    assert os.fstat(terminal.slave).st_uid == terminal.owner


@pytest.mark.parametrize(
    "terminal", ["trap 'stty size; exit 4' WINCH; echo ready; while :; do sleep 0.1; done"], indirect=True
)
def test_a_terminals_new_size_is_passed_on(terminal: Terminal, stage1: str) -> None:
    if stage1 == "runc":
        pytest.skip("runc passes on what comes after it has begun to listen")
    terminal.until(b"ready\r")
    fcntl.ioctl(terminal.master, termios.TIOCSWINSZ, struct.pack("4H", 44, 88, 0, 0))
    assert b"44 88" in terminal.until(b"44 88")
    assert terminal.running.wait(60) == 4


@pytest.mark.parametrize("terminal", ["echo ready; exec sleep 600"], indirect=True)
def test_control_c_ends_a_program_that_has_no_handler(terminal: Terminal, stage1: str) -> None:
    if stage1 == "runc":
        pytest.skip("there process 1 is the engine's affair")
    terminal.until(b"ready\r")
    code = None
    for _ in range(60):  # a shell that is about to execute the program loses the key
        os.write(terminal.master, b"\x03")
        with suppress(subprocess.TimeoutExpired):
            code = terminal.running.wait(1)
            break
    assert code == 128 + signal.SIGINT
    assert termios.tcgetattr(terminal.slave) == terminal.before


@pytest.mark.parametrize("terminal", ["echo ready; exec sleep 600"], indirect=True)
def test_a_terminal_is_as_before_when_pumice_is_killed(terminal: Terminal, stage1: str) -> None:
    if stage1 == "runc":
        pytest.skip("runc leaves it to its caller")
    terminal.until(b"ready\r")
    terminal.running.kill()
    waiting.until(lambda: termios.tcgetattr(terminal.slave) == terminal.before)


def test_the_host_name_resolves(person: Person, stage1: str) -> None:
    script = '[ "$(hostname)" = pumice ] && grep -q "127.0.1.1.pumice" /etc/hosts && cat /etc/hosts'
    process = person.pumice("run", "--stage1", stage1, "root:1", script)
    assert process.returncode == 0, process.stderr
    assert [line for line in Path("/etc/hosts").read_text().splitlines() if line not in process.stdout] == []
    process = person.pumice("run", "--stage1", stage1, "root:1", "echo x >> /etc/hosts || echo refused")
    assert process.stdout == "refused\n"


def test_the_environment_has_no_type_without_a_terminal(person: Person, stage1: str) -> None:
    assert person.pumice("run", "--stage1", stage1, "box:1", "echo TERM=$TERM").stdout == "TERM=\n"
