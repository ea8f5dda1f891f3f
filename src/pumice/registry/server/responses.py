"""Responses of the server: a status, headers, and a body in one of four forms.

Errors are the JSON documents of distribution-spec 1.1, "Error Codes". They repeat what the client asked
for, and never contain a path of this machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pumice.registry.server import grammar

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from pumice.registry.server.storage.protocol import RemoteContent

Headers = list[tuple[str, str]]
"""Names are in lower case, as RSGI expects. A list is not changed after it was created."""

JSON = "application/json"


class FileRange(msgspec.Struct, frozen=True):
    """The bytes of a local file from ``start`` up to ``end``."""

    path: str
    start: int
    end: int

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.end - self.start


class ContentRange(msgspec.Struct, frozen=True):
    """The bytes of remote content from ``start`` up to ``end``."""

    content: RemoteContent
    start: int
    end: int

    @property
    def size(self) -> int:
        """Number of bytes."""
        return self.end - self.start


class Stream(msgspec.Struct, frozen=True):
    """``size`` bytes that are still being received: ``first_chunk``, followed by ``chunks``.

    ``first_chunk`` is complete before the response begins, so an early failure becomes an error response.
    If the rest ends early or raises, the connection is cut, which shows the client that bytes are missing.
    """

    size: int
    first_chunk: bytes
    chunks: AsyncIterator[bytes]


class ServerResponse(msgspec.Struct, frozen=True):
    """A response to GET; HEAD gets the same without the body."""

    status: int
    headers: Headers
    body: bytes | FileRange | ContentRange | Stream = b""
    supports_ranges: bool = False
    """Whether a part of the body can be requested (RFC 9110, 14)."""

    @property
    def length(self) -> int:
        """Size of the body in bytes."""
        return len(self.body) if isinstance(self.body, bytes) else self.body.size


class Code(msgspec.Struct, frozen=True):
    """An error code of the specification, with its status and default message."""

    name: str
    status: int
    message: str


BLOB_UNKNOWN = Code("BLOB_UNKNOWN", 404, "blob not found in this repository")
BLOB_UPLOAD_INVALID = Code("BLOB_UPLOAD_INVALID", 400, "the upload cannot be continued")
BLOB_UPLOAD_UNKNOWN = Code("BLOB_UPLOAD_UNKNOWN", 404, "upload not found; it may have expired")
DIGEST_INVALID = Code("DIGEST_INVALID", 400, "the digest is malformed or does not match the content")
MANIFEST_BLOB_UNKNOWN = Code("MANIFEST_BLOB_UNKNOWN", 404, "the manifest refers to missing content")
MANIFEST_INVALID = Code("MANIFEST_INVALID", 400, "the manifest is invalid")
MANIFEST_UNKNOWN = Code("MANIFEST_UNKNOWN", 404, "manifest not found in this repository")
NAME_INVALID = Code("NAME_INVALID", 404, "invalid repository name")
NAME_UNKNOWN = Code("NAME_UNKNOWN", 404, "repository not found")
SIZE_INVALID = Code("SIZE_INVALID", 400, "the length differs from the declared length")
UNAUTHORIZED = Code("UNAUTHORIZED", 401, "authentication required")
DENIED = Code("DENIED", 403, "access denied")
UNSUPPORTED = Code("UNSUPPORTED", 405, "operation not supported")
TOO_MANY_REQUESTS = Code("TOOMANYREQUESTS", 429, "too many requests; try again later")

CODES = (
    BLOB_UNKNOWN,
    BLOB_UPLOAD_INVALID,
    BLOB_UPLOAD_UNKNOWN,
    DIGEST_INVALID,
    MANIFEST_BLOB_UNKNOWN,
    MANIFEST_INVALID,
    MANIFEST_UNKNOWN,
    NAME_INVALID,
    NAME_UNKNOWN,
    SIZE_INVALID,
    UNAUTHORIZED,
    DENIED,
    UNSUPPORTED,
    TOO_MANY_REQUESTS,
)
"""All fourteen codes of the specification."""

MALFORMED = Code("UNSUPPORTED", 400, "malformed request")
NO_ENDPOINT = Code("UNSUPPORTED", 404, "endpoint not found")
TOO_LARGE = Code("SIZE_INVALID", 413, "the manifest is larger than 4 MiB")
TOO_MANY_TAGS = Code("UNSUPPORTED", 414, "too many tags in one request")
CONDITION_FAILED = Code("DENIED", 412, "the tag does not meet the condition of the request")
INVALID_NUMBER = Code("UNSUPPORTED", 400, "n must be a non-negative number")
BODY_TIMEOUT = Code("BLOB_UPLOAD_INVALID", 408, "timed out waiting for the request body")
INTERNAL_ERROR = Code("UNKNOWN", 500, "internal error; the reason is in the registry's log")
NO_SPACE = Code("UNKNOWN", 507, "no space left in the registry")

UPSTREAM_UNREACHABLE = Code(
    "UNKNOWN", 502, "the upstream registry cannot be reached, and this content is not cached"
)
UPSTREAM_DENIED = Code("DENIED", 403, "the upstream registry denies access")
UPSTREAM_MISMATCH = Code("UNKNOWN", 502, "the upstream registry sent content with another digest")
UPSTREAM_INVALID = Code("UNKNOWN", 502, "the upstream registry sent an invalid response")

_encode = msgspec.json.encode


def error(
    code: Code, message: str = "", *, detail: Any = None, headers: Headers | None = None
) -> ServerResponse:
    """Return an error response; ``message`` replaces the default message of the code."""
    return errors(code, [(message, detail)], headers=headers)


def errors(code: Code, findings: list[tuple[str, Any]], *, headers: Headers | None = None) -> ServerResponse:
    """Return an error response with several findings: each a message and a detail, which may be None."""
    entries = []
    for message, detail in findings:
        entry: dict[str, Any] = {"code": code.name, "message": message or code.message}
        if detail is not None:
            entry["detail"] = detail
        entries.append(entry)
    return document(code.status, {"errors": entries}, headers=headers)


def bad_digest(text: str) -> ServerResponse:
    """Return the error for text that is not a digest."""
    return error(DIGEST_INVALID, f"{grammar.quote(text)} is not a sha256 or sha512 digest")


def document(
    status: int, value: Any, *, media_type: str = JSON, headers: Headers | None = None
) -> ServerResponse:
    """Return a JSON document."""
    body = _encode(value)
    all_headers = [("content-type", media_type), ("content-length", str(len(body))), *(headers or ())]
    return ServerResponse(status, all_headers, body)


def empty(status: int, headers: Headers | None = None) -> ServerResponse:
    """Return a response without a body; 204 has no Content-Length (RFC 9110, 8.6)."""
    length = [("content-length", "0")] if status != 204 else []
    return ServerResponse(status, [*(headers or ()), *length])
