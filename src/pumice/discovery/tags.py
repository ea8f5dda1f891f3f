"""Discovery tags: which of them apply to a name, and the URLs that their templates stand for.

``ac-discovery`` and ``ac-discovery-pubkeys`` are those of the App Container specification
(spec/discovery.md). ``pumice-discovery-oci`` is ours: it names a repository in an OCI registry, or in the
static tree of one. A prefix matches whole elements of a name: ``example.com/foo`` does not match
``example.com/foobar``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, urlsplit

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pumice.discovery.pages import MetaTag

Kind = Literal["aci", "registry", "key"]

TAG_NAMES: dict[str, Kind] = {
    "ac-discovery": "aci",
    "pumice-discovery-oci": "registry",
    "ac-discovery-pubkeys": "key",
}
"""The names of the tags, with what they lead to."""
DEFAULT_VERSION = "latest"
_MAX_TEMPLATE = 2048
_VARIABLE = re.compile(r"\{([^{}]*)\}")
_SAFE = "-._~+:@"
"""Characters of a label's value that stay as they are; a slash would lead to another directory."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A place where an image or a key may be.

    ``url`` is that of the image, the key, or ``docker://HOST/NAME:TAG``. ``signature`` is the URL of the
    signature of an ``aci``, "" otherwise. ``prefix`` and ``page`` are those of the tag.
    """

    kind: Kind
    url: str
    signature: str = ""
    prefix: str
    page: str


class TagResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a tag: an endpoint, or the reason why it has none."""

    name: str
    content: str
    endpoint: Endpoint | None = None
    reason: str = ""


def matches_prefix(name: str, prefix: str) -> bool:
    """Return whether a prefix consists of the first elements of a name."""
    return name == prefix or name.startswith(f"{prefix}/")


def evaluate_tag(tag: MetaTag, name: str, labels: Mapping[str, str], page: str) -> TagResult:
    """Return what a discovery tag on a page means for a name; ``labels`` has at most one ``version``."""
    kind = TAG_NAMES[tag.name]
    fields = tag.content.split()
    content = " ".join(fields)[:_MAX_TEMPLATE]

    def refuse(reason: str) -> TagResult:
        return TagResult(name=tag.name, content=content, reason=reason)

    if len(fields) != 2 or len(tag.content) > _MAX_TEMPLATE:
        return refuse("it is not a prefix and a URL")
    prefix, template = fields[0].rstrip("/"), fields[1]
    if not matches_prefix(name, prefix):
        return refuse("its prefix does not match the name")
    if kind == "key":
        endpoint = Endpoint(kind=kind, url=template, prefix=prefix, page=page)
    else:
        variables = _make_variables(name, labels, prefix)
        available_variables = {*variables, *(("ext",) if kind == "aci" else ())}
        if missing := [
            variable for variable in _VARIABLE.findall(template) if variable not in available_variables
        ]:
            return refuse(f"its variable {{{missing[0][:40]}}} has no value")
        if kind == "aci" and "{ext}" not in template:
            return refuse("its template has no {ext}")
        endpoint = Endpoint(
            kind=kind,
            url=_render(template, {**variables, "ext": "aci"}),
            signature=_render(template, {**variables, "ext": "aci.asc"}) if kind == "aci" else "",
            prefix=prefix,
            page=page,
        )
    if not _has_scheme(endpoint.url):
        return refuse("it has no absolute URL")
    return TagResult(name=tag.name, content=content, endpoint=endpoint)


def _make_variables(name: str, labels: Mapping[str, str], prefix: str) -> dict[str, str]:
    """Return the values of a template; a label called ``name`` or ``ext`` cannot replace the real one."""
    values = {label: quote(value, safe=_SAFE) for label, value in labels.items() if value}
    values.setdefault("version", DEFAULT_VERSION)
    values.pop("ext", None)
    values.pop("suffix", None)
    suffix = name[len(prefix) + 1 :]
    return {**values, "name": name, **({"suffix": suffix} if suffix else {})}


def _render(template: str, variables: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda match: variables[match[1]], template)


def _has_scheme(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return bool(parts.scheme and parts.netloc) and url.isascii() and url.isprintable()
