"""The standard streams of the program.

Opening ``/dev/stdout`` opens the file of the descriptor again, with the rights of the program. The owner
of a pipe becomes the program's user, as in other runtimes. For everything else a helper copies: to files,
which would be truncated, to sockets, which cannot be opened, and to terminals of other users.
"""

from __future__ import annotations

import errno
import os
import stat

from pumice.runtime.sandbox import devices
from pumice.runtime.sandbox.descriptors import close_others, give_to_program, write_all
from pumice.runtime.sandbox.errors import SetupError, exit_with_reason
from pumice.runtime.sandbox.shifted_root import outside_id
from pumice.runtime.sandbox.supervision import wait_and_forward

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.runtime.sandbox.options import Options


class Streams:
    """The descriptors that become standard input, output and error, and the helpers that copy them."""

    def __init__(self) -> None:
        self.descriptors = [0, 1, 2]
        self.console = ""  # the path of the terminal among them
        self.helpers: list[int] = []
        self.has_own_terminal = False

    def install(self) -> None:
        """Move the streams to descriptors 0 to 2, and make the program's own terminal the controlling one."""
        for number, descriptor in enumerate(self.descriptors):
            if descriptor != number:
                os.dup2(descriptor, number)
        if self.has_own_terminal:
            from pumice.runtime.sandbox import terminal  # imported when it was opened

            terminal.make_controlling(0)

    def wait_for(
        self,
        child: int,
        target: Callable[[], int] | None = None,
        first_process: Callable[[], str] | None = None,
    ) -> int:
        """Wait for ``child``, then for the helpers, which copy remaining output; return its exit code.

        Signals are forwarded as `supervision.wait_and_forward` says.
        """
        for descriptor in set(self.descriptors) - {0, 1, 2}:
            os.close(descriptor)  # a helper ends when the last writer is gone
        code = wait_and_forward(child, target, first_process)
        for helper in self.helpers:
            try:
                os.waitpid(helper, 0)
            except ChildProcessError:  # reaped while the program ran
                pass
        return code


def prepare_streams(options: Options) -> Streams:
    """Return the streams, prepared so that the program can open them by name."""
    streams = Streams()
    if options.own_terminal:
        from pumice.runtime.sandbox import terminal  # noqa: F401 - later, an import would read the image

        streams.console, streams.has_own_terminal = os.ttyname(0), True
        give_to_program(0, _owner(options))
    elif options.terminal and os.isatty(0) and os.isatty(1) and is_foreground():
        _use_own_terminal(streams, options)
    elif not _is_host_program(options):
        streams.console = next((os.ttyname(number) for number in (0, 1, 2) if os.isatty(number)), "")
    pipes: dict[tuple[int, int], int] = {}
    for number in (0, 1, 2):
        try:
            status = os.fstat(number)
        except OSError:  # the caller closed it
            continue
        if streams.descriptors[number] != number:
            continue
        if _is_anonymous_pipe(status) and os.geteuid() in (0, status.st_uid):
            give_to_program(number, _owner(options))
        elif number and _needs_copying(number, status, options):
            key = (status.st_dev, status.st_ino)
            if key not in pipes:
                pipes[key], helper = _copy_stream(number, options)
                streams.helpers.append(helper)
            streams.descriptors[number] = pipes[key]
    return streams


def _use_own_terminal(streams: Streams, options: Options) -> None:
    from pumice.runtime.sandbox import terminal  # most runs have none, and it needs slow modules

    own_terminal = terminal.open_terminal(_owner(options), 0 if options.init or options.fly else os.getpid())
    if own_terminal is None:
        streams.console = os.ttyname(0)
        return
    descriptor, helper = own_terminal
    streams.console = os.ttyname(descriptor)
    streams.descriptors = [descriptor if os.isatty(number) else number for number in (0, 1, 2)]
    streams.has_own_terminal = True
    streams.helpers.append(helper)


def _owner(options: Options) -> int | None:
    """Return the user that must own the streams, None if it is the caller."""
    if os.geteuid() != 0 or _is_host_program(options):
        return None
    return outside_id(options, "uid", options.uid)


def _is_host_program(options: Options) -> bool:
    """Return whether the streams go to a program of the host, which opens none by its name."""
    return options.only_root and not options.own_streams


def is_foreground() -> bool:
    """Return whether this process may read from its terminal, if that is standard input."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:  # the terminal of another session, or of none
        return True


def _is_anonymous_pipe(status: os.stat_result) -> bool:
    """Return whether it is an unnamed pipe: changing the owner of a named one would change a file."""
    if not stat.S_ISFIFO(status.st_mode):
        return False
    reader, writer = os.pipe()
    device = os.fstat(reader).st_dev
    os.close(reader)
    os.close(writer)
    return status.st_dev == device


def _needs_copying(number: int, status: os.stat_result, options: Options) -> bool:
    if not stat.S_ISCHR(status.st_mode):
        return True
    if os.geteuid() != 0 or _is_host_program(options):  # the ids inside are those of the caller
        return options.terminal and os.isatty(number) and os.geteuid() not in (0, status.st_uid)
    if not os.isatty(number):
        return not devices.is_device(status)
    return outside_id(options, "uid", options.uid) not in (0, status.st_uid)


def _copy_stream(number: int, options: Options) -> tuple[int, int]:
    """Return a pipe (for a terminal: a terminal) that a helper copies to ``number``, and the helper's id."""
    if os.isatty(number):
        from pumice.runtime.sandbox import terminal

        source, target = terminal.open_output_terminal(number)
    else:
        source, target = os.pipe()
    give_to_program(target, _owner(options))
    helper = os.fork()
    if helper == 0:
        close_others({source, number, options.status_fd})
        try:
            while data := os.read(source, 1 << 16):
                write_all(number, data)
        except OSError as error:
            if error.errno not in (errno.EIO, errno.EPIPE):  # the terminal was closed, or the reader is gone
                reason = SetupError(f"cannot write the program's output ({error.strerror})")
                exit_with_reason(options.status_fd, reason)
        os._exit(0)
    os.close(source)
    return target, helper
