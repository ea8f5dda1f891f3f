"""apt's package sources: ``sources.list`` and ``*.sources`` files (sources.list(5)).

Only ``deb`` entries are returned, not ``deb-src`` and disabled ones.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import FormatError
from pumice.formats import deb822
from pumice.formats.aptconf import parse_boolean

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_ONE_LINE = re.compile(r"\s*(deb|deb-src)\s+(?:\[([^\]]*)\]\s*)?(.*)")
_FIELDS = {
    "arch": "architectures",
    "signed-by": "signed-by",
    "trusted": "trusted",
    "check-valid-until": "check-valid-until",
    "check-date": "check-date",
}


class SourceEntry(msgspec.Struct, frozen=True):
    """One archive and suite.

    ``signed_by`` has absolute keyring paths and fingerprints, ``key`` an embedded armored key.
    Options are None if they are not set.
    """

    uri: str
    suite: str
    components: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    signed_by: tuple[str, ...] = ()
    key: str = ""
    trusted: bool | None = None
    check_valid_until: bool | None = None
    check_date: bool | None = None
    where: str = ""


def read_list_file(data: bytes, *, where: str = "") -> list[SourceEntry]:
    """Return the entries of a ``.list`` file; raises FormatError with the line number."""
    entries: list[SourceEntry] = []
    for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
        text = line.partition("#")[0].strip()
        if text:
            entries.extend(_parse_line(text, f"{where}:{number}"))
    return entries


def read_sources_file(data: bytes, *, where: str = "") -> list[SourceEntry]:
    """Return the entries of a ``.sources`` file; raises FormatError if it is malformed."""
    entries: list[SourceEntry] = []
    for fields in deb822.read_paragraphs(data, comments=True, where=where or None):
        entries.extend(_parse_paragraph(deb822.lowercase_names(fields), where))
    return entries


def _parse_line(text: str, where: str) -> Iterator[SourceEntry]:
    match = _ONE_LINE.fullmatch(text)
    if match is None:
        raise FormatError("a source must start with deb or deb-src", where=where)
    kind, options, arguments = match.groups()
    fields = arguments.split()
    if len(fields) < 2:
        raise FormatError("a source needs a URI and a suite", where=where)
    uri, suite, *components = fields
    _check_components(suite, components, where)
    if kind == "deb":
        yield _make_entry(uri, suite, tuple(components), _parse_options(options or ""), where)


def _parse_options(text: str) -> dict[str, str]:
    """Return the bracketed options by the lower-case names of their deb822 fields."""
    options = {}
    for option in text.split():
        name, equals, value = option.partition("=")
        if equals and name.lower() in _FIELDS:
            options[_FIELDS[name.lower()]] = value.replace(",", " ")
    return options


def _parse_paragraph(fields: Mapping[str, str], where: str) -> Iterator[SourceEntry]:
    for required in ("types", "uris", "suites"):
        if not fields.get(required, "").split():
            raise FormatError(f"a paragraph has no {required.capitalize()}", where=where or None)
    if parse_boolean(fields.get("enabled", "")) is False or "deb" not in fields["types"].split():
        return
    components = tuple(fields.get("components", "").split())
    for uri in fields["uris"].split():
        for suite in fields["suites"].split():
            _check_components(suite, components, where)
            yield _make_entry(uri, suite, components, fields, where)


def _make_entry(
    uri: str, suite: str, components: tuple[str, ...], options: Mapping[str, str], where: str
) -> SourceEntry:
    signed_by = options.get("signed-by", "")
    has_embedded_key = "-----BEGIN PGP" in signed_by
    return SourceEntry(
        uri=uri,
        suite=suite,
        components=components,
        architectures=tuple(options.get("architectures", "").split()),
        signed_by=() if has_embedded_key else tuple(signed_by.replace(",", " ").split()),
        key=_unescape_key(signed_by) if has_embedded_key else "",
        trusted=parse_boolean(options.get("trusted", "")),
        check_valid_until=parse_boolean(options.get("check-valid-until", "")),
        check_date=parse_boolean(options.get("check-date", "")),
        where=where,
    )


def _unescape_key(value: str) -> str:
    """Return a key without deb822's escaping: lines are indented, and an empty line is a dot."""
    lines = [line.strip() for line in value.strip().split("\n")]
    return "".join(("" if line == "." else line) + "\n" for line in lines)


def _check_components(suite: str, components: tuple[str, ...] | list[str], where: str) -> None:
    if suite.endswith("/") == bool(components):
        rule = "an exact path takes no components" if components else "a suite needs at least one component"
        raise FormatError(f"{rule}: {suite[:100]}", where=where or None)
