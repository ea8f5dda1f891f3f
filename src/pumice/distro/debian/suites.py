"""All suites of a recipe as one universe for the resolver (`pumice.distro.universe.Universe`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.distro.debian.version import key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pumice.formats.aptindex import Index, PackageRecord


class SuiteUniverse:
    """The packages of several indexes for one architecture.

    Where indexes offer the very same package, it is taken from the first of them, in the order given.
    """

    def __init__(self, architecture: str, indexes: Sequence[Index]) -> None:
        self.architecture = architecture
        self._indexes = tuple(indexes)
        self._versions: dict[str, tuple[PackageRecord, ...]] = {}
        self._providers: dict[str, tuple[PackageRecord, ...]] = {}

    def versions(self, name: str) -> Sequence[PackageRecord]:
        """Return all versions of the package called ``name``, newest first (empty: none)."""
        found = self._versions.get(name)
        if found is None:
            found = self._newest_first(record for index in self._indexes for record in index.versions(name))
            self._versions[name] = found
        return found

    def providers(self, name: str) -> Sequence[PackageRecord]:
        """Return the packages whose Provides names ``name``, sorted by name, then newest first."""
        found = self._providers.get(name)
        if found is None:
            records = self._newest_first(
                record for index in self._indexes for record in index.providers(name)
            )
            found = self._providers[name] = tuple(sorted(records, key=lambda record: record.name))
        return found

    def essential(self) -> Sequence[PackageRecord]:
        """Return the newest version of every ``Essential: yes`` package, sorted by name."""
        names = {record.name for index in self._indexes for record in index.essential()}
        newest = [versions[0] for name in sorted(names) if (versions := self.versions(name))]
        return [record for record in newest if record.essential]

    def names(self) -> Iterable[str]:
        """Return all package names, for suggestions."""
        return sorted({name for index in self._indexes for name in index.names()})

    def _newest_first(self, records: Iterable[PackageRecord]) -> tuple[PackageRecord, ...]:
        fitting = {"all", self.architecture}
        once: dict[tuple[str, str, str, str], PackageRecord] = {}
        for record in records:
            if record.architecture in fitting:
                identity = (record.name, record.version, record.architecture, record.sha256 or record.sha512)
                once.setdefault(identity, record)
        return tuple(sorted(once.values(), key=lambda record: key(record.version), reverse=True))
