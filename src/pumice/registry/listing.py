"""Lists that come in pages: tags, and referrers (distribution-spec 1.1, "Content Discovery")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import msgspec

from pumice.errors import FormatError
from pumice.formats import oci
from pumice.registry import headers
from pumice.registry.content import digest_of
from pumice.registry.document import ACCEPT
from pumice.registry.errors import is_not_found, refused
from pumice.registry.message import Request
from pumice.registry.reference import fallback_tag, is_digest

if TYPE_CHECKING:
    from pumice.registry.message import Ask, Response, Steps

_MAX_PAGES = 10_000
_MAX_ITEMS = 1_000_000
_MAX_IDLE_PAGES = 100
"""Pages in a row without anything new: filters may leave some empty, but not an endless number of them."""
_NO_API = frozenset({400, 401, 403, 404, 405, 406, 410, 415, 501})
"""Answers of registries without the referrers API. A login that is refused is refused for the tag, too."""


FALLBACK_ACCEPT = (("Accept", ACCEPT),)
"""What is there is asked for whatever it is, so that it is known when it is no list."""


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
        page = msgspec.json.decode(response.content, type=_Tags).tags or ()
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise FormatError("the registry's list of tags is malformed", where=where) from None
    return page, _next(response, url, where)


def _next(response: Response, url: str, where: str) -> str:
    try:
        return headers.next_page(response.all("Link"), response.url or url)
    except FormatError as error:
        raise FormatError(error.message, where=where) from None


class _Progress:
    """Watches a list that comes in pages: raises FormatError when it does not get on."""

    def __init__(self, what: str, where: str) -> None:
        self._what = what
        self._where = where
        self._urls: set[str] = set()
        self._items = 0
        self._idle = 0

    def request(self, url: str) -> None:
        """Note that a page is requested."""
        if url in self._urls or len(self._urls) > _MAX_PAGES:
            raise self._endless()
        self._urls.add(url)

    def received(self, items: int) -> None:
        """Note how many items there are now."""
        self._idle = 0 if items > self._items else self._idle + 1
        self._items = items
        if items > _MAX_ITEMS or self._idle > _MAX_IDLE_PAGES:
            raise self._endless()

    def _endless(self) -> FormatError:
        return FormatError(f"the registry's list of {self._what} has no end", where=self._where)


def tags(ask: Ask, address: str, where: str, page: int = 0) -> Steps[list[str]]:
    """Return every tag of a repository, each once, in the registry's order.

    A full page without a link to the next one is asked for what follows its last tag: registries need
    not send links (distribution-spec, "Listing Tags").
    """
    start = f"{address}/tags/list"
    url = start + (f"?n={page}" if page else "")
    found: dict[str, None] = {}
    progress = _Progress("tags", where)
    while url:
        progress.request(url)
        known = len(found)
        some, url = yield from tags_page(ask, url, where)
        found |= dict.fromkeys(some)
        progress.received(len(found))
        if not url and page and len(some) == page and len(found) > known:
            url = f"{start}?{urlencode({'n': page, 'last': some[-1]})}"
    return list(found)


def referrers(ask: Ask, address: str, digest: str, where: str, artifact_type: str = "") -> Steps[list[Link]]:
    """Return what refers to ``digest``: from the referrers API, or the fallback tag where there is none."""
    found = yield from _by_api(ask, address, digest, where, artifact_type)
    if found is None:
        found = {link.digest: link for link in (yield from by_tag(ask, address, digest, where))}
    return [one for one in found.values() if artifact_type in ("", one.descriptor.artifact_type)]


def _by_api(
    ask: Ask, address: str, digest: str, where: str, artifact_type: str = ""
) -> Steps[dict[str, Link] | None]:
    """Return what the referrers API lists, None if there is none."""
    query = f"?artifactType={quote(artifact_type, safe='')}" if artifact_type else ""
    url = f"{address}/referrers/{digest}{query}"
    found: dict[str, Link] = {}
    progress = _Progress("referrers", where)
    is_first = True
    while url:
        progress.request(url)
        response = yield from ask(Request("GET", url))
        if is_first and (response.status in _NO_API or not _is_list(response)):
            return None
        if response.status != 200:
            raise refused(response, where)
        found |= {one.digest: one for one in links(response.content, where)}
        progress.received(len(found))
        url = _next(response, url, where)
        is_first = False
    return found


def _is_list(response: Response) -> bool:
    """Whether a good answer is one of the API, and not of a web page in front of it.

    The type alone does not tell: some registries send lists as plain JSON.
    """
    kind = response.header("Content-Type").partition(";")[0].strip().lower()
    return response.status != 200 or kind == oci.INDEX or referrer_list(response.content) is not None


def referrer_list(data: bytes, subject: str = "") -> dict[str, Any] | None:
    """Return the JSON of an index of referrers, None for anything else.

    ``subject`` is what the list is about: a registry that takes a fallback tag for a way to write a
    digest answers with the subject itself. Neither is an index of platforms a list of referrers, nor what
    is manifest and index at once.
    """
    try:
        document = msgspec.json.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or document.keys() & {"config", "layers", "fsLayers"}:
        return None
    listed = document.get("manifests")
    if "manifests" not in document or not isinstance(listed, list | None):
        return None
    if subject and digest_of(data, subject.partition(":")[0]) == subject:
        return None
    if document.get("mediaType") not in (None, "", *oci.INDEXES):
        return None
    return None if _is_image_index(listed or []) else document


def _is_image_index(listed: list[Any]) -> bool:
    """Whether every entry has a platform and none says what kind of artifact it is."""
    entries = [entry for entry in listed if isinstance(entry, dict)]
    return bool(entries) and all(entry.get("platform") and not entry.get("artifactType") for entry in entries)


def has_no_tag(response: Response) -> bool:
    """Say whether a fallback tag is not there; 400 is the answer where such a tag is not even a tag."""
    return response.status == 400 or is_not_found(response)


def by_tag(ask: Ask, address: str, digest: str, where: str) -> Steps[list[Link]]:
    """Return what the fallback tag of ``digest`` lists ("Referrers Tag Schema")."""
    url = f"{address}/manifests/{fallback_tag(digest)}"
    response = yield from ask(Request("GET", url, FALLBACK_ACCEPT))
    if has_no_tag(response):
        return []
    if response.status != 200:
        raise refused(response, where)
    return [] if referrer_list(response.content, digest) is None else links(response.content, where)


def links(content: bytes, where: str) -> list[Link]:
    """Read the descriptors of an index, unknown fields and all; raises FormatError."""
    try:
        document: Any = msgspec.json.decode(content)
        items = document.get("manifests") if isinstance(document, dict) else None
        found = [
            Link(msgspec.convert(oci.remove_nulls(item), oci.Descriptor), msgspec.json.encode(item))
            for item in items or ()
        ]
    except (msgspec.MsgspecError, ValueError, RecursionError, TypeError, OverflowError):
        raise FormatError("the registry's list of referrers is malformed", where=where) from None
    return [link for link in found if is_digest(link.digest)]
