"""Start the sandbox in a copy of this process, which is faster than starting an interpreter.

This process must have one thread, and all modules of the sandbox are imported before the copy is made:
afterwards, an import would read the files of the image.
"""

from __future__ import annotations

import os

from pumice.runtime.launch.execution import program_environment
from pumice.runtime.sandbox.errors import SETUP_FAILED, SetupError, exit_with_reason
from pumice.runtime.sandbox.main import main

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.runtime.launch.execution import Streams
    from pumice.runtime.launch.model import Start


def fork_sandbox(start: Start, streams: Streams = (0, 1, 2)) -> tuple[int, int]:
    """Start the sandbox as `execution.spawn_sandbox` does; return the same."""
    reason_reader, reason_writer = os.pipe()
    arguments = (*start.options, "--status-fd", str(reason_writer), "--", *start.program)
    for descriptor in start.descriptors:
        os.set_inheritable(descriptor, True)
    pid = os.fork()
    if pid == 0:
        _run_and_exit(arguments, reason_writer, streams)
    for descriptor in (reason_writer, *start.descriptors):
        os.close(descriptor)
    return reason_reader, pid


def _run_and_exit(arguments: Sequence[str], reasons: int, streams: Streams) -> None:
    code = SETUP_FAILED
    try:
        for number, stream in enumerate(streams):
            if stream != number:
                os.dup2(stream, number)
        environment = program_environment()
        os.environ.clear()
        os.environ.update(environment)
        code = main(arguments)
    except BaseException as error:  # noqa: BLE001 - nothing may return into the code of the caller
        exit_with_reason(reasons, SetupError(f"cannot set up the sandbox: {error}"))
    finally:
        os._exit(code)
