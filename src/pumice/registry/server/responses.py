"""What the server answers: a status, headers, and bytes or a part of a file.

Errors are the JSON documents of distribution-spec 1.1, "Error Codes": they name what the client asked
for and never a path of this machine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Headers = list[tuple[str, str]]
"""Names in lower case, as the engine wants them; a list is made once and then only read."""

JSON = "application/json"


class FileRange(msgspec.Struct, frozen=True):
    """The bytes from ``start`` to before ``end`` of a file."""

    path: str
    start: int
    end: int


class Flow(msgspec.Struct, frozen=True):
    """Bytes that are not all here yet, of which there will be ``size``: ``first``, then ``chunks``.

    ``first`` is at hand, so that what fails at once is answered with an error instead of a promise. If the
    rest ends early, or raises, the connection is cut: so the client knows that it has not got all.
    """

    size: int
    first: bytes
    chunks: AsyncIterator[bytes]


class Answer(msgspec.Struct, frozen=True):
    """A whole answer; ``length`` is what goes out when it is no HEAD."""

    status: int
    headers: Headers
    body: bytes | FileRange | Flow = b""

    @property
    def length(self) -> int:
        """Bytes of the body."""
        if isinstance(self.body, bytes):
            return len(self.body)
        return self.body.size if isinstance(self.body, Flow) else self.body.end - self.body.start


class Code(msgspec.Struct, frozen=True):
    """One of the specification's error codes with the status that belongs to it."""

    name: str
    status: int
    message: str


BLOB_UNKNOWN = Code("BLOB_UNKNOWN", 404, "this repository has no such blob")
BLOB_UPLOAD_INVALID = Code("BLOB_UPLOAD_INVALID", 400, "the upload cannot go on")
BLOB_UPLOAD_UNKNOWN = Code("BLOB_UPLOAD_UNKNOWN", 404, "there is no such upload; it may have expired")
DIGEST_INVALID = Code("DIGEST_INVALID", 400, "the digest is malformed or does not fit the content")
MANIFEST_BLOB_UNKNOWN = Code("MANIFEST_BLOB_UNKNOWN", 404, "the manifest refers to what is not here")
MANIFEST_INVALID = Code("MANIFEST_INVALID", 400, "the manifest is invalid")
MANIFEST_UNKNOWN = Code("MANIFEST_UNKNOWN", 404, "this repository has no such manifest")
NAME_INVALID = Code("NAME_INVALID", 404, "this cannot be the name of a repository")
NAME_UNKNOWN = Code("NAME_UNKNOWN", 404, "there is no such repository")
SIZE_INVALID = Code("SIZE_INVALID", 400, "the length is not what was declared")
UNAUTHORIZED = Code("UNAUTHORIZED", 401, "this needs a user name and password")
DENIED = Code("DENIED", 403, "this is not allowed")
UNSUPPORTED = Code("UNSUPPORTED", 405, "this operation is not supported")
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
"""All fourteen."""

MALFORMED = Code("UNSUPPORTED", 400, "the request is malformed")
NO_ENDPOINT = Code("UNSUPPORTED", 404, "there is no such endpoint")
TOO_LARGE = Code("SIZE_INVALID", 413, "the manifest is larger than 4 MiB")
TOO_MANY_TAGS = Code("UNSUPPORTED", 414, "too many tags in one request")
CHANGED = Code("DENIED", 412, "the tag is not what the request expects it to be")
BAD_NUMBER = Code("UNSUPPORTED", 400, "n must be a number, not negative")
TOO_SLOW = Code("BLOB_UPLOAD_INVALID", 408, "nothing was received for too long")
BROKEN = Code("UNKNOWN", 500, "the registry failed; its operator finds the reason in its log")
NO_SPACE = Code("UNKNOWN", 507, "the registry has no space left")

UPSTREAM_DOWN = Code("UNKNOWN", 502, "the upstream registry cannot be reached, and this is not kept here")
UPSTREAM_DENIES = Code("DENIED", 403, "the upstream registry does not let this registry read that")
UPSTREAM_LIES = Code(
    "UNKNOWN", 502, "what the upstream registry sent does not have the digest that it should"
)
UPSTREAM_ODD = Code("UNKNOWN", 502, "the upstream registry answers what makes no sense")

_encode = msgspec.json.encode


def error(code: Code, message: str = "", *, detail: Any = None, headers: Headers | None = None) -> Answer:
    """Return an error of one finding; ``message`` may be more exact than the code's own."""
    return errors(code, [(message, detail)], headers=headers)


def errors(code: Code, findings: list[tuple[str, Any]], *, headers: Headers | None = None) -> Answer:
    """Return an error of several findings, each a message and a detail (None for none)."""
    listed = []
    for message, detail in findings:
        one: dict[str, Any] = {"code": code.name, "message": message or code.message}
        if detail is not None:
            one["detail"] = detail
        listed.append(one)
    return document(code.status, {"errors": listed}, headers=headers)


def document(status: int, value: Any, *, media_type: str = JSON, headers: Headers | None = None) -> Answer:
    """Return a JSON document."""
    body = _encode(value)
    made = [("content-type", media_type), ("content-length", str(len(body))), *(headers or ())]
    return Answer(status, made, body)


def empty(status: int, headers: Headers | None = None) -> Answer:
    """Return an answer without a body; 204 has no length either (RFC 9110, 8.6)."""
    return Answer(status, [*(headers or ()), *((("content-length", "0"),) if status != 204 else ())])
