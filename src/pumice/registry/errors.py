"""What registries say when they refuse, as the errors of `pumice.errors`."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import msgspec

from pumice.errors import FetchError

if TYPE_CHECKING:
    from pumice.registry.message import Response

_MAX_DETAILS = 300
_SENTENCES = {
    400: "the registry does not understand the request",
    401: "the registry wants a login",
    403: "the registry does not allow this",
    404: "the registry does not have it",
    405: "the registry does not offer this",
    413: "the registry finds it too large",
    415: "the registry does not take this kind of content",
    416: "the registry has no such part of it",
    429: "the registry wants fewer requests",
    507: "the registry has no space left",
}
_HINTS = {
    401: "log in with pumice login HOST, or check the name: many ask for a login for what is not there",
    403: "check that the account may do this in this repository",
    429: "wait a while, log in, or use a mirror",
}


_NOT_FOUND_CODES = frozenset({"MANIFEST_UNKNOWN", "NAME_UNKNOWN", "BLOB_UNKNOWN"})


class RegistryError(FetchError):
    """A registry did not do what it was asked. ``status`` is HTTP's, ``codes`` are the registry's own."""

    def __init__(
        self,
        message: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        status: int = 0,
        codes: tuple[str, ...] = (),
    ) -> None:
        super().__init__(message, where=where, hint=hint)
        self.status = status
        self.codes = codes


class NotFoundError(RegistryError):
    """The registry does not have it."""


class DeniedError(RegistryError):
    """The registry wants a login, or another one."""


class _Problem(msgspec.Struct, frozen=True):
    code: str | None = ""
    message: str | None = ""


class _Problems(msgspec.Struct, frozen=True):
    errors: tuple[_Problem, ...] | None = ()


def is_not_found(response: Response) -> bool:
    """Say whether an answer means that something is not there, also where its status says something else.

    Some registries answer 400 for it, and say in the body what they mean.
    """
    if response.status == 404:
        return True
    codes = {problem.code for problem in _read_problems(response.content)}
    return 400 <= response.status < 500 and bool(codes & _NOT_FOUND_CODES)


def response_error(response: Response, where: str, *, hint: str | None = None) -> RegistryError:
    """Return the error for an answer that is none of those hoped for; ``what`` was asked about."""
    problems = _read_problems(response.content)[:10]
    details = "; ".join(
        dict.fromkeys(_problem_text(problem) for problem in problems if problem.message or problem.code)
    )
    sentence = _SENTENCES.get(response.status) or f"the registry answers {status_phrase(response.status)}"
    error_type = {401: DeniedError, 403: DeniedError}.get(response.status, RegistryError)
    if is_not_found(response):
        error_type = NotFoundError
    return error_type(
        f"{sentence} ({details[:_MAX_DETAILS]})" if details else sentence,
        where=where,
        hint=hint or _HINTS.get(response.status),
        status=response.status,
        codes=tuple(problem.code for problem in problems if problem.code),
    )


def _problem_text(problem: _Problem) -> str:
    message = (problem.message or "").strip().rstrip(".")
    return f"{problem.code}: {message}" if problem.code and message else problem.code or message


def _read_problems(content: bytes) -> tuple[_Problem, ...]:
    """Read the JSON of distribution-spec's "Error Codes"; what is none says nothing."""
    try:
        return msgspec.json.decode(content, type=_Problems).errors or ()
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ()


def status_phrase(status: int) -> str:
    """Return a status as people know it."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def redact_url(url: str) -> str:
    """Return a URL without what could be secret in it: login and query."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a malformed address"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
