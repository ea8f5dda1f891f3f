"""The input and output of a resolution."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Literal

import msgspec

from pumice.distro import preferences
from pumice.distro.versions import version_satisfies
from pumice.formats import relations
from pumice.formats.aptindex import PackageRecord
from pumice.recipe.model import Base, Request

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pumice.distro.universe import Universe

ReasonKind = Literal["requested", "needed", "recommended", "essential", "base-data"]


class Requirements(msgspec.Struct, frozen=True, kw_only=True):
    """The requirements of a recipe on one architecture.

    ``pins`` are the versions by name from an older lock that are preferred, and ``pin_archives`` the
    archives they came from: the same version in another archive is a different package. ``local`` are
    the records of local package files by the ``file`` of their requests.
    """

    requests: tuple[Request, ...] = ()
    base: Base = "none"
    recommends: bool = False
    pins: dict[str, str] = {}
    pin_archives: dict[str, str] = {}
    local: dict[str, PackageRecord] = {}

    def is_pinned(self, record: PackageRecord) -> bool:
        """Return whether an older lock has exactly this version from this archive."""
        if self.pins.get(record.name) != record.version:
            return False
        archive = preferences.archive_name(record)
        return self.pin_archives.get(record.name, archive) == archive


class Reason(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a package is installed.

    ``by`` is the package that depends on or recommends it through ``relation``; empty for a request
    of the recipe, whose location is ``where``.
    """

    kind: ReasonKind
    by: str = ""
    relation: str = ""
    where: str = ""


class Solution(msgspec.Struct, frozen=True, kw_only=True):
    """An exact set of packages, sorted by name, with the reason for each by name.

    ``base_data`` are packages of which only the files are used; they are not in ``packages``.
    ``held_back`` are pairs of a package and its preferred version that could not be chosen.
    ``contested`` are pairs of a package and the best candidate of each other archive that has it.
    """

    packages: tuple[PackageRecord, ...]
    base_data: tuple[PackageRecord, ...] = ()
    reasons: dict[str, Reason] = {}
    held_back: tuple[tuple[PackageRecord, str], ...] = ()
    contested: tuple[tuple[PackageRecord, tuple[PackageRecord, ...]], ...] = ()


class LocalOverlay:
    """A universe with local packages added; they are preferred over packages of the same name."""

    def __init__(self, universe: Universe, local: Iterable[PackageRecord]) -> None:
        self.architecture = universe.architecture
        self._universe = universe
        self._local = {record.name: record for record in sorted(local, key=lambda record: record.name)}

    def versions(self, name: str) -> Sequence[PackageRecord]:
        """Return the local package called ``name``, then the universe's, newest first."""
        versions = self._universe.versions(name)
        local_record = self._local.get(name)
        return (
            versions
            if local_record is None
            else (local_record, *[record for record in versions if record.version != local_record.version])
        )

    def providers(self, name: str) -> Sequence[PackageRecord]:
        """Return the packages whose Provides names ``name``, the local ones first."""
        local_providers = [record for record in self._local.values() if _provides(record, name)]
        return (*local_providers, *self._universe.providers(name))

    def priority(self, record: PackageRecord, *, requested: bool) -> int:
        """Return the priority of a package; local ones have the highest."""
        if record is self._local.get(record.name):
            return preferences.LOCAL
        return self._universe.priority(record, requested=requested)

    def essential(self) -> Sequence[PackageRecord]:
        """Return the candidate of every essential package."""
        return self._universe.essential()

    def names(self) -> Iterable[str]:
        """Return all package names."""
        return {*self._universe.names(), *self._local}

    def other_suites(self, name: str) -> Sequence[str]:
        """Return other suites that are known to have the package called ``name``."""
        return self._universe.other_suites(name)


def matches_version(version: str, pattern: str) -> bool:
    """Return whether ``version`` matches a requested version, in which ``*`` matches any text."""
    return fnmatchcase(version, pattern) if "*" in pattern else version == pattern


def satisfies(record: PackageRecord, relation: relations.Relation, architecture: str) -> bool:
    """Return whether ``record`` satisfies ``relation`` by its own name or one that it provides.

    Qualifiers are evaluated within one architecture: ``:any`` requires ``Multi-Arch: allowed``, and a
    named architecture must be ``architecture`` (Debian Policy 7.1, multiarch specification).
    """
    if relation.qualifier not in ("", "any", "native", architecture):
        return False
    if record.name == relation.name and version_satisfies(record.version, relation):
        return relation.qualifier != "any" or record.multi_arch == "allowed"
    return bool(record.provides) and any(
        provided.name == relation.name
        and (
            not relation.operator
            or (provided.operator == "=" and version_satisfies(provided.version, relation))
        )
        and (
            relation.qualifier != "any"
            or "any" in (provided.qualifier, "any" * (record.multi_arch == "allowed"))
        )
        for provided in relations.parse_flat_relations(record.provides)
    )


def _provides(record: PackageRecord, name: str) -> bool:
    return any(provided.name == name for provided in relations.parse_flat_relations(record.provides))
