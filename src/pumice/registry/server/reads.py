"""Reading: blobs, manifests, tags, referrers and the list of repositories.

Each function is a value's way to an answer; what they read from is a seam, so that another registry can
stand behind it as well as a directory.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlencode

import msgspec

from pumice.formats import oci
from pumice.registry.server import calls, responses
from pumice.registry.server.responses import Answer, FileRange, Flow

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pumice.registry.server.calls import Call

    Parameters = Mapping[str, list[str]]

_PAGE = 4 << 20
"""Bytes of referrers in one answer: a manifest's limit, which clients have for an index."""


class Blob(Protocol):
    """A blob that is there: its file, the size of that, and its content if it is in memory."""

    @property
    def path(self) -> str: ...  # noqa: D102 - the class says it
    @property
    def size(self) -> int: ...  # noqa: D102 - the class says it
    @property
    def content(self) -> bytes | None: ...  # noqa: D102 - the class says it


class Document(Protocol):
    """A manifest that is there."""

    @property
    def digest(self) -> str: ...  # noqa: D102 - the class says it
    @property
    def media_type(self) -> str: ...  # noqa: D102 - the class says it
    @property
    def body(self) -> bytes: ...  # noqa: D102 - the class says it


class Lists(Protocol):
    """What there is a list of; names and digests have been checked."""

    def tags(self, repository: str) -> Sequence[str] | None:
        """Return all tags in ASCII order; None if there is no such repository."""

    def referrers(self, repository: str, subject: str) -> Sequence[bytes]:
        """Return the descriptors (JSON) of what refers to ``subject``."""


class Source(Lists, Protocol):
    """What can be read of repositories; digests and names have been checked."""

    def blob(self, repository: str, digest: str) -> Blob | None:
        """Return a blob of this repository."""

    def manifest(self, repository: str, reference: str) -> Document | None:
        """Return a manifest of this repository, by tag or digest."""

    def repositories(self) -> Sequence[str]:
        """Return the names of all repositories, in order."""


def manifest(source: Source, call: Call) -> Answer:
    """GET manifests: the bytes as they were put (Pulling manifests)."""
    found = source.manifest(call.repository, call.reference)
    if found is None:
        return responses.error(responses.MANIFEST_UNKNOWN, detail={"reference": call.reference})
    return Answer(
        200,
        [
            ("content-type", found.media_type),
            ("content-length", str(len(found.body))),
            ("docker-content-digest", found.digest),
            ("etag", f'"{found.digest}"'),
        ],
        found.body,
    )


def blob(source: Source, call: Call) -> Answer:
    """GET blobs: the whole of it (Pulling blobs)."""
    found = source.blob(call.repository, call.reference)
    if found is None:
        return responses.error(responses.BLOB_UNKNOWN, detail={"digest": call.reference})
    headers = blob_headers(call.reference, found.size)
    if found.content is not None:
        return Answer(200, headers, found.content)
    return Answer(200, headers, FileRange(found.path, 0, found.size))


def blob_headers(digest: str, size: int) -> responses.Headers:
    """Return what goes with a blob."""
    return [
        ("content-type", "application/octet-stream"),
        ("content-length", str(size)),
        ("docker-content-digest", digest),
        ("accept-ranges", "bytes"),
        ("etag", f'"{digest}"'),
    ]


_RANGE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*")


def part(whole: Answer, wanted: str) -> Answer:
    """Return the part of a blob's answer that a Range header asks for (RFC 9110, 14).

    Several ranges at once, other units, nonsense, and parts of what is not here yet are ignored, which the
    RFC allows. A range that
    ends before it begins is unsatisfiable here: who sent it did not mean the whole blob.
    """
    if isinstance(whole.body, Flow):
        return whole
    size = whole.length
    match = _RANGE.fullmatch(wanted)
    if match is None or not (match[1] or match[2]):
        return whole
    if match[1]:
        start = int(match[1])
        end = min(int(match[2]) + 1, size) if match[2] else size
    else:
        start, end = max(0, size - int(match[2])), size
    if start >= end:
        return responses.empty(416, [("content-range", f"bytes */{size}")])
    headers = [
        (name, str(end - start) if name == "content-length" else value) for name, value in whole.headers
    ]
    headers.append(("content-range", f"bytes {start}-{end - 1}/{size}"))
    if isinstance(whole.body, bytes):
        return Answer(206, headers, whole.body[start:end])
    return Answer(206, headers, FileRange(whole.body.path, start, end))


def matches(answer: Answer, tags: str) -> bool:
    """Say whether an If-None-Match or If-Match header has the entity tag of ``answer``."""
    own = next((value for name, value in answer.headers if name == "etag"), "")
    return tags.strip() == "*" or own in (one.strip().removeprefix("W/") for one in tags.split(","))


def unchanged(answer: Answer) -> Answer:
    """Return 304 for what the client has already."""
    return Answer(304, [item for item in answer.headers if item[0] in ("etag", "docker-content-digest")])


def tags(source: Lists, call: Call, parameters: Parameters) -> Answer:
    """GET tags/list (Listing Tags), ``n`` at a time after ``last``."""
    found = source.tags(call.repository)
    if found is None:
        return responses.error(responses.NAME_UNKNOWN, detail={"name": call.repository})
    page = _page(found, parameters, f"/v2/{call.repository}/tags/list")
    if isinstance(page, Answer):
        return page
    return responses.document(200, {"name": call.repository, "tags": page[0]}, headers=page[1])


def catalog(source: Source, readable: Callable[[str], bool], parameters: Parameters) -> Answer:
    """GET _catalog: the repositories that the client may read (outside the specification)."""
    page = _page([name for name in source.repositories() if readable(name)], parameters, "/v2/_catalog")
    if isinstance(page, Answer):
        return page
    return responses.document(200, {"repositories": page[0]}, headers=page[1])


def _page(
    found: Sequence[str], parameters: Parameters, url: str
) -> tuple[Sequence[str], responses.Headers] | Answer:
    start = bisect_right(found, last) if (last := calls.one(parameters, "last")) else 0
    if "n" not in parameters:
        return found[start:], []
    number = calls.one(parameters, "n")
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        return responses.error(responses.BAD_NUMBER)
    end = start + int(number)
    page = found[start:end]
    headers = [_link(url, n=number, last=page[-1])] if page and end < len(found) else []
    return page, headers


def _link(url: str, **parameters: str) -> tuple[str, str]:
    return "link", f'<{url}?{urlencode(parameters)}>; rel="next"'


class _Listed(msgspec.Struct):
    """What is looked at of a referrer's descriptor."""

    digest: str
    artifact_type: str = msgspec.field(default="", name="artifactType")


_listed = msgspec.json.Decoder(_Listed)


def referrers(source: Lists, call: Call, parameters: Parameters) -> Answer:
    """GET referrers (Listing Referrers): an index, filtered by ``artifactType``, in pages of 4 MiB."""
    number = calls.one(parameters, "n") or "1000000"
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        return responses.error(responses.BAD_NUMBER)
    wanted, last = calls.one(parameters, "artifactType"), calls.one(parameters, "last")
    rows: list[tuple[str, bytes]] = []
    for data in source.referrers(call.repository, call.reference):
        known = _listed.decode(data)
        if known.digest > last and wanted in ("", known.artifact_type):
            rows.append((known.digest, data))
    rows.sort()
    headers: responses.Headers = [("oci-filters-applied", "artifactType")] if wanted else []
    page: list[bytes] = []
    room = _PAGE
    for digest, data in rows:
        if page and (room < len(data) + 1024 or len(page) >= int(number)):
            break
        page.append(data)
        room -= len(data) + 1
        last = digest
    if len(page) < len(rows):
        kept = {"artifactType": wanted} if wanted else {}
        if "n" in parameters:
            kept["n"] = number
        headers.append(_link(f"/v2/{call.repository}/referrers/{call.reference}", **kept, last=last))
    index = {
        "schemaVersion": 2,
        "mediaType": oci.INDEX,
        "manifests": [msgspec.Raw(data) for data in page],
    }
    return responses.document(200, index, media_type=oci.INDEX, headers=headers)
