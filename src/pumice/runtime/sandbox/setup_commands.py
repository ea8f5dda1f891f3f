"""Running commands of the image before its program, in the same container."""

from __future__ import annotations

import os

from pumice.runtime.sandbox.errors import SetupError, exit_with_reason
from pumice.runtime.sandbox.execution import execute_as_user
from pumice.runtime.sandbox.streams import Streams
from pumice.runtime.sandbox.supervision import wait_and_forward

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pumice.runtime.sandbox.options import Options

_MAX_OUTPUT = 2000


def run_setup_command(command: list[str], options: Options) -> None:
    """Run a command as the user of the program; if it fails, end this process with its output as the reason.

    It reads nothing, and its output does not mix with that of the program.
    """
    output = os.memfd_create("setup")
    child = os.fork()
    if child == 0:
        options.argv = command
        options.status_fd = 2  # where a reason is part of the output
        streams = Streams()
        streams.descriptors = [os.open("/dev/null", os.O_RDONLY), output, output]
        execute_as_user(options, streams)
    code = wait_and_forward(child)
    if code:
        end = os.lseek(output, 0, os.SEEK_END)
        text = os.pread(output, _MAX_OUTPUT, max(0, end - _MAX_OUTPUT)).decode(errors="replace").strip()
        message = f"the setup command {command[0]!r} ended with exit code {code}"
        exit_with_reason(options.status_fd, SetupError(f"{message}: {text}" if text else message))
    os.close(output)
