"""The ``Packages`` index of a Debian-style archive (deb-control(5), Debian repository format).

A suite has 63,000 stanzas of which a build looks at a few hundred: the index is searched, not parsed.
"""

from __future__ import annotations

import msgspec


class PackageRecord(msgspec.Struct, frozen=True):
    """One stanza: a package that an archive offers.

    Relationship fields keep the archive's own text; ``installed_size`` is KiB, ``size`` bytes of the
    ``.deb``, ``filename`` a path relative to the mirror. ``suite`` names the index it came from as
    ``ARCHIVE/SUITE`` (filled in by the reader).
    """

    name: str
    version: str
    architecture: str
    source: str
    source_version: str
    filename: str
    size: int
    sha256: str
    sha512: str = ""
    installed_size: int = 0
    multi_arch: str = "no"
    essential: bool = False
    priority: str = "optional"
    section: str = ""
    depends: str = ""
    pre_depends: str = ""
    recommends: str = ""
    conflicts: str = ""
    breaks: str = ""
    replaces: str = ""
    provides: str = ""
    suite: str = ""
