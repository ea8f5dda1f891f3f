"""The command ``pumice attach``, and the streams of programs in the background."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import peers, pods, waiting
from tests.support.terminals import start_in_terminal

if TYPE_CHECKING:
    from tests.support.people import Person

_DETACH = b"\x10\x11"
_DEADLINE = waiting.PATIENCE_SECONDS


class AttachedTerminal:
    """A terminal with ``pumice attach`` in its foreground."""

    def __init__(self, person: Person, *arguments: str, lines: int = 30) -> None:
        self._controller, inner_end = pty.openpty()
        self.resize(lines)
        self.process = start_in_terminal(
            person.command("attach", *arguments), inner_end, person.environment(), person.home
        )
        os.close(inner_end)

    def wait_until_attached(self) -> None:
        """Wait until keys are passed on, instead of being handled by this terminal."""
        waiting.until(lambda: not termios.tcgetattr(self._controller)[3] & termios.ISIG)

    def resize(self, lines: int) -> None:
        fcntl.ioctl(self._controller, termios.TIOCSWINSZ, struct.pack("4H", lines, 100, 0, 0))

    def type(self, text: bytes) -> None:
        os.write(self._controller, text)

    def read_until(self, text: bytes) -> bytes:
        """Return the output up to a text."""
        output = b""
        while text not in output:
            assert select.select([self._controller], [], [], _DEADLINE)[0], output
            try:
                output += os.read(self._controller, 1 << 12)
            except OSError as error:  # the command has ended
                raise AssertionError(f"{text!r} is not in {output!r}") from error
        return output

    def close(self) -> int:
        """Return the exit code of the command."""
        code = self.process.wait(_DEADLINE)
        os.close(self._controller)
        return code


@pytest.fixture(scope="module", params=["builtin", "builtin --init", "bwrap", "runc", "fly"])
def stage1(request: pytest.FixtureRequest, person: Person) -> list[str]:
    name, *options = request.param.split()
    if name == "fly" and person.name != "root":
        pytest.skip("the shell of fly needs a user of the host")
    if name in ("bwrap", "runc"):
        peers.need(name)
    return ["--stage1", name, *options]


def _attach(person: Person, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return person.pumice("attach", *arguments, **options)


def test_a_terminal_is_attached_detached_and_attached_again(person: Person, stage1: list[str]) -> None:
    pod = pods.start(person, "-it", *stage1, "box:1", "exec sh")
    terminal = AttachedTerminal(person, pod, lines=41)
    terminal.wait_until_attached()
    terminal.type(b"echo $((40+2)); stty size; tty\n")
    output = terminal.read_until(b"/dev/")
    assert b"42\r\n" in output
    assert b"41 100" in output
    terminal.resize(17)
    terminal.type(b"until stty size | grep '^17'; do sleep 0.1; done; echo d''one\n")
    assert b"17 100" in terminal.read_until(b"done\r\n")
    terminal.type(b"A=kept\n" + _DETACH)
    assert terminal.close() == 0
    terminal = AttachedTerminal(person, pod)
    terminal.wait_until_attached()
    terminal.type(b"echo $A again; exit 7\n")
    assert b"kept again" in terminal.read_until(b"kept again\r\n")
    assert terminal.close() == 7
    assert "kept again" in pods.run_ok(person, "logs", pod)
    pods.run_ok(person, "rm", pod)


def test_a_typed_interrupt_ends_the_first_process(person: Person, stage1: list[str]) -> None:
    if "runc" in stage1:
        pytest.skip("there process 1 is the engine's affair")
    pod = pods.start(person, "-it", *stage1, "box:1", "echo ready; exec sleep 600")
    terminal = AttachedTerminal(person, "--detach-keys", "", pod)
    pods.wait_for_log(person, "ready", pod)
    terminal.wait_until_attached()
    terminal.type(_DETACH)
    for _ in range(_DEADLINE):  # a shell that is about to execute the program loses the key
        terminal.type(b"\x03")
        with suppress(subprocess.TimeoutExpired):
            terminal.process.wait(1)
            break
    assert terminal.close() == 130
    pods.run_ok(person, "rm", pod)


def test_input_is_passed_until_its_end(person: Person, stage1: list[str]) -> None:
    pod = pods.start(person, "-i", *stage1, "box:1", "wc -c; exit 4")
    process = _attach(person, pod, input="x" * 3_000_000)
    assert (process.stdout.strip(), process.returncode) == ("3000000", 4), process.stderr
    assert pods.run_ok(person, "logs", pod).strip() == "3000000"
    pods.run_ok(person, "rm", pod)


def test_large_output_arrives_whole_on_the_right_streams(person: Person) -> None:
    script = "read x; yes | head -c 8000000; echo error >&2; exit 3"
    pod = pods.start(person, "-i", "box:1", script)
    process = _attach(person, pod, input="go\n")
    assert process.returncode == 3
    assert process.stdout == "y\n" * 4_000_000
    assert process.stderr == "error\n"
    pods.run_ok(person, "rm", pod)


def test_without_stdin_nothing_is_passed(person: Person) -> None:
    script = "while :; do echo tick; sleep 0.1; done & read x; echo got $x"
    pod = pods.start(person, "-i", "box:1", script)
    with person.running_pumice("attach", "--no-stdin", pod) as watcher:
        assert watcher.stdout
        assert watcher.stdout.readline() == "tick\n"
        assert _attach(person, pod, input="line\n").stdout.endswith("got line\n")
        assert watcher.wait(_DEADLINE) == 0
        assert watcher.stdout.read().endswith("got line\n")
    pods.run_ok(person, "rm", pod)


def test_a_program_without_interactive_has_no_input(person: Person) -> None:
    pod = pods.start(person, "box:1", "read x || echo none; sleep 600")
    pods.wait_for_log(person, "none", pod)
    pods.run_ok(person, "rm", "--force", pod)


@pytest.mark.parametrize("proxy", ["true", "false"])
def test_signals_are_passed_on_unless_that_is_refused(person: Person, proxy: str) -> None:
    pod = pods.start(person, "-i", "box:1", "trap 'exit 5' TERM; while :; do echo tick; sleep 0.1; done")
    with person.running_pumice("attach", f"--sig-proxy={proxy}", pod) as attached:
        assert attached.stdout
        assert attached.stdout.readline() == "tick\n"
        attached.send_signal(signal.SIGTERM)
        attached.stdout.read()
        assert attached.wait(_DEADLINE) == (5 if proxy == "true" else -signal.SIGTERM)
    assert pods.status(person, pod)["state"] == ("exited" if proxy == "true" else "running")
    pods.run_ok(person, "rm", "--force", pod)


def test_a_client_that_is_killed_or_reads_nothing_loses_nothing_of_others(person: Person) -> None:
    pod = pods.start(person, "-i", "box:1", "read x; yes | head -c 6000000; echo end")
    with (
        person.running_pumice("attach", "--no-stdin", pod) as slow,
        person.running_pumice("attach", pod, stdin=subprocess.PIPE) as attached,
    ):
        assert attached.stdin
        assert attached.stdout
        attached.stdin.write("go\n")
        attached.stdin.flush()
        assert attached.stdout.readline() == "y\n"
        slow.kill()
        assert attached.stdout.read().endswith("y\nend\n")
        assert attached.wait(_DEADLINE) == 0
    pods.run_ok(person, "rm", pod)


def test_an_app_of_several_is_chosen(person: Person) -> None:
    pod = pods.start(
        *(person, "--name", "pair", "-i", "--app", "a", "box:1", "read x; echo a $x; exit 3"),
        *("---", "-i", "--app", "b", "box:1", "read x; echo b $x"),
    )
    process = _attach(person, pod, input="")
    assert process.returncode == 10
    assert process.stderr == "error: the pod pair has several apps\n  hint: pass --app: a, b\n"
    process = _attach(person, "--app", "b", pod, input="2\n")
    assert (process.stdout, process.returncode) == ("b 2\n", 0)
    process = _attach(person, "--app", "a", pod, input="1\n")
    assert (process.stdout, process.returncode) == ("a 1\n", 3)
    pods.run_ok(person, "rm", pod)


def test_a_pod_that_does_not_run_is_refused(person: Person) -> None:
    pods.start(person, "--name", "over", "box:1", "true")
    pods.status(person, "over", "--wait")
    process = _attach(person, "over")
    assert process.returncode == 10
    assert process.stderr.startswith("error: the pod over is not running")
    pods.run_ok(person, "rm", "over")


@pytest.mark.parametrize("keys", ["ctrl-", "ctrl-ab", "word", "é", ","])
def test_impossible_keys_are_refused(person: Person, keys: str) -> None:
    process = _attach(person, "--detach-keys", keys, "any")
    assert process.returncode == 2
    assert "is not a key" in process.stderr
