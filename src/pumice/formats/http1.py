"""Requests and responses of HTTP/1.1 (RFC 9112), for servers of a few small documents.

Nothing here does input or output. A request has a bounded head and a bounded body with a Content-Length;
transfer codings are refused, and every response ends its connection. Only the standard library is imported.
"""

from __future__ import annotations

import string
from http import HTTPStatus
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_HEAD = 8 << 10
"""Bytes of a request line and its headers."""
MAX_BODY = 64 << 10
"""Bytes of the body of a request."""
_MAX_HEADERS = 64
_MAX_FIELDS = 16
_TOKEN_CHARACTERS = frozenset("!#$%&'*+-.^_`|~" + string.ascii_letters + string.digits)
_TARGET_CHARACTERS = frozenset(map(chr, range(0x21, 0x7F)))
_END = b"\r\n\r\n"
FORM = "application/x-www-form-urlencoded"
TEXT = "text/plain; charset=us-ascii"
JSON = "application/json"


class RequestError(Exception):
    """A request that is not answered; ``status`` is the response's."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Request(NamedTuple):
    """A request; ``path`` is without the query and still has its percent escapes.

    The names of ``headers`` are in lower case; fields with the same name are joined by commas.
    """

    method: str
    path: str
    query: str = ""
    headers: Mapping[str, str] = MappingProxyType({})
    body: bytes = b""


class Response(NamedTuple):
    """A response; ``headers`` are those besides Content-Type, Content-Length and Connection."""

    status: int
    body: bytes = b""
    content_type: str = TEXT
    headers: tuple[tuple[str, str], ...] = ()


class RequestReader:
    """Collects the bytes of one request."""

    def __init__(self) -> None:
        self._data = b""
        self._head: Request | None = None
        self._size = 0

    @property
    def awaits_continue(self) -> bool:
        """Whether the client sends the body only after the response 100."""
        return self._head is not None and self._head.headers.get("expect", "").lower() == "100-continue"

    @property
    def missing_size(self) -> int:
        """How many bytes may be read now without reading more than the request."""
        if self._head is None:
            return MAX_HEAD
        return max(0, self._size - len(self._data))

    def feed(self, data: bytes) -> Request | None:
        """Add bytes; return the request if it is complete. Raises RequestError."""
        self._data += data
        if self._head is None:
            head, end, rest = self._data.partition(_END)
            if len(head) > MAX_HEAD or (not end and len(self._data) > MAX_HEAD):
                raise RequestError(431, "the head of the request is too large")
            if not end:
                return None
            self._head = _parse_head(head)
            self._size = _body_size(self._head.headers)
            self._data = rest
        if len(self._data) < self._size:
            return None
        return self._head._replace(body=self._data[: self._size])


def _parse_head(head: bytes) -> Request:
    try:
        request_line, *lines = head.decode("ascii").split("\r\n")
    except UnicodeDecodeError:
        raise RequestError(400, "the head of the request is not ASCII") from None
    words = request_line.split(" ")
    if len(words) != 3 or words[2] not in ("HTTP/1.1", "HTTP/1.0"):
        raise RequestError(400, "the request line is malformed")
    method, target, version = words
    if not method or not _TOKEN_CHARACTERS.issuperset(method):
        raise RequestError(400, "the method is malformed")
    if not target.startswith("/") or not _TARGET_CHARACTERS.issuperset(target):
        raise RequestError(400, "the request target is not a path")
    if len(lines) > _MAX_HEADERS:
        raise RequestError(431, "the request has too many headers")
    headers = _parse_headers(lines)
    if version == "HTTP/1.1" and "host" not in headers:
        raise RequestError(400, "the request has no Host header")
    path, _, query = target.partition("?")
    return Request(method, path, query, headers)


def _parse_headers(lines: list[str]) -> dict[str, str]:
    headers: dict[str, str] = {}
    for line in lines:
        name, colon, value = line.partition(":")
        if not colon or not name or not _TOKEN_CHARACTERS.issuperset(name):
            raise RequestError(400, "a header is malformed")
        value = value.strip(" \t")
        if not all(character == "\t" or " " <= character <= "~" for character in value):
            raise RequestError(400, "a header has control characters")
        name = name.lower()
        if name in headers and name in ("host", "content-length", "content-type", "transfer-encoding"):
            raise RequestError(400, f"the request has more than one {name} header")
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    return headers


def _body_size(headers: Mapping[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise RequestError(411, "transfer codings are not supported; send a Content-Length")
    text = headers.get("content-length", "0")
    if not text.isascii() or not text.isdigit():
        raise RequestError(400, "the Content-Length is malformed")
    if len(text) > 10 or int(text) > MAX_BODY:
        raise RequestError(413, f"the body is larger than {MAX_BODY} bytes")
    return int(text)


def encode_response(response: Response, *, is_head: bool = False) -> bytes:
    """Return the bytes of a response, after which the connection ends."""
    reason = HTTPStatus(response.status).phrase
    lines = [
        f"HTTP/1.1 {response.status} {reason}",
        *([f"Content-Type: {response.content_type}"] if response.body or response.status == 200 else []),
        f"Content-Length: {len(response.body)}",
        *(f"{name}: {value}" for name, value in response.headers),
        "Connection: close",
    ]
    head = "\r\n".join(lines).encode("latin-1") + _END
    return head if is_head else head + response.body


def read_fields(text: str) -> dict[str, bytes]:
    """Return the fields of a query or of a form by name, percent-decoded; raises RequestError.

    A field that occurs twice is refused, because two readers could take different ones.
    """
    fields: dict[str, bytes] = {}
    parts = [part for part in text.split("&") if part]
    if len(parts) > _MAX_FIELDS:
        raise RequestError(400, "the request has too many fields")
    for part in parts:
        name, _, value = part.partition("=")
        key = decode_field(name).decode("utf-8", "replace")
        if key in fields:
            raise RequestError(400, f"the field {key[:40]!r} occurs twice")
        fields[key] = decode_field(value)
    return fields


def decode_field(text: str) -> bytes:
    """Return the bytes of a form-encoded name or value."""
    return unquote_to_bytes(text.replace("+", " "))


def read_form(request: Request) -> dict[str, bytes]:
    """Return the fields of a POST body; raises RequestError."""
    kind = request.headers.get("content-type", FORM).partition(";")[0].strip().lower()
    if kind != FORM:
        raise RequestError(415, f"the body is not {FORM}")
    try:
        return read_fields(request.body.decode("ascii"))
    except UnicodeDecodeError:
        raise RequestError(400, "the body is not percent-encoded") from None


def decode_segment(segment: str) -> str:
    """Return one segment of a path without its percent escapes; raises RequestError for other bytes."""
    try:
        text = unquote_to_bytes(segment).decode()
    except UnicodeDecodeError:
        raise RequestError(400, "the path is not UTF-8") from None
    if "/" in text or not text.isprintable():
        raise RequestError(404, "there is nothing at this path")
    return text
