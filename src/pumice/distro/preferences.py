"""Priorities of packages by the archive they come from (apt_preferences(5)).

apt gives all packages of an archive one priority. Pumice limits an archive that the recipe adds to
its purpose: packages that the recipe requests compete by version alone, their dependencies come from
the distribution if it has a version that satisfies them, and packages that every image is based on
come only from the distribution.
"""

from __future__ import annotations

from fnmatch import fnmatchcase

import msgspec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pumice.formats.aptindex import PackageRecord

DEFAULT = 500
"""The priority of an ordinary archive."""
NOT_AUTOMATIC = 1
"""The priority of an archive whose Release file has ``NotAutomatic: yes``."""
AUTOMATIC_UPGRADES = 100
"""The priority if it also has ``ButAutomaticUpgrades: yes``, as backports do."""
LOCAL = 1_000_000
"""The priority of a package file that the recipe requests."""
NEVER = -1_000_000
"""The priority of a package that must not be chosen."""
_LAST_RESORT = -10_000
"""Added to the priority of a dependency from an archive that is meant for requested packages only."""


class SuitePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What one suite of an archive may provide, and with which priority.

    ``extra`` means that the recipe adds it to the suites of the distribution. ``packages`` are patterns
    of the names it may provide (empty: any). ``priority`` is set by the recipe (0: not set),
    ``release_priority`` by its Release file.
    """

    extra: bool = False
    packages: tuple[str, ...] = ()
    priority: int = 0
    release_priority: int = DEFAULT

    def offers(self, name: str) -> bool:
        """Return whether the suite may provide packages called ``name``."""
        return not self.packages or any(fnmatchcase(name, pattern) for pattern in self.packages)

    def has_authority(self) -> bool:
        """Return whether the suite may replace essential packages and those that images are based on."""
        return not self.extra or bool(self.packages) or self.priority >= DEFAULT

    def priority_of(self, record: PackageRecord, *, requested: bool, protected: bool) -> int:
        """Return the priority of a package; at equal priority the highest version is preferred.

        ``requested`` means that the recipe requests it, ``protected`` that the distribution has it and
        every image is based on it.
        """
        if not self.offers(record.name) or (protected and not self.has_authority()):
            return NEVER
        if self.priority or not self.extra:
            return self.priority or self.release_priority
        if self.packages:
            return DEFAULT
        return self.release_priority if requested else self.release_priority + _LAST_RESORT


def archive_name(record: PackageRecord) -> str:
    """Return the archive of a package; all archives of the distribution have the same name."""
    return canonical_archive(record.suite.partition("/")[0])


def canonical_archive(archive: str) -> str:
    """Return the name of an archive; all archives of the distribution have the same name."""
    return "debian" if archive == "debian-security" else archive


def dependency_tier(priority: int) -> int:
    """Return the tier of a dependency's priority: 0 ordinary, 1 if necessary, 2 last resort."""
    if priority >= DEFAULT:
        return 0
    return 1 if priority > 0 else 2


def compute_release_priority(*, not_automatic: bool, automatic_upgrades: bool) -> int:
    """Return the default priority that a Release file sets (apt_preferences(5))."""
    if not not_automatic:
        return DEFAULT
    return AUTOMATIC_UPGRADES if automatic_upgrades else NOT_AUTOMATIC
