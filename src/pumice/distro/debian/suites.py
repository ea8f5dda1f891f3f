"""All suites of a recipe as one `pumice.distro.universe.Universe`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.distro.debian.version import sort_key
from pumice.distro.debian.well_known_packages import find_known_suites
from pumice.distro.preferences import SuitePolicy
from pumice.distro.universe import BASE_DATA, LOCALE_DATA

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pumice.formats.aptindex import Index, PackageRecord


_BASE_PACKAGES = (*BASE_DATA, *LOCALE_DATA.values())
_DEFAULT_POLICY = SuitePolicy()


class SuiteUniverse:
    """The packages of several indexes for one architecture.

    A package that several indexes have is taken from the first of them.
    """

    def __init__(
        self,
        architecture: str,
        indexes: Sequence[Index],
        policies: Mapping[str, SuitePolicy] | None = None,
        find_suites: Callable[[str, str], Iterable[str]] | None = None,
    ) -> None:
        """``policies`` are by label of the suite; a suite without one has the default policy.

        ``find_suites`` returns the suites of any cached index that has a name for an architecture.
        """
        self.architecture = architecture
        self._indexes = tuple(indexes)
        self._policies = dict(policies or {})
        self._find_suites = find_suites
        self._protected: dict[str, bool] = {}
        self._versions: dict[str, tuple[PackageRecord, ...]] = {}
        self._providers: dict[str, tuple[PackageRecord, ...]] = {}

    def versions(self, name: str) -> Sequence[PackageRecord]:
        """Return all versions of the package called ``name``, newest first (empty: none)."""
        records = self._versions.get(name)
        if records is None:
            records = self._sort_newest_first(
                record for index in self._indexes for record in index.versions(name)
            )
            self._versions[name] = records
        return records

    def providers(self, name: str) -> Sequence[PackageRecord]:
        """Return the packages whose Provides names ``name``, sorted by name, then newest first."""
        providers = self._providers.get(name)
        if providers is None:
            records = self._sort_newest_first(
                record for index in self._indexes for record in index.providers(name)
            )
            providers = self._providers[name] = tuple(sorted(records, key=lambda record: record.name))
        return providers

    def priority(self, record: PackageRecord, *, requested: bool) -> int:
        """Return the priority of a package among those of its name."""
        policy = self._get_policy(record)
        protected = policy.extra and self._is_protected(record.name)
        return policy.priority_of(record, requested=requested, protected=protected)

    def essential(self) -> Sequence[PackageRecord]:
        """Return the candidate of every ``Essential: yes`` package, sorted by name.

        An archive without authority over the base cannot make its packages essential.
        """
        names = {
            record.name
            for index in self._indexes
            for record in index.essential()
            if self._get_policy(record).has_authority() and self._get_policy(record).offers(record.name)
        }
        candidates = []
        for name in sorted(names):
            versions = self.versions(name)
            if versions:
                candidates.append(max(versions, key=lambda record: self.priority(record, requested=False)))
        return [record for record in candidates if record.essential]

    def names(self) -> Iterable[str]:
        """Return all package names, for suggestions."""
        return sorted({name for index in self._indexes for name in index.names()})

    def other_suites(self, name: str) -> Sequence[str]:
        """Return other suites that are known to have the package called ``name``, for suggestions."""
        own_suites = {index.suite.partition("/")[2] for index in self._indexes}
        cached_suites = self._find_suites(name, self.architecture) if self._find_suites else ()
        suites = dict.fromkeys([*find_known_suites(name), *cached_suites])
        return [
            suite
            for suite in suites
            if suite not in own_suites and suite.removesuffix("-security") not in own_suites
        ]

    def _get_policy(self, record: PackageRecord) -> SuitePolicy:
        return self._policies.get(record.suite, _DEFAULT_POLICY)

    def _is_protected(self, name: str) -> bool:
        """Return whether ``name`` is a package of the distribution that every image is based on."""
        is_protected = self._protected.get(name)
        if is_protected is None:
            is_protected = self._protected[name] = any(
                record.essential or record.priority == "required" or name in _BASE_PACKAGES
                for record in self.versions(name)
                if not self._get_policy(record).extra
            )
        return is_protected

    def _sort_newest_first(self, records: Iterable[PackageRecord]) -> tuple[PackageRecord, ...]:
        architectures = {"all", self.architecture}
        unique_records: dict[tuple[str, str, str, str], PackageRecord] = {}
        for record in records:
            if record.architecture in architectures:
                identity = (record.name, record.version, record.architecture, record.sha256 or record.sha512)
                unique_records.setdefault(identity, record)
        return tuple(
            sorted(unique_records.values(), key=lambda record: sort_key(record.version), reverse=True)
        )
