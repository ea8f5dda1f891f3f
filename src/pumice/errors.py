"""The errors that Pumice reports, and their exit codes.

An error has a sentence for a person, the place it concerns, and a hint that says what to do. The exit
code belongs to the class: each kind of failure has its own, by which a script can tell what to do.
``docs/reference/exit-codes.md`` has the same table as `EXIT_CODES`.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence


EXIT_CODES = {
    0: "success",
    1: "an error without a code of its own, an error of the operating system, a closed output pipe, or a"
    " difference that a command such as `lock --check` reports",
    2: "usage: the command line is invalid, or names something that is not an image",
    3: "invalid recipe: every problem is reported with `file:line:col`",
    4: "invalid lock: it is missing, out of date or does not match the recipe",
    5: "no set of packages satisfies the recipe; the message contains a proof",
    6: "network: the mirror or registry is down or refused the request, a login is required, a file of a"
    " mirror does not exist, or `--offline` was given",
    7: "trust refused: an image is not signed by a trusted key, or a signature, an expiry date or a digest"
    " is not valid",
    8: "invalid input: a package, archive or document is malformed or hostile",
    9: "the local store: no space, read-only or damaged",
    10: "not found: the store, the registry or the location does not have the image; or the contents of an"
    " image or destination conflict; or there is no such pod, or it is in the wrong state",
    11: "a program could not be started in the sandbox",
    70: "internal: a bug in Pumice; please report it with the traceback that `PUMICE_DEBUG=1` prints",
    130: "interrupted (Ctrl-C)",
}
"""Every exit code and what it means, apart from those of programs that ``pumice run`` starts."""


class PumiceError(Exception):
    """A failure that a person can act on.

    ``message`` is one sentence without a full stop, ``where`` a place such as ``recipe.yaml:7:5``
    or a reference, ``hint`` what to do about it.
    """

    exit_code = 1

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        head = f"{self.where}: {self.message}" if self.where else self.message
        return f"{head}\n  hint: {self.hint}" if self.hint else head


class UsageError(PumiceError):
    """The command line does not make sense."""

    exit_code = 2


class Problem(PumiceError):  # noqa: N818 - part of a `RecipeError`, never raised on its own outside the recipe reader
    """One problem in a recipe or a release; a `RecipeError` or `SliceError` carries all of them."""

    exit_code = 3


class RecipeError(PumiceError):
    """A recipe that cannot be used, with every problem in it."""

    exit_code = 3

    def __init__(self, problems: Sequence[Problem]) -> None:
        first = problems[0]
        super().__init__(first.message, where=first.where, hint=first.hint)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class SliceError(PumiceError):
    """A release of slice definitions that cannot be used, with every problem in it."""

    exit_code = 8

    def __init__(self, problems: Sequence[Problem]) -> None:
        first = problems[0]
        super().__init__(first.message, where=first.where, hint=first.hint)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class LockError(PumiceError):
    """The lock is missing, stale or does not fit the recipe."""

    exit_code = 4


class ResolveError(PumiceError):
    """No set of packages satisfies the recipe; the message proves why."""

    exit_code = 5


class FetchError(PumiceError):
    """A download failed: the mirror is down, the file was not found, or ``--offline`` was given."""

    exit_code = 6


class TrustError(PumiceError):
    """A signature, an expiry date or a digest is not valid."""

    exit_code = 7


class FormatError(PumiceError):
    """Bytes from outside are malformed, hostile or larger than allowed."""

    exit_code = 8


class StoreError(PumiceError):
    """The local store or another file cannot be read or written."""

    exit_code = 9


class ImageError(PumiceError):
    """An image or a destination was not found, or contents conflict."""

    exit_code = 10


class PodError(PumiceError):
    """A pod was not found, or is not in the state that a command needs."""

    exit_code = 10


class SandboxError(PumiceError):
    """A program could not be started in isolation."""

    exit_code = 11
