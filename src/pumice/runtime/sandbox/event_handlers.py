"""Running the event handlers of an app in its container: before the program, and after it."""

from __future__ import annotations

import os

from pumice.runtime.sandbox.descriptors import write_all
from pumice.runtime.sandbox.errors import SetupError, exit_with_reason
from pumice.runtime.sandbox.execution import execute_as_user
from pumice.runtime.sandbox.streams import Streams
from pumice.runtime.sandbox.supervision import wait_and_forward

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.runtime.sandbox.options import Options

    Run = Callable[[Sequence[str], Options, Streams], int]


def run_pre_start(options: Options, streams: Streams, run: Run | None = None) -> None:
    """Run what comes before the program; if it fails, end this process with that as the reason.

    ``run`` runs it elsewhere, and returns its exit code.
    """
    if not options.pre_start:
        return
    code = (run or _run)(options.pre_start, options, streams)
    if code:
        name = options.pre_start[0]
        exit_with_reason(
            options.status_fd, SetupError(f"the pre-start handler {name!r} ended with exit code {code}")
        )


def run_post_stop(options: Options, streams: Streams, run: Run | None = None) -> None:
    """Run what comes after the program; a failure is only written to its standard error.

    ``run`` is as in `run_pre_start`.
    """
    if not options.post_stop:
        return
    options.exec_fd = -1  # it was closed when the program ran
    code = (run or _run)(options.post_stop, options, streams)
    if code:
        text = f"the post-stop handler {options.post_stop[0]!r} ended with exit code {code}\n"
        try:
            write_all(streams.descriptors[2], text.encode(errors="surrogateescape"))
        except OSError:  # nobody reads it any more
            pass


def _run(command: Sequence[str], options: Options, streams: Streams) -> int:
    """Run a command as the program's user, with its environment, and without input; return its exit code."""
    child = os.fork()
    if child == 0:
        options.argv = list(command)
        options.listen = []
        options.status_fd = 2  # why it cannot be executed is part of the output
        execute_as_user(options, without_input(streams))
    return wait_and_forward(child)


def without_input(streams: Streams) -> Streams:
    """Return the streams of an event handler."""
    own_streams = Streams()
    own_streams.descriptors = [os.open("/dev/null", os.O_RDONLY), *streams.descriptors[1:]]
    return own_streams
