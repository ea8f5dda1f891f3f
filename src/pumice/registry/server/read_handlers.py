"""Handlers that read: blobs, manifests, tags, referrers and the list of repositories.

The ``…_response`` functions turn values into responses; `proxy` uses them for the values of an upstream
registry.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode

import msgspec

from pumice.formats import oci
from pumice.registry.server import responses
from pumice.registry.server.request_checks import VERSION
from pumice.registry.server.responses import ContentRange, FileRange, ServerResponse, Stream
from pumice.registry.server.storage.protocol import LocalFile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.registry.server.calls import RegistryCall
    from pumice.registry.server.context import HandlerContext
    from pumice.registry.server.storage.protocol import StoredBlob, StoredManifest

_Found = TypeVar("_Found")

_MAX_REFERRERS_BYTES = 4 << 20
"""Size of a page of referrers: clients limit an index as they limit any manifest."""

_NO_LIMIT = "1000000"


async def get_base(context: HandlerContext, call: RegistryCall) -> ServerResponse:
    """Handle GET /v2/ and the health check (end-1)."""
    del context, call
    return responses.document(200, {}, headers=[VERSION])


async def get_manifest(context: HandlerContext, call: RegistryCall) -> ServerResponse:
    """Handle GET of a manifest: its bytes as they were pushed (end-3)."""
    manifest = await _look_up(context, context.storage.manifests.find, call)
    return manifest_response(manifest, call.reference)


async def get_blob(context: HandlerContext, call: RegistryCall) -> ServerResponse:
    """Handle GET of a blob (end-2)."""
    return blob_response(await _look_up(context, context.storage.blobs.find, call), call.reference)


async def _look_up(context: HandlerContext, find: Callable[[str, str], _Found], call: RegistryCall) -> _Found:
    """Return what ``find`` returns, which is called at once unless the storage is slow."""
    if context.storage.has_slow_lookups:
        return await context.threads.run(find, call.repository, call.reference)
    return find(call.repository, call.reference)


async def list_tags(context: HandlerContext, call: RegistryCall) -> ServerResponse:
    """Handle GET tags/list (end-8), ``n`` tags at a time after ``last``."""
    return tags_response(await context.threads.run(context.storage.tags.list, call.repository), call)


async def list_referrers(context: HandlerContext, call: RegistryCall) -> ServerResponse:
    """Handle GET referrers (end-12)."""
    descriptors = await context.threads.run(context.storage.referrers.list, call.repository, call.reference)
    return referrers_response(descriptors, call)


async def list_repositories(context: HandlerContext, call: RegistryCall) -> ServerResponse:
    """Handle GET _catalog: the repositories that the client may read (outside the specification)."""
    is_readable = context.is_readable_by(call.user)
    names = await context.threads.run(context.storage.repositories)
    page = _paginate([name for name in names if is_readable(name)], call, "/v2/_catalog")
    if isinstance(page, ServerResponse):
        return page
    return responses.document(200, {"repositories": page[0]}, headers=page[1])


def manifest_response(manifest: StoredManifest | None, reference: str) -> ServerResponse:
    """Return a manifest, or MANIFEST_UNKNOWN for None."""
    if manifest is None:
        return responses.error(responses.MANIFEST_UNKNOWN, detail={"reference": reference})
    return ServerResponse(
        200,
        [
            ("content-type", manifest.media_type),
            ("content-length", str(len(manifest.body))),
            ("docker-content-digest", manifest.digest),
            ("etag", f'"{manifest.digest}"'),
        ],
        manifest.body,
    )


def blob_response(blob: StoredBlob | None, digest: str) -> ServerResponse:
    """Return a blob, or BLOB_UNKNOWN for None."""
    if blob is None:
        return responses.error(responses.BLOB_UNKNOWN, detail={"digest": digest})
    content = blob.content
    body: bytes | FileRange | ContentRange
    if isinstance(content, bytes):
        body = content
    elif isinstance(content, LocalFile):
        body = FileRange(content.path, 0, blob.size)
    else:
        body = ContentRange(content, 0, blob.size)
    return ServerResponse(200, blob_headers(digest, blob.size), body, supports_ranges=True)


def blob_headers(digest: str, size: int) -> responses.Headers:
    """Return the headers of a blob's response."""
    return [
        ("content-type", "application/octet-stream"),
        ("content-length", str(size)),
        ("docker-content-digest", digest),
        ("accept-ranges", "bytes"),
        ("etag", f'"{digest}"'),
    ]


def tags_response(tags: Sequence[str] | None, call: RegistryCall) -> ServerResponse:
    """Return a page of sorted tags, or NAME_UNKNOWN for None."""
    if tags is None:
        return responses.error(responses.NAME_UNKNOWN, detail={"name": call.repository})
    page = _paginate(tags, call, f"/v2/{call.repository}/tags/list")
    if isinstance(page, ServerResponse):
        return page
    return responses.document(200, {"name": call.repository, "tags": page[0]}, headers=page[1])


class _ListedDescriptor(msgspec.Struct):
    """The part of a referrer's descriptor that filters and pages need."""

    digest: str
    artifact_type: str = msgspec.field(default="", name="artifactType")


_listed_descriptor = msgspec.json.Decoder(_ListedDescriptor)


def referrers_response(descriptors: Sequence[bytes], call: RegistryCall) -> ServerResponse:
    """Return an index of referrers, filtered by ``artifactType``, in pages of at most 4 MiB."""
    limit = call.parameter("n") or _NO_LIMIT
    if not _is_number(limit):
        return responses.error(responses.INVALID_NUMBER)
    artifact_type, last = call.parameter("artifactType"), call.parameter("last")
    matching: list[tuple[str, bytes]] = []
    for data in descriptors:
        descriptor = _listed_descriptor.decode(data)
        if descriptor.digest > last and artifact_type in ("", descriptor.artifact_type):
            matching.append((descriptor.digest, data))
    matching.sort()
    headers: responses.Headers = [("oci-filters-applied", "artifactType")] if artifact_type else []
    page: list[bytes] = []
    remaining_bytes = _MAX_REFERRERS_BYTES
    for digest, data in matching:
        if page and (remaining_bytes < len(data) + 1024 or len(page) >= int(limit)):
            break
        page.append(data)
        remaining_bytes -= len(data) + 1
        last = digest
    if len(page) < len(matching):
        parameters = {"artifactType": artifact_type} if artifact_type else {}
        if "n" in call.parameters:
            parameters["n"] = limit
        url = f"/v2/{call.repository}/referrers/{call.reference}"
        headers.append(_next_link(url, **parameters, last=last))
    index = {
        "schemaVersion": 2,
        "mediaType": oci.INDEX,
        "manifests": [msgspec.Raw(data) for data in page],
    }
    return responses.document(200, index, media_type=oci.INDEX, headers=headers)


def _paginate(
    names: Sequence[str], call: RegistryCall, url: str
) -> tuple[Sequence[str], responses.Headers] | ServerResponse:
    """Return the names that the call asks for with ``n`` and ``last``, and the link to the next page."""
    start = bisect_right(names, last) if (last := call.parameter("last")) else 0
    if "n" not in call.parameters:
        return names[start:], []
    limit = call.parameter("n")
    if not _is_number(limit):
        return responses.error(responses.INVALID_NUMBER)
    end = start + int(limit)
    page = names[start:end]
    headers = [_next_link(url, n=limit, last=page[-1])] if page and end < len(names) else []
    return page, headers


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


def _next_link(url: str, **parameters: str) -> tuple[str, str]:
    return "link", f'<{url}?{urlencode(parameters)}>; rel="next"'


_RANGE = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*")


def apply_range(response: ServerResponse, byte_range: str) -> ServerResponse:
    """Return the part of a blob's response that a Range header asks for (RFC 9110, 14).

    Several ranges, other units, malformed headers, and ranges of content that is still being received are
    ignored, as the RFC allows. A range that ends before it begins is answered with 416, because its client
    did not mean the whole blob.
    """
    if isinstance(response.body, Stream):
        return response
    size = response.length
    match = _RANGE.fullmatch(byte_range)
    if match is None or not (match[1] or match[2]):
        return response
    if match[1]:
        start = int(match[1])
        end = min(int(match[2]) + 1, size) if match[2] else size
    else:
        start, end = max(0, size - int(match[2])), size
    if start >= end:
        return responses.empty(416, [("content-range", f"bytes */{size}")])
    headers = [
        (name, str(end - start) if name == "content-length" else value) for name, value in response.headers
    ]
    headers.append(("content-range", f"bytes {start}-{end - 1}/{size}"))
    if isinstance(response.body, bytes):
        return ServerResponse(206, headers, response.body[start:end])
    return ServerResponse(206, headers, msgspec.structs.replace(response.body, start=start, end=end))


def matches_etag(response: ServerResponse, etags: str) -> bool:
    """Return whether an If-None-Match or If-Match header contains the entity tag of ``response``."""
    entity_tag = next((value for name, value in response.headers if name == "etag"), "")
    return etags.strip() == "*" or entity_tag in (
        etag.strip().removeprefix("W/") for etag in etags.split(",")
    )


def not_modified(response: ServerResponse) -> ServerResponse:
    """Return 304 instead of ``response``."""
    headers = [header for header in response.headers if header[0] in ("etag", "docker-content-digest")]
    return ServerResponse(304, headers)
