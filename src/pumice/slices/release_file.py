"""Reads ``chisel.yaml``: the format, the archives with their keys, and the dates of a release."""

from __future__ import annotations

import re
from datetime import date
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import FormatError, Problem
from pumice.slices import names
from pumice.slices.model import Archive, Maintenance
from pumice.slices.values import is_null

if TYPE_CHECKING:
    from pumice.formats.yaml import Node
    from pumice.slices.values import ValueReader

FILE_NAME = "chisel.yaml"
FORMATS = ("v1", "v2", "v3")
_PRO = ("fips", "fips-updates", "esm-apps", "esm-infra")
_MAX_PRIORITY = 1000
_DAY = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2}")

_KNOWN_MAINTENANCE = {
    "20.04": Maintenance("2020-04-23", "2032-04-27", "2025-05-29", "2030-04-23"),
    "22.04": Maintenance("2022-04-21", "2034-04-25", "2027-06-01", "2032-04-21"),
    "22.10": Maintenance("2022-10-20", "2023-07-20"),
    "23.04": Maintenance("2023-04-20", "2024-01-25"),
    "23.10": Maintenance("2023-10-12", "2024-07-11"),
    "24.04": Maintenance("2024-04-25", "2036-04-29", "2029-05-31", "2034-04-25"),
    "24.10": Maintenance("2024-10-10", "2025-07-10"),
    "25.04": Maintenance("2025-04-17", "2026-01-15"),
}
"""The dates of Ubuntu's releases, for releases of slices that are older than the key ``maintenance``."""


class ReleaseFile(msgspec.Struct, frozen=True):
    """The content of ``chisel.yaml``."""

    format: str
    archives: dict[str, Archive]
    maintenance: Maintenance
    notes: tuple[str, ...]


class _ArchiveNode(msgspec.Struct, frozen=True):
    """An archive with the node of its definition, and what only the check of all archives needs."""

    archive: Archive
    node: Node
    has_priority: bool
    is_default: bool


def read_release_file(root: Node | None, values: ValueReader) -> ReleaseFile | None:
    """Return the content of ``chisel.yaml``; None if the format is unknown. Problems are in ``values``."""
    if root is None:
        values.problems.append(Problem("the file has no release definition", where=FILE_NAME))
        return None
    fields = values.fields(root, "the release")
    release_format = values.text(fields.get("format"), "format")
    if release_format not in FORMATS:
        _report_format(root, fields.get("format"), release_format, values)
        return None
    if release_format != "v1" and "v2-archives" in fields:
        values.report(fields["v2-archives"], "'v2-archives' is obsolete since format v2", "use 'archives'")
    keys = _read_keys(fields.get("public-keys"), values)
    reader = _ArchiveReader(values, keys, release_format)
    archives = reader.read_all(fields.get("archives"), fields.get("v2-archives"), root)
    maintenance = _read_maintenance(root, fields.get("maintenance"), archives, values)
    return ReleaseFile(release_format, archives, maintenance, tuple(reader.notes))


def _report_format(root: Node, node: Node | None, release_format: str, values: ValueReader) -> None:
    supported = f"this Pumice reads {', '.join(FORMATS)}"
    if re.fullmatch("v[1-9][0-9]{0,3}", release_format):
        values.report(
            node or root,
            f"format {release_format} is newer than this Pumice",
            f"{supported}; use a newer Pumice",
        )
    elif release_format:
        values.report(node or root, f"unknown format {release_format[:40]!r}", supported)
    else:
        values.report(root, "the release has no 'format'", supported)


def _read_keys(node: Node | None, values: ValueReader) -> dict[str, str]:
    """Return the armored public keys by name; checks that each is one key with the declared id."""
    keys: dict[str, str] = {}
    for name, value in values.items(node, "'public-keys'") if node else ():
        fields = values.fields(value, f"the public key {name.text[:80]!r}")
        armor = values.text(fields.get("armor"), "armor")
        key_id = values.text(fields.get("id"), "id")
        keys[name.text] = armor
        try:
            actual_id = _read_key_id(armor)
        except FormatError as error:
            values.report(name, f"the public key {name.text[:80]!r} cannot be read: {error.message}")
            continue
        if actual_id != key_id:
            message = f"the public key {name.text[:80]!r} has the id {actual_id}, not {key_id[:40]!r}"
            values.report(fields.get("id", name), message)
    return keys


def _read_key_id(armor: str) -> str:
    from pumice.formats import openpgp

    if "PRIVATE KEY" in armor:
        raise FormatError("it is a private key")
    certificates = openpgp.read_keyring(armor.encode()).certificates
    if len(certificates) != 1:
        raise FormatError(f"it has {len(certificates)} keys instead of one")
    fingerprint: str = certificates[0].fingerprint
    return fingerprint[-16:].upper()


class _ArchiveReader:
    """Reads the archives of a release and decides their priorities."""

    def __init__(self, values: ValueReader, keys: dict[str, str], release_format: str) -> None:
        self._values = values
        self._keys = keys
        self._format = release_format
        self.notes: list[str] = []

    def read_all(self, node: Node | None, extra_node: Node | None, root: Node) -> dict[str, Archive]:
        """Return the archives by name, with the priorities that count."""
        items: dict[str, _ArchiveNode] = {}
        count = 0
        names: set[str] = set()
        for group, noun in ((node, "'archives'"), (extra_node, "'v2-archives'")):
            for name, value in self._values.items(group, noun) if group else ():
                count += 1
                if name.text in names:
                    self._values.report(name, f"the archive {name.text[:80]!r} is defined twice")
                    continue
                names.add(name.text)
                item = self._read(name, value)
                if item:
                    items[name.text] = item
        if not count:
            self._values.report(root, "the release has no archives", "add 'archives'")
        self._check_priorities(items, count)
        return self._decide_priorities(items)

    def _read(self, name: Node, node: Node) -> _ArchiveNode | None:
        values = self._values
        label = f"the archive {values.text(name, 'archives')[:80]!r}"
        fields = values.fields(node, label)
        if "default" in fields and self._format != "v1" and values.flag(fields["default"], "default"):
            values.report(fields["default"], "'default' is obsolete since format v2", "use 'priority'")
        archive = Archive(
            name=values.text(name, "archives"),
            version=values.text(fields.get("version"), "version"),
            suites=values.texts(fields.get("suites"), "suites"),
            components=values.texts(fields.get("components"), "components"),
            pro=values.text(fields.get("pro"), "pro"),
        )
        for key in ("version", "suites", "components"):
            if not getattr(archive, key):
                values.report(name, f"{label} has no '{key}'")
        for text in (*archive.suites, *archive.components):
            if not names.is_archive_path(text):
                values.report(name, f"{label} has the invalid suite or component {text[:80]!r}")
        if archive.pro and archive.pro not in _PRO:
            self.notes.append(f"the archive {archive.name} is ignored: unknown 'pro' {archive.pro[:40]!r}")
            return None
        key_names = values.texts(fields.get("public-keys"), "public-keys")
        if not key_names:
            values.report(name, f"{label} has no 'public-keys'")
        for key_name in key_names:
            if key_name not in self._keys:
                values.report(name, f"{label} names the unknown public key {key_name[:80]!r}")
        priority_node = fields.get("priority")
        priority = self._read_priority(priority_node) if priority_node else 0
        return _ArchiveNode(
            msgspec.structs.replace(
                archive, priority=priority, keys=tuple(self._keys.get(key_name, "") for key_name in key_names)
            ),
            name,
            priority_node is not None,
            values.flag(fields.get("default"), "default"),
        )

    def _read_priority(self, node: Node) -> int:
        priority = self._values.integer(node, "priority")
        if priority is not None and (priority == 0 or abs(priority) > _MAX_PRIORITY):
            self._values.report(
                node,
                f"the priority {priority} is out of range",
                f"use a number from -{_MAX_PRIORITY} to {_MAX_PRIORITY}, but not 0",
            )
        return priority or 0

    def _check_priorities(self, items: dict[str, _ArchiveNode], count: int) -> None:
        defaults = sorted(name for name, item in items.items() if item.is_default)
        if len(defaults) > 1:
            message = f"more than one archive is the default: {', '.join(defaults)[:200]}"
            self._values.report(items[defaults[1]].node, message)
        without = sorted(name for name, item in items.items() if not item.has_priority)
        has_priorities = len(without) < len(items)
        if without and (has_priorities or (not defaults and count > 1)):
            message = f"the archive {without[0][:80]!r} has no 'priority'"
            self._values.report(items[without[0]].node, message, "give every archive its own priority")
        names_by_priority: dict[int, str] = {}
        for name in sorted(items) if has_priorities else ():
            priority = items[name].archive.priority
            if priority and priority in names_by_priority:
                message = f"the archives {names_by_priority[priority]!r} and {name!r} have the same priority"
                self._values.report(items[name].node, message)
            names_by_priority.setdefault(priority, name)

    def _decide_priorities(self, items: dict[str, _ArchiveNode]) -> dict[str, Archive]:
        """Return the archives; a default archive stands for priorities where there are none."""
        default = next((name for name in sorted(items) if items[name].is_default), "")
        if not default or any(item.has_priority for item in items.values()):
            return {name: item.archive for name, item in sorted(items.items())}
        return {
            name: msgspec.structs.replace(items[name].archive, priority=1 if name == default else -number)
            for number, name in enumerate(sorted(items), 1)
        }


def _read_maintenance(
    root: Node, node: Node | None, archives: dict[str, Archive], values: ValueReader
) -> Maintenance:
    fields = values.fields(node, "'maintenance'") if node else {}
    keys = ("standard", "end-of-life", "expanded", "legacy")
    texts = {key: values.text(fields.get(key), key) for key in keys}
    if not any(texts.values()):
        ubuntu = archives.get("ubuntu")
        maintenance = _KNOWN_MAINTENANCE.get(ubuntu.version) if ubuntu else None
        if maintenance:
            return maintenance
    for key in keys:
        if texts[key] and not _is_day(texts[key]):
            values.report(fields[key], f"{key!r} is not a date", "write YYYY-MM-DD")
        if key in keys[:2] and not texts[key]:
            place = node if node and not is_null(node) else root
            values.report(place, f"'maintenance' has no '{key}'", f"add '{key}: YYYY-MM-DD'")
    return Maintenance(*(texts[key] for key in keys))


def _is_day(text: str) -> bool:
    if not _DAY.fullmatch(text):
        return False
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
