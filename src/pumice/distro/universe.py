"""What a resolver may ask of a distribution's indexes, for one architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pumice.formats.aptindex import PackageRecord


BASE_DATA = ("base-files", "base-passwd")
"""The packages whose files ``base: data`` takes, without what they depend on."""


class Universe(Protocol):
    """Every package that could be chosen. Look-ups are lazy: nothing else is parsed."""

    architecture: str
    """Debian name of the architecture that is being resolved for (``amd64``)."""

    def versions(self, name: str) -> Sequence[PackageRecord]:
        """Return all versions of the package called ``name``, newest first (empty: none)."""

    def providers(self, name: str) -> Sequence[PackageRecord]:
        """Return the packages whose Provides names ``name``, sorted by name, then newest first."""

    def priority(self, record: PackageRecord, *, requested: bool) -> int:
        """Return how much a package counts against others of its name (`pumice.distro.preferences`)."""

    def essential(self) -> Sequence[PackageRecord]:
        """Return the candidate of every ``Essential: yes`` package, sorted by name."""

    def names(self) -> Iterable[str]:
        """Return all package names, for suggestions."""
