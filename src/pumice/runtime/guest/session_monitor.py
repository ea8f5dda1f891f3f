"""The monitor of a program in a virtual machine: it starts it, and waits for its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.runtime.guest.machine_code import Assembler, Value, address_of
from pumice.runtime.guest.session_parts import (
    PORT,
    PROGRAM_FILE,
    Frame,
    Polled,
    reader,
    report_failure,
    write_all,
    writer,
)
from pumice.runtime.guest.system_calls import (
    CLONE,
    CLOSE,
    CLOSE_RANGE,
    DUP2,
    EXECVEAT,
    EXIT,
    FORK,
    KILL,
    PIDFD_OPEN,
    POLL,
    READ,
    SETNS,
    WAIT4,
    WRITE,
)
from pumice.runtime.sandbox import guest_frames as frames

if TYPE_CHECKING:
    from collections.abc import Sequence

_CLONE_NEWNS, _CLONE_NEWCGROUP, _CLONE_NEWPID = 0x20000, 0x2000000, 0x20000000
_SIGCHLD, _SIGKILL = 17, 9
_AT_EMPTY_PATH = 0x1000
_MAX_LAST_READS = 128
"""How often output is read after the end of a program, because a process that it left behind writes on."""


class Monitor:
    """The code of the monitor of a session, and the variables that it shares with the server.

    The server does not change them while the monitor runs. ``app`` is the number of the app that the session
    belongs to, None for any; ``apps`` are the processes of all.
    """

    def __init__(self, program: Assembler, port: Value, apps: Sequence[Value], app: int | None) -> None:
        self._program = program
        self._port = port
        self._apps = apps
        self._app = app
        self.child = program.variable() if app is None else apps[app]
        self.file, self.terminal, self.chosen_app = (program.variable() for _ in range(3))
        self.pairs = [program.variable() for _ in range(6)]
        """The pipes for what the host sends, the three streams, and the start and the end of the program."""

    def watch(self, *, is_terminal: bool) -> None:
        """Be the monitor: start the program, and send how it ended after all of its output."""
        program = self._program
        sent_input, own_input, output, _, _, ended = self.pairs
        container, parent, failed = program.variable(), program.label("parent"), program.label("failed")
        program.call(CLOSE, writer(sent_input))
        target, source = writer(own_input), reader(output)
        if is_terminal:
            target = source = self.terminal
        # They are not in the process namespace of the app.
        input_copy = self._fork_input_copy(target)
        output_copy = self._fork_output_copy(source)
        self._enter_app(container, failed)
        is_app, status = self._app is not None, program.variable()
        program.set(status, 0)
        new = _CLONE_NEWPID | _CLONE_NEWNS | _CLONE_NEWCGROUP if is_app else 0
        program.call(CLONE, new | _SIGCHLD, 0, 0, 0, 0, result=self.child)
        program.jump_if_not_zero(parent)
        self._execute(container)
        program.mark(parent)
        self._close_program_ends()
        self._wait_for_program(status)
        program.mark(failed)
        self._close_program_ends()
        program.call(CLOSE, writer(ended))
        program.call(WAIT4, output_copy, 0, 0, 0)
        program.call(KILL, input_copy, _SIGKILL)
        last = Frame(program, 0)
        program.set(last.kind, frames.ENDED)
        program.set(last.number, status)
        program.call(WRITE, self._port, address_of(last.start), frames.HEADER.size)
        program.call(EXIT, 0)

    def _close_program_ends(self) -> None:
        """Close the ends of the pipes that only the program needs."""
        _, own_input, output, errors, executed, _ = self.pairs
        for end in (reader(own_input), *map(writer, (own_input, output, errors, executed))):
            self._program.call(CLOSE, end)

    def _wait_for_program(self, status: Value) -> None:
        program, result = self._program, self._program.variable()
        failed, good = map(program.label, ("failed", "good"))
        program.call(WAIT4, self.child, address_of(status), 0, 0, result=result)
        program.jump_if_negative(failed)
        program.jump(good)
        program.mark(failed)
        report_failure(program, self._port, frames.FAILED, CLONE, self.child)
        program.mark(good)
        program.set(self.child, 0)

    def _enter_app(self, container: Value, failed: str) -> None:
        """Let further processes be in the process namespace of the app, which runs already."""
        if self._app is not None:
            return
        program, result, good = self._program, self._program.variable(), self._program.label("good")
        program.set(result, 0)
        for number, app in enumerate(self._apps):
            other = program.label("other")
            program.compare(self.chosen_app, number)
            program.jump_if_not_zero(other)
            program.set(result, app)
            program.mark(other)
        program.call(PIDFD_OPEN, result, 0, result=container)
        program.call(SETNS, container, _CLONE_NEWPID, result=result)
        program.jump_if_zero(good)
        report_failure(program, self._port, frames.FAILED, SETNS, result)
        program.jump(failed)
        program.mark(good)

    def _execute(self, container: Value) -> None:
        """Execute the program that enters the container, with its descriptors."""
        program, result = self._program, self._program.variable()
        _, own_input, output, errors, executed, _ = self.pairs
        streams = (reader(own_input), writer(output), writer(errors))
        placed = (*streams, self.file, self._port, writer(executed), self.terminal, container)
        for number, descriptor in enumerate(placed):
            program.call(DUP2, descriptor, number)
        program.call(CLOSE_RANGE, len(placed), 0xFFFFFFFF, 0)
        words, variables = program.pointers([program.text("init")]), program.pointers([])
        program.call(
            *(EXECVEAT, PROGRAM_FILE, program.text(""), words, variables, _AT_EMPTY_PATH), result=result
        )
        report_failure(program, PORT, frames.FAILED, EXECVEAT, result)
        program.call(EXIT, 127)

    def _fork_input_copy(self, target: Value) -> Value:
        """Fork a process that writes the input to ``target``, and says how much; return its number."""
        program, process = self._program, self._program.variable()
        after, again, end = map(program.label, ("after", "again", "end"))
        program.call(FORK, result=process)
        program.jump_if_not_zero(after)
        sent_input, own_input, *others = self.pairs
        for unused in (reader(own_input), *map(writer, others)):
            program.call(CLOSE, unused)
        buffer, count = program.variable(frames.MAX_CONTENT), program.variable()
        answer = Frame(program, 0)
        program.set(answer.kind, frames.ACCEPTED)
        program.mark(again)
        source = reader(sent_input)
        program.call(READ, source, address_of(buffer), frames.MAX_CONTENT, result=count)
        program.jump_if_negative(end)
        program.jump_if_zero(end)
        write_all(program, target, buffer, count)
        program.set(answer.number, count)
        program.call(WRITE, self._port, address_of(answer.start), frames.HEADER.size)
        program.jump(again)
        program.mark(end)
        program.call(EXIT, 0)
        program.mark(after)
        return process

    def _fork_output_copy(self, output: Value) -> Value:
        """Fork a process that sends output until the program has ended and nothing is left.

        A process that the program leaves behind can write on, so there is a limit. Return its number.
        """
        program, process = self._program, self._program.variable()
        *_, errors, executed, ended = self.pairs
        after, again, end, later = map(program.label, ("after", "again", "end", "later"))
        program.call(FORK, result=process)
        program.jump_if_not_zero(after)
        program.call(CLOSE, writer(ended))
        self._close_program_ends()
        polled = Polled(program, (reader(executed), output, reader(errors), reader(ended)))
        timeout, reads = program.variable(), program.variable()
        program.set(timeout, -1)
        program.set(reads, _MAX_LAST_READS)
        program.mark(again)
        program.call(POLL, polled.address, 4, timeout)
        program.jump_if_zero(end)
        with polled.if_ready(0):
            polled.remove(0)
            self._send(frames.STARTED)
        for number, kind in ((1, frames.OUTPUT), (2, frames.ERROR)):
            with polled.if_ready(number):
                self._send_output(polled, number, kind)
        with polled.if_ready(3):
            polled.remove(3)
            program.set(timeout, 0)
        program.compare(timeout, 0)
        program.jump_if_not_zero(later)
        program.subtract(reads, 1)
        program.jump_if_zero(end)
        program.mark(later)
        program.jump(again)
        program.mark(end)
        program.call(EXIT, 0)
        program.mark(after)
        return process

    def _send(self, kind: int) -> None:
        frame = Frame(self._program, 0)
        self._program.set(frame.kind, kind)
        self._program.call(WRITE, self._port, address_of(frame.start), frames.HEADER.size)

    def _send_output(self, polled: Polled, number: int, kind: int) -> None:
        """Send what can be read of a stream, or remove it after its end."""
        program, frame = self._program, Frame(self._program, frames.MAX_CONTENT)
        end, done, count = program.label("end"), program.label("done"), program.variable()
        content = address_of(frame.content)
        program.call(READ, polled.descriptor(number), content, frames.MAX_CONTENT, result=count)
        program.jump_if_negative(end)
        program.jump_if_zero(end)
        program.set(frame.kind, kind)
        program.set(frame.size, count)
        program.add(count, frames.HEADER.size)
        program.call(WRITE, self._port, address_of(frame.start), count)
        program.jump(done)
        program.mark(end)
        polled.remove(number)
        program.mark(done)
