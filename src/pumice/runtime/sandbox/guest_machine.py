"""Waiting for a virtual machine: its output is copied, signals go to its program, and frames tell its end.

A frame has 24 bytes: a letter, and two numbers of 8 bytes. ``S``: the status of the program (wait(2)); ``O``
and ``E``: all bytes of its standard output or error. ``X``: the program could not be executed; ``F``: a
system call before it failed; the second number is the negative errno. A machine that says nothing more ends
by a signal, when all its output has arrived.
"""

from __future__ import annotations

import errno
import os
import select
import struct

from pumice.runtime.sandbox import syscalls
from pumice.runtime.sandbox.descriptors import write_all
from pumice.runtime.sandbox.errors import NOT_EXECUTABLE, NOT_FOUND, SetupError, exit_with_reason
from pumice.runtime.sandbox.signals import FORWARDED_SIGNALS, TYPED_SIGNALS, signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pumice.runtime.sandbox.options import Options

_FRAME = struct.Struct("<Qqq")
_MAX_READ = 1 << 16
_STDOUT, _STDERR = 1, 2


def copy_input() -> None:
    """Replace standard input by a pipe into which a process copies it; qemu would change its flags."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        syscalls.end_with_parent()
        os.close(reader)
        try:
            while data := os.read(0, _MAX_READ):
                write_all(writer, data)
        except OSError:  # there is none, or the machine has ended
            pass
        os._exit(0)
    os.close(writer)
    os.dup2(reader, 0)
    os.close(reader)


def wait_for_machine(process: int, options: Options, server: int = 0) -> int:
    """Wait until the program in a virtual machine has ended, and return its exit code.

    ``server`` is the process that shares files with the machine, if there is one. It would complain if the
    machine ended before it, and the machine about its end.
    """
    machine = _Machine(process, options)
    while not machine.has_ended():
        machine.wait()
    if server:
        os.kill(process, signal.SIGSTOP)
        os.kill(server, signal.SIGKILL)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return machine.exit_code()


class _Machine:
    """A virtual machine while it runs."""

    def __init__(self, process: int, options: Options) -> None:
        self._process = process
        self._options = options
        self._signals = syscalls.open_signal_descriptor({*FORWARDED_SIGNALS, signal.SIGCHLD, *TYPED_SIGNALS})
        out, err, self._status = options.guest_outputs
        self._targets = {out: _STDOUT, err: _STDERR}
        self._copied = {_STDOUT: 0, _STDERR: 0}
        self._frames: dict[str, int] = {}
        self._poll = select.poll()
        for descriptor in (self._signals, *options.guest_outputs):
            self._poll.register(descriptor, select.POLLIN)

    def has_ended(self) -> bool:
        """Return whether the program has ended, and all its output was copied."""
        expected = (("O", _STDOUT), ("E", _STDERR))
        return "S" in self._frames and all(
            self._copied[stream] == self._frames.get(kind) for kind, stream in expected
        )

    def exit_code(self) -> int:
        """Return the exit code of the program."""
        status = self._frames["S"]
        return status >> 8 & 0xFF if not status & 0x7F else 128 + (status & 0x7F)

    def wait(self) -> None:
        """Wait for output, a frame or a signal, and handle it."""
        for descriptor, _ in self._poll.poll():
            if descriptor == self._signals:
                self._handle_signal()
                continue
            data = os.read(descriptor, _MAX_READ)
            if not data:
                self._poll.unregister(descriptor)
            elif descriptor == self._status:
                self._read_frames(data)
            else:
                self._copy(self._targets[descriptor], data)

    def _copy(self, target: int, data: bytes) -> None:
        self._copied[target] += len(data)
        try:
            write_all(target, data)
        except OSError as error:
            if error.errno != errno.EPIPE:  # the reader is gone
                reason = SetupError(f"cannot write the program's output ({error.strerror})")
                exit_with_reason(self._options.status_fd, reason)

    def _handle_signal(self) -> None:
        number, _ = syscalls.read_signal(self._signals)
        if number != signal.SIGCHLD:
            try:
                os.write(self._options.guest_control, bytes([TYPED_SIGNALS.get(number, number)]))
            except OSError:  # it ends at the moment
                pass
            return
        process, status = os.waitpid(self._process, os.WNOHANG)  # the end of virtiofsd ends qemu, too
        if process:
            code = os.waitstatus_to_exitcode(status)
            reason = SetupError(
                f"the virtual machine ended before its program (exit code {code} of qemu)",
                "see its message above; more --memory may help",
            )
            exit_with_reason(self._options.status_fd, reason)

    def _read_frames(self, data: bytes) -> None:
        for position in range(0, len(data) - _FRAME.size + 1, _FRAME.size):
            kind, number, result = _FRAME.unpack_from(data, position)
            if kind == ord("X"):
                _report_failure(-result, self._options)
            if kind == ord("F"):
                error = os.strerror(-result)
                reason = SetupError(f"system call {number} failed in the virtual machine ({error})")
                exit_with_reason(self._options.status_fd, reason)
            self._frames[chr(kind & 0x7F)] = number


def _report_failure(number: int, options: Options) -> None:
    is_missing = number in (errno.ENOENT, errno.ENOTDIR)
    message = "not found in the image" if is_missing else f"cannot be executed: {os.strerror(number)}"
    code = NOT_FOUND if is_missing else NOT_EXECUTABLE
    exit_with_reason(options.status_fd, SetupError(f"{options.guest_name}: {message}"), code)
