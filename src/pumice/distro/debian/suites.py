"""All suites of a recipe as one universe for the resolver (`pumice.distro.universe.Universe`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.distro.debian.version import key
from pumice.distro.preferences import Standing
from pumice.distro.universe import BASE_DATA

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pumice.formats.aptindex import Index, PackageRecord


_ORDINARY = Standing()


class SuiteUniverse:
    """The packages of several indexes for one architecture.

    Where indexes offer the very same package, it is taken from the first of them, in the order given.
    """

    def __init__(
        self, architecture: str, indexes: Sequence[Index], standings: Mapping[str, Standing] | None = None
    ) -> None:
        """``standings`` says what suites may be used for, by their label; ordinary ones need none."""
        self.architecture = architecture
        self._indexes = tuple(indexes)
        self._standings = dict(standings or {})
        self._protected: dict[str, bool] = {}
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

    def priority(self, record: PackageRecord, *, requested: bool) -> int:
        """Return how much a package counts against others of its name."""
        standing = self._standing(record)
        protected = standing.extra and self._is_protected(record.name)
        return standing.of(record, requested=requested, protected=protected)

    def essential(self) -> Sequence[PackageRecord]:
        """Return the candidate of every ``Essential: yes`` package, sorted by name.

        An archive without authority over the base cannot make a package of its own essential.
        """
        names = {
            record.name
            for index in self._indexes
            for record in index.essential()
            if self._standing(record).has_authority() and self._standing(record).offers(record.name)
        }
        found = []
        for name in sorted(names):
            versions = self.versions(name)
            if versions:
                found.append(max(versions, key=lambda record: self.priority(record, requested=False)))
        return [record for record in found if record.essential]

    def names(self) -> Iterable[str]:
        """Return all package names, for suggestions."""
        return sorted({name for index in self._indexes for name in index.names()})

    def _standing(self, record: PackageRecord) -> Standing:
        return self._standings.get(record.suite, _ORDINARY)

    def _is_protected(self, name: str) -> bool:
        """Whether the distribution itself has a package that every image is based on."""
        found = self._protected.get(name)
        if found is None:
            found = self._protected[name] = any(
                record.essential or record.priority == "required" or name in BASE_DATA
                for record in self.versions(name)
                if not self._standing(record).extra
            )
        return found

    def _newest_first(self, records: Iterable[PackageRecord]) -> tuple[PackageRecord, ...]:
        fitting = {"all", self.architecture}
        once: dict[tuple[str, str, str, str], PackageRecord] = {}
        for record in records:
            if record.architecture in fitting:
                identity = (record.name, record.version, record.architecture, record.sha256 or record.sha512)
                once.setdefault(identity, record)
        return tuple(sorted(once.values(), key=lambda record: key(record.version), reverse=True))
