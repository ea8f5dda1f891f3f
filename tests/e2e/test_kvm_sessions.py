"""Terminals, further programs, health checks and copies in a virtual machine, with few starts."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
from typing import TYPE_CHECKING

import pytest

from tests.support import guests, pods
from tests.support.terminals import start_in_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="kvm is only for x86-64")


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with pods.person_with_images(request.param) as someone:
        yield guests.with_kernel(someone)


class Screen:
    """A terminal in which a command runs, and what it has shown."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._controller, terminal = pty.openpty()
        self.resize(33, 77)
        self._process = start_in_terminal(command, terminal, environment)
        os.close(terminal)
        self._shown = b""

    def resize(self, rows: int, columns: int) -> None:
        fcntl.ioctl(self._controller, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, text: bytes) -> None:
        os.write(self._controller, text)

    def expect(self, text: bytes) -> None:
        """Read until a text is shown; the end of the command is the end of the terminal."""
        while text not in self._shown:
            if not (data := self._read()):
                pytest.fail(f"{text!r} is not in {self._shown!r}")
            self._shown += data
        self._shown = self._shown.partition(text)[2]

    def interrupt(self) -> None:
        """Interrupt what a shell runs; one that is about to run it loses the key."""
        for _ in range(60):
            self.type(b"\x03echo inter''rupted\r")
            while data := self._read(seconds=1):
                self._shown += data
                if b"interrupted" in self._shown:
                    return
        pytest.fail("the program goes on")

    def _read(self, seconds: float = 60) -> bytes:
        """Return what is shown next, nothing at the end or after some seconds of silence."""
        readable, _, _ = select.select([self._controller], [], [], seconds)
        try:
            return os.read(self._controller, 4096) if readable else b""
        except OSError:  # the terminal is closed
            return b""

    def hang_up(self) -> None:
        """Close the terminal, and wait for the command."""
        os.close(self._controller)
        self._controller = os.open("/dev/null", os.O_RDWR)
        self._process.wait(timeout=60)

    def wait(self) -> int:
        while self._read():
            pass
        return self._process.wait(timeout=60)

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._controller)
        self._process.kill()
        self._process.wait()


def test_the_program_has_a_terminal(person: Person) -> None:
    if person.name != "root":
        pytest.skip("exec has one for both")
    options = ("--stage1", "kvm", "--network", "none", "--progress", "none", "--strict", "-it")
    script = (
        "busybox stty size; tty; echo by name > /dev/console; echo go;"
        " read line; busybox stty size; echo got $line; echo $TERM.; exec cat"
    )
    command = person.command("run", *options, "--user", "web", "box:1", script)
    with Screen(command, person.environment()) as screen:
        for text in (b"33 77", b"/dev/pts/0", b"by name", b"go"):
            screen.expect(text)
        screen.resize(20, 40)
        screen.type(b"typed\r")
        screen.expect(b"20 40")
        screen.expect(b"got typed")
        screen.expect(b"xterm.\r\n")  # whole, so that what is typed next is shown after it
        screen.type(b"again\r")
        screen.expect(b"again\r\nagain")
        screen.type(b"\x03")
        assert screen.wait() == 128 + 2


def test_further_programs_run_in_the_machine(person: Person) -> None:
    script = 'trap "echo bye; exit 5" TERM; echo kept > /tmp/kept; while :; do sleep 0.1; done'
    check = ("--health-cmd", "test -e /tmp/fine", "--health-interval", "1s", "--health-retries", "1")
    options = ("--stage1", "kvm", "--network", "none", "--strict", "--env", "GREETING=hello", *check)
    pod = pods.start(person, *options, "--user", "web", "box:1", script)
    process = person.pumice(
        *("exec", "--env", "MORE=1", pod, "sh", "-c"),
        "id -u; id -G; pwd; echo $GREETING $MORE; cat; echo oops >&2; grep NoNewP /proc/self/status; exit 7",
        input="typed\n" * 20_000,
    )
    assert process.returncode == 7, process.stderr
    lines = process.stdout.splitlines()
    assert lines[:4] == ["33", "34 29 50", "/", "hello 1"]
    assert lines[4:-1] == ["typed"] * 20_000
    assert lines[-1].split() == ["NoNewPrivs:", "1"]
    assert process.stderr == "oops\n"
    process = person.pumice("exec", pod, "missing")
    assert process.returncode == 127
    assert process.stderr.startswith("error: missing: not found in the image\n")

    _use_shell(person, pod)

    file = person.home / "copied"
    file.write_text("from outside\n")
    pods.run_ok(person, "cp", f"{pod}:/tmp/kept", str(person.home / "from-inside"))
    assert (person.home / "from-inside").read_text() == "kept\n"
    pods.run_ok(person, "cp", str(file), f"{pod}:/tmp/copied")
    assert pods.run_ok(person, "exec", pod, "cat", "/tmp/copied") == "from outside\n"
    assert "root:x:0:0:root:/root:/bin/sh" in person.pumice("cp", f"{pod}:/etc/passwd", "-").stdout

    for _ in range(60):
        if pods.status(person, pod)["health"] == "healthy":
            break
        pods.run_ok(person, "exec", pod, "sleep", "1")
    assert pods.status(person, pod)["health"] == "healthy"
    pods.run_ok(person, "stop", pod)
    assert pods.status(person, pod)["exit_code"] == 5


def _use_shell(person: Person, pod: str) -> None:
    command = person.command("exec", "-it", "--user", "root", pod, "sh")
    with Screen(command, person.environment({"TERM": "vt100"})) as screen:
        screen.type(b"id -u; tty; busybox stty size; echo $TERM.\r")
        for text in (b"0\r\n", b"/dev/pts/", b"33 77", b"vt100."):
            screen.expect(text)
        screen.type(b"echo slee''ping; sleep 600\r")
        screen.expect(b"sleeping")
        screen.interrupt()
        screen.type(b"touch /tmp/fine; exit 9\r")
        assert screen.wait() == 9
    with Screen(command, person.environment()) as screen:
        screen.type(b"echo rea''dy\r")
        screen.expect(b"ready")
        screen.hang_up()


def test_a_killed_exec_ends_its_program(person: Person) -> None:
    if person.name != "root":
        pytest.skip("the same as for root")
    # Input that stays open does not delay the report of the start.
    pod = pods.start(person, "-it", "--stage1", "kvm", "--network", "none", "box:1", "tty; exec sleep 600")
    with person.running_pumice("logs", "--follow", pod) as following:
        assert following.stdout is not None
        assert following.stdout.readline().rstrip() == "/dev/pts/0"
    with subprocess.Popen(
        person.command("exec", pod, "sh", "-c", "echo ready; exec sleep 601"),
        env=person.environment(),
        stdout=subprocess.PIPE,
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"ready\n"
        running.kill()
    script = "for i in $(busybox seq 600); do ps | grep -q '[6]01' || exit 0; sleep 0.1; done; exit 1"
    assert person.pumice("exec", pod, "sh", "-c", script).returncode == 0
    process = person.pumice("exec", pod, "sh", "-c", "kill -9 $$")
    assert process.returncode == 128 + 9
    pods.run_ok(person, "rm", "--force", pod)
