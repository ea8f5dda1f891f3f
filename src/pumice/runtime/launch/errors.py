"""The errors of a sandbox that did not start its program."""

from __future__ import annotations

from pumice.errors import SandboxError
from pumice.runtime.sandbox.errors import NOT_EXECUTABLE, NOT_FOUND

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


class NotRunnableError(SandboxError):
    """The program of the image cannot be executed; the exit code is that of a shell."""

    def __init__(self, program: str, code: int, reason: str) -> None:
        super().__init__(
            f"{program}: {reason}", hint=_suggest(program, reason) if code == NOT_FOUND else None
        )
        self.exit_code = code


def _suggest(program: str, reason: str) -> str | None:
    if reason.startswith(("its loader", "its interpreter")):
        return "see what is missing with 'pumice check REF'"
    if reason.startswith("its "):  # such a reason already says what to do
        return None
    program = program.rpartition(": ")[2]  # without the name of the app
    if " " in program:
        return "write the program and each of its arguments as words of their own"
    if program.rpartition("/")[2] in _SHELLS:
        return "add a shell such as busybox to 'packages', or look inside with 'pumice files REF'"
    return "list what the image has with 'pumice files REF'"


_SHELLS = frozenset(("ash", "bash", "dash", "sh", "zsh"))


def raise_reason(text: str, code: int) -> NoReturn:
    """Raise the error for the reason that a sandbox gave for not starting its program."""
    message, _, hint = text.partition("\n  hint: ")
    if code in (NOT_FOUND, NOT_EXECUTABLE):
        program, _, reason = message.rpartition(": ")
        raise NotRunnableError(program, code, reason)
    raise SandboxError(message, hint=hint or None)
