"""How much each archive counts: the priorities of apt_preferences(5), and what an archive is for.

apt knows one priority for all packages of an archive. Here an archive that the recipe adds has
authority over what it was added for: packages that the recipe names compete by version alone, but
what those depend on comes from the distribution where that has a version which satisfies them, and
what every image is built on comes from the distribution only.
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
"""Of one whose Release says ``NotAutomatic: yes``."""
AUTOMATIC_UPGRADES = 100
"""Of one that says ``ButAutomaticUpgrades: yes`` as well: backports."""
LOCAL = 1_000_000
"""Of a package file that the recipe names."""
NEVER = -1_000_000
"""Of what must not be taken."""
_LAST_RESORT = -10_000
"""Added to the priority of a dependency from an archive that is for named packages only."""


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What one suite of an archive may be used for.

    ``extra``: the recipe has added it to the distribution's own. ``packages`` are the patterns of
    the names that are taken from it (empty: any), ``priority`` what the recipe says (0: nothing),
    ``released`` what its own Release file asks for.
    """

    extra: bool = False
    packages: tuple[str, ...] = ()
    priority: int = 0
    released: int = DEFAULT

    def offers(self, name: str) -> bool:
        """Return whether a package of that name may be taken from here at all."""
        return not self.packages or any(fnmatchcase(name, pattern) for pattern in self.packages)

    def has_authority(self) -> bool:
        """Return whether this suite may replace essential packages and those the image is based on."""
        return not self.extra or bool(self.packages) or self.priority >= DEFAULT

    def of(self, record: PackageRecord, *, requested: bool, protected: bool) -> int:
        """Return the priority of a package: the highest wins, of equal ones the highest version.

        ``requested``: the recipe names it. ``protected``: the distribution has it, and every image
        is based on it.
        """
        if not self.offers(record.name) or (protected and not self.has_authority()):
            return NEVER
        if self.priority or not self.extra:
            return self.priority or self.released
        if self.packages:
            return DEFAULT
        return self.released if requested else self.released + _LAST_RESORT


def archive_of(record: PackageRecord) -> str:
    """Return the name of the archive that offers a package; the distribution's own are one."""
    return united(record.suite.partition("/")[0])


def united(archive: str) -> str:
    """Return an archive's name, and the same one for all of the distribution's own."""
    return "debian" if archive == "debian-security" else archive


def tier(priority: int) -> int:
    """Return the class of a dependency's priority: 0 ordinary, 1 if need be, 2 as the last resort."""
    if priority >= DEFAULT:
        return 0
    return 1 if priority > 0 else 2


def released(*, not_automatic: bool, automatic_upgrades: bool) -> int:
    """Return the priority that a Release file asks for."""
    if not not_automatic:
        return DEFAULT
    return AUTOMATIC_UPGRADES if automatic_upgrades else NOT_AUTOMATIC
