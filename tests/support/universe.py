"""A universe out of text: hand-made stanzas, or the indexes that apt has on this machine."""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING

import msgspec

from pumice.distro import preferences
from pumice.distro.debian import version
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
    """Stanzas of ``Packages`` files, parsed when they are asked for."""

    def __init__(self, indexes: Iterable[tuple[str, str]], architecture: str = "amd64") -> None:
        self.architecture = architecture
        self._stanzas: dict[str, list[tuple[str, str]]] = {}
        self._providers: dict[str, set[str]] = {}
        self._essential: set[str] = set()
        self._known: dict[str, tuple[PackageRecord, ...]] = {}
        for suite, text in indexes:
            for stanza in text.strip("\n").split("\n\n"):
                if found := _NAME.search(stanza):
                    self._remember(found[1].strip(), suite, stanza)

    def _remember(self, name: str, suite: str, stanza: str) -> None:
        self._stanzas.setdefault(name, []).append((suite, stanza))
        if "\nEssential: yes" in stanza:
            self._essential.add(name)
        if found := _PROVIDES.search(stanza):
            for term in found[1].split(","):
                self._providers.setdefault(re.split(r"[\s(:]", term.strip())[0], set()).add(name)

    def versions(self, name: str) -> Sequence[PackageRecord]:
        if name not in self._known:
            records = {
                record.version: record
                for suite, stanza in reversed(self._stanzas.get(name, []))
                if (record := _record(stanza, suite)).architecture in ("all", self.architecture)
            }
            ordered = sorted(
                records.values(), key=lambda record: version.sort_key(record.version), reverse=True
            )
            self._known[name] = tuple(ordered)
        return self._known[name]

    def providers(self, name: str) -> Sequence[PackageRecord]:
        return [
            record
            for other in sorted(self._providers.get(name, ()))
            for record in self.versions(other)
            if re.search(rf"(^|[\s,]){re.escape(name)}($|[\s,(:])", record.provides)
        ]

    def essential(self) -> Sequence[PackageRecord]:
        return [self.versions(name)[0] for name in sorted(self._essential)]

    def priority(self, record: PackageRecord, *, requested: bool) -> int:
        del record, requested
        return preferences.DEFAULT

    def names(self) -> Iterable[str]:
        return self._stanzas


def from_text(text: str, architecture: str = "amd64") -> TextUniverse:
    """Return the universe of some stanzas, in which everything but the name may be left out."""
    return TextUniverse([("debian/bookworm", text)], architecture)


def _record(stanza: str, suite: str) -> PackageRecord:
    fields = {found[1]: found[2].strip() for found in _FIELD.finditer(stanza)}
    name, source = fields["Package"], fields.get("Source", "")
    found = re.fullmatch(r"(\S+)(?:\s+\((.+)\))?", source)
    number = fields.get("Version", "1")
    return PackageRecord(
        name=name,
        version=number,
        architecture=fields.get("Architecture", "amd64"),
        source=found[1] if found else name,
        source_version=(found[2] if found else None) or number,
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
    """A small universe on a page: what there is, what is wanted, and what should come of it."""

    universe: str
    wants: tuple[str, ...]
    packages: tuple[str, ...]
    error: str

    def stanzas(self) -> str:
        """The universe as ``Packages`` has it. A line ``NAME VERSION [KIB]`` begins a package."""
        made = []
        for line in self.universe.splitlines():
            if line.startswith(" "):
                made.append(line.strip())
            else:
                name, number, *size = line.split()
                made += ["", f"Package: {name}", f"Version: {number}", f"Installed-Size: {(*size, '10')[0]}"]
        return "\n".join(made)

    def requests(self) -> tuple[Request, ...]:
        """What is wanted, one request a line from line 5 of a recipe on."""
        found = []
        for line, word in enumerate(self.wants, 5):
            name, _, number = word.removeprefix("-").partition("=")
            exclude = word.startswith("-")
            found.append(Request(name=name, version=number, exclude=exclude, where=f"recipe.yaml:{line}:5"))
        return tuple(found)


def sketch(path: Path) -> Sketch:
    """Read a sketch: sections ``[universe]``, ``[wants]``, and ``[packages]`` or ``[error]``."""
    parts = re.split(r"^\[([a-z]+)\]\n", path.read_text(), flags=re.MULTILINE)[1:]
    sections = dict(zip(parts[::2], parts[1::2], strict=True))
    return Sketch(
        universe=sections["universe"],
        wants=tuple(sections["wants"].split()),
        packages=tuple(sections.get("packages", "").splitlines()),
        error=sections.get("error", ""),
    )


@functools.cache
def from_apt(architecture: str = "amd64") -> TextUniverse:
    """Return the universe of Debian's own indexes that apt has fetched; empty if it has none."""
    indexes = []
    for path in apt.debian_indexes(architecture):
        address, _, rest = path.name.partition("_dists_")
        archive = address.rsplit("_", 1)[1]
        indexes.append((f"{archive}/{rest.split('_')[0]}", apt.content(path).decode()))
    return TextUniverse(indexes, architecture)
