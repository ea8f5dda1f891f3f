"""Lists that come in pages: tags, and referrers (distribution-spec 1.1, "Content Discovery")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from pumice.errors import FormatError
from pumice.formats import oci
from pumice.registry import headers
from pumice.registry.message import Request
from pumice.registry.reference import fallback_tag, is_digest
from pumice.registry.refusal import refused

if TYPE_CHECKING:
    from pumice.registry.message import Ask, Response, Steps

_MAX_PAGES = 10_000
_MAX_ITEMS = 1_000_000
_ABSENT = frozenset({404, 405, 501})


class Link(msgspec.Struct, frozen=True):
    """A descriptor as it was received: ``raw`` is its JSON, with all that nobody here knows."""

    descriptor: oci.Descriptor
    raw: bytes

    @property
    def digest(self) -> str:
        """The digest of what it points to."""
        return self.descriptor.digest


class _Tags(msgspec.Struct, frozen=True):
    tags: tuple[str, ...] | None = None


def pages(ask: Ask, url: str, where: str) -> Steps[Response]:
    """Ask for one page."""
    response = yield from ask(Request("GET", url))
    if response.status != 200:
        raise refused(response, where)
    return response


def tags_page(ask: Ask, url: str, where: str) -> Steps[tuple[tuple[str, ...], str]]:
    """Return the tags of one page, and where the next one is ("" after the last)."""
    response = yield from pages(ask, url, where)
    try:
        found = msgspec.json.decode(response.content, type=_Tags).tags or ()
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise FormatError("the registry's list of tags is malformed", where=where) from None
    return found, headers.next_page(response.all("Link"), response.url or url)


def tags(ask: Ask, address: str, where: str, page: int = 0) -> Steps[list[str]]:
    """Return every tag of a repository, each once, in the registry's order."""
    url = f"{address}/tags/list" + (f"?n={page}" if page else "")
    found: dict[str, None] = {}
    seen: set[str] = set()
    while url:
        if url in seen or len(seen) > _MAX_PAGES or len(found) > _MAX_ITEMS:
            raise FormatError("the registry's list of tags has no end", where=where)
        seen.add(url)
        some, url = yield from tags_page(ask, url, where)
        found |= dict.fromkeys(some)
    return list(found)


def referrers(ask: Ask, address: str, digest: str, where: str, artifact_type: str = "") -> Steps[list[Link]]:
    """Return what refers to ``digest``: from the referrers API, or the fallback tag where there is none."""
    query = f"?artifactType={quote(artifact_type, safe='')}" if artifact_type else ""
    url = f"{address}/referrers/{digest}{query}"
    found: dict[str, Link] = {}
    seen: set[str] = set()
    while url and url not in seen:
        seen.add(url)
        response = yield from ask(Request("GET", url))
        if len(seen) == 1 and (response.status in _ABSENT or not _is_list(response)):
            found = {one.digest: one for one in (yield from by_tag(ask, address, digest, where))}
            break
        if response.status != 200:
            raise refused(response, where)
        found |= {one.digest: one for one in links(response.content, where)}
        if len(found) > _MAX_ITEMS or len(seen) > _MAX_PAGES:
            raise FormatError("the registry's list of referrers has no end", where=where)
        url = headers.next_page(response.all("Link"), response.url or url)
    return [one for one in found.values() if artifact_type in ("", one.descriptor.artifact_type)]


def _is_list(response: Response) -> bool:
    """Whether a good answer is one of the API, and not of a web page in front of it."""
    kind = response.header("Content-Type").partition(";")[0].strip().lower()
    return response.status != 200 or kind == oci.INDEX


def by_tag(ask: Ask, address: str, digest: str, where: str) -> Steps[list[Link]]:
    """Return what the fallback tag of ``digest`` lists ("Referrers Tag Schema")."""
    url = f"{address}/manifests/{fallback_tag(digest)}"
    response = yield from ask(Request("GET", url, (("Accept", oci.INDEX),)))
    if response.status in (400, 404):
        return []
    if response.status != 200:
        raise refused(response, where)
    return links(response.content, where)


def links(content: bytes, where: str) -> list[Link]:
    """Read the descriptors of an index, unknown fields and all; raises FormatError."""
    try:
        document: Any = msgspec.json.decode(content)
        items = document.get("manifests") if isinstance(document, dict) else None
        found = [
            Link(msgspec.convert(item, oci.Descriptor), msgspec.json.encode(item)) for item in items or ()
        ]
    except (msgspec.MsgspecError, ValueError, RecursionError, TypeError, OverflowError):
        raise FormatError("the registry's list of referrers is malformed", where=where) from None
    return [link for link in found if is_digest(link.digest)]
