"""The packages of a distribution as the resolver sees them, for one architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pumice.formats.aptindex import PackageRecord


BASE_DATA = ("base-files", "base-passwd")
"""The packages whose files ``base: data`` uses, without their dependencies."""

LOCALE_DATA = {"libc6": "libc-bin"}
"""C libraries and the package with their locale C.UTF-8, of which ``base: data`` uses only the locale."""


class PackageNames(Protocol):
    """The names of packages, for suggestions in errors."""

    def names(self) -> Iterable[str]:
        """Return all package names."""

    def other_suites(self, name: str) -> Sequence[str]:
        """Return other suites that are known to have the package called ``name``."""


class Universe(PackageNames, Protocol):
    """All candidate packages. Lookups are lazy: only the stanzas found are parsed."""

    architecture: str
    """The architecture to resolve for, by its name in the distribution (``amd64``)."""

    def versions(self, name: str) -> Sequence[PackageRecord]:
        """Return all versions of the package called ``name``, newest first (empty: none)."""

    def providers(self, name: str) -> Sequence[PackageRecord]:
        """Return the packages whose Provides names ``name``, sorted by name, then newest first."""

    def priority(self, record: PackageRecord, *, requested: bool) -> int:
        """Return the priority of a package among those of its name (`pumice.distro.preferences`)."""

    def essential(self) -> Sequence[PackageRecord]:
        """Return the candidate of every ``Essential: yes`` package, sorted by name."""
