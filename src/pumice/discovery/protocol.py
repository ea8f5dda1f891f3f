"""The protocol of meta discovery, without I/O (spec/discovery.md, "Meta Discovery").

`discover` is a generator: it yields a `PageRequest`, and is sent a `PageResponse`. The page of the name
itself comes first, then those of its parents up to the bare host. The first page with a usable tag decides,
separately for images and for keys, so each may come from another page.

A page that does not exist leads to its parent. A server that fails does not: otherwise an outage of the page
that should decide would let another one decide.
"""

from __future__ import annotations

from collections.abc import Generator
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec

from pumice.discovery.pages import read_head
from pumice.discovery.tags import TAG_NAMES, Endpoint, TagResult, evaluate_tag
from pumice.errors import FetchError, FormatError, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

QUERY = "ac-discovery=1"
_MAX_LEVELS = 64


class PageRequest(msgspec.Struct, frozen=True):
    """A page to get, following redirects."""

    url: str


class PageResponse(msgspec.Struct, frozen=True):
    """A page: ``url`` is where it was after redirects, ``content`` at least its head."""

    status: int
    content: bytes = b""
    url: str = ""
    is_cached: bool = False


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One page: ``url`` after redirects, and what its tags mean. ``outcome`` is a phrase for people."""

    page: str
    url: str
    status: int
    is_cached: bool
    outcome: str
    tags: tuple[TagResult, ...] = ()


class Discovery(msgspec.Struct, frozen=True, kw_only=True):
    """What was discovered for a name: the endpoints of images and keys in the order to try them."""

    name: str
    labels: dict[str, str]
    images: tuple[Endpoint, ...] = ()
    keys: tuple[Endpoint, ...] = ()
    steps: tuple[Step, ...] = ()


DiscoveryExchange = Generator[PageRequest, PageResponse, Discovery]


def list_pages(name: str, port: int | None = None) -> list[str]:
    """Return the URLs of the pages for a name: its own, then those of its parents. Raises UsageError."""
    host, *path = name.split("/")
    if ("." not in host and host != "localhost") or "~" in host or "_" in host:
        raise UsageError(
            f"{name[:100]!r} does not begin with a host",
            hint="names are discovered at their host: write HOST/NAME, such as example.com/hello",
        )
    if len(path) > _MAX_LEVELS:
        raise UsageError(f"{name[:100]!r} has too many elements")
    base = f"https://{host}" if port is None else f"https://{host}:{port}"
    return ["/".join([base, *path[:count]]) + f"?{QUERY}" for count in range(len(path), -1, -1)]


def discover(
    name: str,
    labels: Mapping[str, str],
    *,
    port: int | None = None,
    images: bool = True,
    keys: bool = True,
) -> DiscoveryExchange:
    """Discover images and keys for a name; raises UsageError, FetchError for a server that fails."""
    steps: list[Step] = []
    endpoints_by_group: dict[str, tuple[Endpoint, ...]] = {}
    groups = [group for group, is_requested in (("images", images), ("keys", keys)) if is_requested]
    for url in list_pages(name, port):
        response = yield PageRequest(url)
        step, endpoints = _read_page(url, response, name, labels)
        for group in groups:
            group_endpoints = tuple(each for each in endpoints if (each.kind == "key") == (group == "keys"))
            if group_endpoints:
                endpoints_by_group.setdefault(group, group_endpoints)
        steps.append(step)
        if len(endpoints_by_group) == len(groups):
            break
    return Discovery(
        name=name,
        labels=dict(labels),
        images=endpoints_by_group.get("images", ()),
        keys=endpoints_by_group.get("keys", ()),
        steps=tuple(steps),
    )


def _read_page(
    page: str, response: PageResponse, name: str, labels: Mapping[str, str]
) -> tuple[Step, list[Endpoint]]:
    status, url = response.status, response.url or page
    if status >= 500 or status < 200 or status == 429:
        raise FetchError(
            f"the discovery page cannot be read: the server responded {describe_status(status)}",
            where=url,
            hint="try again later",
        )
    results: tuple[TagResult, ...] = ()
    outcome = describe_status(status)
    if status == 200:
        head = read_head(response.content)
        tags = [tag for tag in head.tags if tag.name in TAG_NAMES]
        if not tags and not head.is_complete and len(response.content) > _LARGE:
            raise FormatError("the head of the discovery page does not end", where=url)
        results = tuple(evaluate_tag(tag, name, labels, url) for tag in tags)
        outcome = _describe_results(results)
    step = Step(
        page=page, url=url, status=status, is_cached=response.is_cached, outcome=outcome, tags=results
    )
    return step, [result.endpoint for result in results if result.endpoint is not None]


_LARGE = 1 << 18
"""Bytes of a page whose head must end: a page without a head is only small."""


def _describe_results(results: tuple[TagResult, ...]) -> str:
    if not results:
        return "no discovery tags"
    usable = sum(result.endpoint is not None for result in results)
    return f"{usable} of {len(results)} discovery tags" + (" apply" if usable != 1 else " applies")


def describe_status(status: int) -> str:
    """Return a status of HTTP with its phrase."""
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def explain_absence(discovery: Discovery, content: str) -> FetchError:
    """Return the error for a name without ``content`` (images or keys), with why each page has none."""
    visited = "; ".join(f"{step.page.partition('?')[0]}: {_explain_step(step)}" for step in discovery.steps)
    hint = f"see 'pumice discover {discovery.name}'"
    if any(step.status == 401 for step in discovery.steps):
        hint = "the server asks for a login: pass --creds USER, or --authfile FILE"
    return FetchError(
        f"no {content} can be discovered for {discovery.name}: {visited[:600]}",
        where=discovery.name,
        hint=hint,
    )


def _explain_step(step: Step) -> str:
    reasons = [result.reason for result in step.tags if result.reason]
    return f"{step.outcome} ({reasons[0]})" if reasons else step.outcome
