"""Universes from text: handwritten stanzas, or the indexes that apt has on this machine."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

import msgspec

from pumice.distro import preferences
from pumice.distro.debian import version, well_known_packages
from pumice.formats.aptindex import PackageRecord
from pumice.recipe.model import Request
from tests.support import apt

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

_FIELDS = {
    "Depends": "depends", "Pre-Depends": "pre_depends", "Recommends": "recommends", "Conflicts": "conflicts",
    "Breaks": "breaks", "Replaces": "replaces", "Provides": "provides", "Multi-Arch": "multi_arch",
    "Priority": "priority", "Filename": "filename", "SHA256": "sha256", "Section": "section",
}  # fmt: skip
_NAME = re.compile(r"^Package: (.+)$", re.MULTILINE)
_FIELD = re.compile(r"^([A-Za-z0-9-]+):[ ]?(.*(?:\n[ \t].*)*)$", re.MULTILINE)
_PROVIDES = re.compile(r"^Provides: (.+)$", re.MULTILINE)


class TextUniverse:
    """Stanzas of ``Packages`` files, parsed on demand."""

    def __init__(self, indexes: Iterable[tuple[str, str]], architecture: str = "amd64") -> None:
        self.architecture = architecture
        self._stanzas: dict[str, list[tuple[str, str]]] = {}
        self._providers: dict[str, set[str]] = {}
        self._essential: set[str] = set()
        self._records_by_name: dict[str, tuple[PackageRecord, ...]] = {}
        for suite, text in indexes:
            for stanza in text.strip("\n").split("\n\n"):
                if records := _NAME.search(stanza):
                    self._add_stanza(records[1].strip(), suite, stanza)

    def _add_stanza(self, name: str, suite: str, stanza: str) -> None:
        self._stanzas.setdefault(name, []).append((suite, stanza))
        if "\nEssential: yes" in stanza:
            self._essential.add(name)
        if record := _PROVIDES.search(stanza):
            for term in record[1].split(","):
                self._providers.setdefault(re.split(r"[\s(:]", term.strip())[0], set()).add(name)

    def versions(self, name: str) -> Sequence[PackageRecord]:
        if name not in self._records_by_name:
            records = {
                record.version: record
                for suite, stanza in reversed(self._stanzas.get(name, []))
                if (record := _record(stanza, suite)).architecture in ("all", self.architecture)
            }
            ordered = sorted(
                records.values(), key=lambda record: version.sort_key(record.version), reverse=True
            )
            self._records_by_name[name] = tuple(ordered)
        return self._records_by_name[name]

    def providers(self, name: str) -> Sequence[PackageRecord]:
        return [
            record
            for provider in sorted(self._providers.get(name, ()))
            for record in self.versions(provider)
            if re.search(rf"(^|[\s,]){re.escape(name)}($|[\s,(:])", record.provides)
        ]

    def essential(self) -> Sequence[PackageRecord]:
        return [self.versions(name)[0] for name in sorted(self._essential)]

    def priority(self, record: PackageRecord, *, requested: bool) -> int:
        del record, requested
        return preferences.DEFAULT

    def names(self) -> Iterable[str]:
        return self._stanzas

    def other_suites(self, name: str) -> Sequence[str]:
        return [suite for suite in well_known_packages.find_known_suites(name) if suite != "bookworm"]


def from_text(text: str, architecture: str = "amd64") -> TextUniverse:
    """Return the universe of stanzas; only the package name is required."""
    return TextUniverse([("debian/bookworm", text)], architecture)


def _record(stanza: str, suite: str) -> PackageRecord:
    fields = {source_match[1]: source_match[2].strip() for source_match in _FIELD.finditer(stanza)}
    name, source = fields["Package"], fields.get("Source", "")
    match = re.fullmatch(r"(\S+)(?:\s+\((.+)\))?", source)
    version_text = fields.get("Version", "1")
    return PackageRecord(
        name=name,
        version=version_text,
        architecture=fields.get("Architecture", "amd64"),
        source=match[1] if match else name,
        source_version=(match[2] if match else None) or version_text,
        size=int(fields.get("Size", 1000)),
        installed_size=int(fields.get("Installed-Size", 10)),
        essential=fields.get("Essential") == "yes",
        suite=suite,
        **{attribute: fields.get(field, "") for field, attribute in _FIELDS.items() if field in fields},
        **{
            attribute: ""
            for attribute in ("filename", "sha256")
            if attribute.title() not in fields and attribute.upper() not in fields
        },
    )


class Sketch(msgspec.Struct, frozen=True):
    """A small universe with requests and the expected packages or error."""

    universe: str
    requests_text: tuple[str, ...]
    packages: tuple[str, ...]
    error: str

    def stanzas(self) -> str:
        """Return the universe in ``Packages`` format. A line ``NAME VERSION [KIB]`` starts a package."""
        lines = []
        for line in self.universe.splitlines():
            if line.startswith(" "):
                lines.append(line.strip())
            else:
                name, number, *size = line.split()
                lines += ["", f"Package: {name}", f"Version: {number}", f"Installed-Size: {(*size, '10')[0]}"]
        return "\n".join(lines)

    def requests(self) -> tuple[Request, ...]:
        """Return the requests, as if they were on lines of a recipe from line 5 on."""
        requests = []
        for line, request_text in enumerate(self.requests_text, 5):
            name, _, number = request_text.removeprefix("-").partition("=")
            exclude = request_text.startswith("-")
            requests.append(
                Request(name=name, version=number, exclude=exclude, where=f"recipe.yaml:{line}:5")
            )
        return tuple(requests)


def read_sketch(path: Path) -> Sketch:
    """Read a sketch: the sections ``[universe]``, ``[wants]``, and ``[packages]`` or ``[error]``."""
    parts = re.split(r"^\[([a-z]+)\]\n", path.read_text(), flags=re.MULTILINE)[1:]
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    return Sketch(
        universe=sections["universe"],
        requests_text=tuple(sections["wants"].split()),
        packages=tuple(sections.get("packages", "").splitlines()),
        error=sections.get("error", ""),
    )


@functools.cache
def from_apt(architecture: str = "amd64") -> TextUniverse:
    """Return the universe of the Debian indexes that apt has fetched; empty if there are none."""
    indexes = []
    for path in apt.debian_indexes(architecture):
        address, _, release_name = path.name.partition("_dists_")
        archive = address.rsplit("_", 1)[1]
        indexes.append((f"{archive}/{release_name.split('_')[0]}", apt.content(path).decode()))
    return TextUniverse(indexes, architecture)
