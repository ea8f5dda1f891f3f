"""What a resolution is asked, and what it answers."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

import msgspec

from pumice.distro import preferences
from pumice.distro.debian import version
from pumice.formats import relations
from pumice.formats.aptindex import PackageRecord
from pumice.recipe.model import Base, Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pumice.distro.universe import Universe

ReasonKind = Literal["requested", "needed", "recommended", "essential", "base-data"]


class Wants(msgspec.Struct, frozen=True, kw_only=True):
    """What a recipe asks for, on one architecture.

    ``pins`` are versions by name that are kept where possible (from an older lock), and
    ``pin_archives`` the archives that they came from: the same version in another archive is another
    package. ``local`` are the records of local packages by their requests' ``file``.
    """

    requests: tuple[Request, ...] = ()
    base: Base = "none"
    recommends: bool = False
    pins: dict[str, str] = {}
    pin_archives: dict[str, str] = {}
    local: dict[str, PackageRecord] = {}

    def is_pin(self, record: PackageRecord) -> bool:
        """Return whether an older lock has this very version from this archive."""
        if self.pins.get(record.name) != record.version:
            return False
        archive = preferences.archive_of(record)
        return self.pin_archives.get(record.name, archive) == archive


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a package is there.

    ``by`` is the package that needs or recommends it (empty: the recipe does), ``relation`` what
    that one says, ``where`` the place in the recipe.
    """

    kind: ReasonKind
    by: str = ""
    relation: str = ""
    where: str = ""


class Solution(msgspec.Struct, frozen=True, kw_only=True):
    """An exact set of packages, sorted by name, with the reason for each, by name.

    ``base_data`` are packages of which only the files are used; they are not in ``packages``.
    ``held_back`` are those for which the preferred version could not be taken, with that version.
    ``contested`` are those that several archives offer, each with the best offer of every other one.
    """

    packages: tuple[PackageRecord, ...]
    base_data: tuple[PackageRecord, ...] = ()
    reasons: dict[str, Reason] = {}
    held_back: tuple[tuple[PackageRecord, str], ...] = ()
    contested: tuple[tuple[PackageRecord, tuple[PackageRecord, ...]], ...] = ()


class Overlay:
    """A universe with local packages in front: of equal names theirs is preferred."""

    def __init__(self, universe: Universe, local: Iterable[PackageRecord]) -> None:
        self.architecture = universe.architecture
        self._universe = universe
        self._local = {record.name: record for record in sorted(local, key=lambda record: record.name)}

    def versions(self, name: str) -> Sequence[PackageRecord]:
        """Return the local package called ``name``, then the universe's, newest first."""
        others = self._universe.versions(name)
        mine = self._local.get(name)
        return others if mine is None else (mine, *[one for one in others if one.version != mine.version])

    def providers(self, name: str) -> Sequence[PackageRecord]:
        """Return the packages whose Provides names ``name``, the local ones first."""
        mine = [record for record in self._local.values() if _provides(record, name)]
        return (*mine, *self._universe.providers(name))

    def priority(self, record: PackageRecord, *, requested: bool) -> int:
        """Return how much a package counts: a local one most."""
        if record is self._local.get(record.name):
            return preferences.LOCAL
        return self._universe.priority(record, requested=requested)

    def essential(self) -> Sequence[PackageRecord]:
        """Return the candidate of every essential package."""
        return self._universe.essential()

    def names(self) -> Iterable[str]:
        """Return all package names."""
        return {*self._universe.names(), *self._local}


def matches(version: str, pattern: str) -> bool:
    """Return whether a version is the one that a recipe asks for, in which ``*`` stands for anything."""
    return fnmatchcase(version, pattern) if "*" in pattern else version == pattern


def satisfies(record: PackageRecord, relation: relations.Relation, architecture: str) -> bool:
    """Say whether ``record`` satisfies ``relation``, by its own name or by one that it provides.

    Qualifiers count within one architecture: ``:any`` asks for ``Multi-Arch: allowed``, and a named
    architecture must be the one that is resolved for.
    """
    if relation.qualifier not in ("", "any", "native", architecture):
        return False
    if record.name == relation.name and _right_version(record.version, relation):
        return relation.qualifier != "any" or record.multi_arch == "allowed"
    return bool(record.provides) and any(
        provided.name == relation.name
        and (
            not relation.operator or (provided.operator == "=" and _right_version(provided.version, relation))
        )
        and (
            relation.qualifier != "any"
            or "any" in (provided.qualifier, "any" * (record.multi_arch == "allowed"))
        )
        for provided in relations.parse_flat_relations(record.provides)
    )


def _right_version(text: str, relation: relations.Relation) -> bool:
    if not relation.operator:
        return True
    if relation.operator == "=" and text == relation.version:
        return True
    order = version.compare(text, relation.version)
    return (
        (order < 0 and relation.operator in ("<<", "<="))
        or (order > 0 and relation.operator in (">>", ">="))
        or (order == 0 and relation.operator in ("=", "<=", ">="))
    )


def _provides(record: PackageRecord, name: str) -> bool:
    return any(provided.name == name for provided in relations.parse_flat_relations(record.provides))
