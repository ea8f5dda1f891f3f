"""Lists tags and referrers, page by page (distribution-spec 1.1, "Content Discovery")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import msgspec

from pumice.decoding import decode_json
from pumice.errors import FormatError
from pumice.formats import oci
from pumice.registry import headers
from pumice.registry.blob_content import digest_of
from pumice.registry.errors import is_not_found, response_error
from pumice.registry.message import Request
from pumice.registry.raw_manifest import ACCEPT
from pumice.registry.reference import fallback_tag, is_digest

if TYPE_CHECKING:
    from pumice.registry.message import Exchange, Response, SendRequest

_MAX_PAGES = 10_000
_MAX_ITEMS = 1_000_000
_MAX_IDLE_PAGES = 100
"""Pages in a row without a new item: a filter may leave some empty, but not an endless number."""
_API_MISSING = frozenset({400, 401, 403, 404, 405, 406, 410, 415, 501})
"""Statuses of registries without the referrers API. If access is denied, it is for the fallback tag too."""


FALLBACK_HEADERS = (("Accept", ACCEPT),)
"""Accepts any media type, so that content other than an index is recognized."""


class Referrer(msgspec.Struct, frozen=True):
    """The descriptor of a referrer; ``raw`` is its JSON as received, with unknown fields."""

    descriptor: oci.Descriptor
    raw: bytes

    @property
    def digest(self) -> str:
        """The digest of the referrer."""
        return self.descriptor.digest


class _Tags(msgspec.Struct, frozen=True):
    tags: tuple[str, ...] | None = None


class _Repositories(msgspec.Struct, frozen=True):
    repositories: tuple[str, ...] | None = None


def get_page(send_request: SendRequest, url: str, where: str) -> Exchange[Response]:
    """Return the response with one page; raises RegistryError."""
    response = yield from send_request(Request("GET", url))
    if response.status != 200:
        raise response_error(response, where)
    return response


def list_tags_page(send_request: SendRequest, url: str, where: str) -> Exchange[tuple[tuple[str, ...], str]]:
    """Return the tags of one page, and the URL of the next one ("" after the last)."""
    response = yield from get_page(send_request, url, where)
    try:
        page = decode_json(response.content, _Tags).tags or ()
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise FormatError("the list of tags is malformed", where=where) from None
    return page, _next_url(response, url, where)


def _next_url(response: Response, url: str, where: str) -> str:
    try:
        return headers.parse_next_link(response.header_values("Link"), response.url or url)
    except FormatError as error:
        raise FormatError(error.message, where=where) from None


class _PageGuard:
    """Raises FormatError for a list whose pages never end."""

    def __init__(self, subject: str, where: str) -> None:
        self._subject = subject
        self._where = where
        self._urls: set[str] = set()
        self._items = 0
        self._idle_pages = 0

    def note_request(self, url: str) -> None:
        """Record the request for a page."""
        if url in self._urls or len(self._urls) > _MAX_PAGES:
            raise self._endless_error()
        self._urls.add(url)

    def note_items(self, items: int) -> None:
        """Record the number of items so far."""
        self._idle_pages = 0 if items > self._items else self._idle_pages + 1
        self._items = items
        if items > _MAX_ITEMS or self._idle_pages > _MAX_IDLE_PAGES:
            raise self._endless_error()

    def _endless_error(self) -> FormatError:
        return FormatError(f"the list of {self._subject} never ends", where=self._where)


def list_tags(
    send_request: SendRequest, repository_url: str, where: str, page_size: int = 0
) -> Exchange[list[str]]:
    """Return every tag of a repository, each once, in the registry's order.

    After a full page without a link, the tags after its last one are requested: registries need not send
    links (distribution-spec 1.1, "Listing Tags").
    """
    list_url = f"{repository_url}/tags/list"
    url = list_url + (f"?n={page_size}" if page_size else "")
    tags: dict[str, None] = {}
    progress = _PageGuard("tags", where)
    while url:
        progress.note_request(url)
        count_before = len(tags)
        page_tags, url = yield from list_tags_page(send_request, url, where)
        tags |= dict.fromkeys(page_tags)
        progress.note_items(len(tags))
        if not url and page_size and len(page_tags) == page_size and len(tags) > count_before:
            url = f"{list_url}?{urlencode({'n': page_size, 'last': page_tags[-1]})}"
    return list(tags)


def list_repositories(send_request: SendRequest, registry_url: str, where: str) -> Exchange[list[str]]:
    """Return the names of a registry's repositories, each once, in its order.

    The endpoint ``_catalog`` is not part of distribution-spec; it pages like the list of tags.
    """
    url = f"{registry_url}/v2/_catalog"
    names: dict[str, None] = {}
    progress = _PageGuard("repositories", where)
    while url:
        progress.note_request(url)
        response = yield from get_page(send_request, url, where)
        try:
            page = decode_json(response.content, _Repositories).repositories or ()
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise FormatError("the list of repositories is malformed", where=where) from None
        names |= dict.fromkeys(page)
        progress.note_items(len(names))
        url = _next_url(response, url, where)
    return list(names)


def list_referrers(
    send_request: SendRequest, repository_url: str, digest: str, where: str, artifact_type: str = ""
) -> Exchange[list[Referrer]]:
    """Return the referrers of ``digest`` from the referrers API or, without one, the fallback tag."""
    referrers_by_digest = yield from _list_api_referrers(
        send_request, repository_url, digest, where, artifact_type
    )
    if referrers_by_digest is None:
        referrers_by_digest = {
            referrer.digest: referrer
            for referrer in (yield from list_fallback_referrers(send_request, repository_url, digest, where))
        }
    return [
        referrer
        for referrer in referrers_by_digest.values()
        if artifact_type in ("", referrer.descriptor.artifact_type)
    ]


def _list_api_referrers(
    send_request: SendRequest, repository_url: str, digest: str, where: str, artifact_type: str = ""
) -> Exchange[dict[str, Referrer] | None]:
    """Return the referrers by digest, None if the registry has no referrers API."""
    query = f"?artifactType={quote(artifact_type, safe='')}" if artifact_type else ""
    url = f"{repository_url}/referrers/{digest}{query}"
    referrers_by_digest: dict[str, Referrer] = {}
    progress = _PageGuard("referrers", where)
    is_first = True
    while url:
        progress.note_request(url)
        response = yield from send_request(Request("GET", url))
        if is_first and (response.status in _API_MISSING or not _is_referrers_response(response)):
            return None
        if response.status != 200:
            raise response_error(response, where)
        referrers_by_digest |= {
            referrer.digest: referrer for referrer in parse_referrers(response.content, where)
        }
        progress.note_items(len(referrers_by_digest))
        url = _next_url(response, url, where)
        is_first = False
    return referrers_by_digest


def _is_referrers_response(response: Response) -> bool:
    """Return whether a response is an error or an index of referrers, not for example a web page.

    Some registries send the index with another media type.
    """
    kind = response.header("Content-Type").partition(";")[0].strip().lower()
    return response.status != 200 or kind == oci.INDEX or parse_referrers_index(response.content) is not None


def parse_referrers_index(data: bytes, subject: str = "") -> dict[str, Any] | None:
    """Return the decoded index of referrers, None for anything else.

    Rejects the manifest ``subject`` itself (some registries treat a fallback tag as a spelling of the
    digest), an index of platforms, and a document that is both a manifest and an index.
    """
    try:
        document = msgspec.json.decode(data)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    if not isinstance(document, dict) or document.keys() & {"config", "layers", "fsLayers"}:
        return None
    manifests = document.get("manifests")
    if "manifests" not in document or not isinstance(manifests, list | None):
        return None
    if subject and digest_of(data, subject.partition(":")[0]) == subject:
        return None
    if document.get("mediaType") not in (None, "", *oci.INDEXES):
        return None
    return None if _is_image_index(manifests or []) else document


def _is_image_index(manifests: list[Any]) -> bool:
    """Return whether every entry has a platform and none has an artifact type."""
    entries = [entry for entry in manifests if isinstance(entry, dict)]
    return bool(entries) and all(entry.get("platform") and not entry.get("artifactType") for entry in entries)


def is_missing_tag(response: Response) -> bool:
    """Return whether a fallback tag is missing; status 400 means that the registry rejects such tags."""
    return response.status == 400 or is_not_found(response)


def list_fallback_referrers(
    send_request: SendRequest, repository_url: str, digest: str, where: str
) -> Exchange[list[Referrer]]:
    """Return the referrers under the fallback tag of ``digest`` ("Referrers Tag Schema")."""
    url = f"{repository_url}/manifests/{fallback_tag(digest)}"
    response = yield from send_request(Request("GET", url, FALLBACK_HEADERS))
    if is_missing_tag(response):
        return []
    if response.status != 200:
        raise response_error(response, where)
    return (
        []
        if parse_referrers_index(response.content, digest) is None
        else parse_referrers(response.content, where)
    )


def parse_referrers(content: bytes, where: str) -> list[Referrer]:
    """Return the descriptors of an index, with unknown fields; raises FormatError."""
    try:
        document: Any = msgspec.json.decode(content)
        items = document.get("manifests") if isinstance(document, dict) else None
        referrers = [
            Referrer(msgspec.convert(oci.remove_nulls(item), oci.Descriptor), msgspec.json.encode(item))
            for item in items or ()
        ]
    except (msgspec.MsgspecError, ValueError, RecursionError, TypeError, OverflowError):
        raise FormatError("the list of referrers is malformed", where=where) from None
    return [link for link in referrers if is_digest(link.digest)]
