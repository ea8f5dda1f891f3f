"""The error and the exit codes of the sandbox."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

SETUP_FAILED, NOT_EXECUTABLE, NOT_FOUND = 125, 126, 127
"""The exit codes of a sandbox that does not execute the program; the last two are those of shells."""


class SetupError(Exception):
    """The sandbox cannot be set up: one sentence and a hint."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


FAILURES = (SetupError, OSError, ValueError, OverflowError)
"""What is raised while a sandbox is set up, for `explain_failure`."""


def explain_failure(error: Exception) -> SetupError:
    """Return the reason for an error, such as one of `FAILURES`."""
    return error if isinstance(error, SetupError) else SetupError(f"cannot set up the sandbox: {error}")


def exit_with_reason(status_fd: int, error: SetupError, code: int = SETUP_FAILED) -> NoReturn:
    """Write the message and hint of ``error`` to ``status_fd`` and end this process with ``code``."""
    separator = "\n  hint: " if error.hint else ""
    text = f"{error.message}{separator}{error.hint}\n"
    try:
        os.write(status_fd, text.encode(errors="surrogateescape"))
    finally:
        os._exit(code)  # also if nobody reads the reason: nothing may return into the code of the caller
