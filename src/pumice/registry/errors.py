"""Translates error responses of registries (distribution-spec 1.1, "Error Codes")."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import msgspec

from pumice.decoding import decode_json
from pumice.errors import FetchError, ImageError

if TYPE_CHECKING:
    from pumice.registry.message import Response

_MAX_DETAILS = 300
_SENTENCES = {
    400: "the registry rejected the request as malformed",
    401: "the registry requires a login",
    403: "the registry denied access",
    404: "not found in the registry",
    405: "the registry does not support this operation",
    413: "the content is too large for the registry",
    415: "the registry does not accept this media type",
    416: "the registry does not have the requested range",
    429: "too many requests to the registry",
    507: "the registry has no space left",
}
_HINTS = {
    401: "log in with pumice login HOST, or check the name: many registries hide what does not exist",
    403: "check the permissions of the account in this repository",
    429: "wait a while, log in, or use a mirror",
}


_NOT_FOUND_CODES = frozenset({"MANIFEST_UNKNOWN", "NAME_UNKNOWN", "BLOB_UNKNOWN"})


class RegistryError(FetchError):
    """An error response: ``status`` is the HTTP status, ``codes`` are the error codes in the body."""

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
    """The registry does not have the manifest, blob or repository."""

    exit_code = ImageError.exit_code


class DeniedError(RegistryError):
    """The registry requires a login, or one with more permissions."""


class _Problem(msgspec.Struct, frozen=True):
    code: str | None = ""
    message: str | None = ""


class _Problems(msgspec.Struct, frozen=True):
    errors: tuple[_Problem, ...] | None = ()


def is_not_found(response: Response) -> bool:
    """Return whether a response means "not found".

    Some registries respond with status 400 and an error code in the body.
    """
    if response.status == 404:
        return True
    codes = {problem.code for problem in _read_problems(response.content)}
    return 400 <= response.status < 500 and bool(codes & _NOT_FOUND_CODES)


def response_error(response: Response, where: str, *, hint: str | None = None) -> RegistryError:
    """Return the error for an unexpected response; ``where`` is the requested reference or URL."""
    problems = _read_problems(response.content)[:10]
    details = "; ".join(
        dict.fromkeys(_problem_text(problem) for problem in problems if problem.message or problem.code)
    )
    sentence = _SENTENCES.get(response.status) or f"the registry responded {status_phrase(response.status)}"
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
    """Return the problems in the body of an error response, none if it has another format."""
    try:
        return decode_json(content, _Problems).errors or ()
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ()


def status_phrase(status: int) -> str:
    """Return a status with its reason phrase: ``404 Not Found``."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def redact_url(url: str) -> str:
    """Return a URL without login and query, which may be secret."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "a malformed URL"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))
