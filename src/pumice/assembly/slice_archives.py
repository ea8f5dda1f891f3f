"""The packages that slices are parts of: chosen from the archives of a release by their priorities."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.assembly.locked_package import lock_package
from pumice.distro.debian import sources
from pumice.distro.debian.sources import KeyringFile, Mirror, Source
from pumice.errors import FetchError
from pumice.recipe.lock import LockedPackage
from pumice.recipe.model import Origin

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pumice.distro.debian.apt_setup import AptSetup
    from pumice.distro.universe import Universe
    from pumice.formats.aptindex import PackageRecord
    from pumice.recipe.config import Config
    from pumice.slices.model import Archive, Release


class ArchiveSources(msgspec.Struct, frozen=True):
    """The sources of a release, and the archive of the release that each source's archive belongs to."""

    sources: tuple[Source, ...]
    archives: dict[str, str]


def find_sources(
    release: Release,
    packages: Iterable[str],
    mirrors: Mapping[str, str],
    config: Config,
    machine: AptSetup | None,
) -> ArchiveSources:
    """Return where the packages of slices come from.

    ``mirrors`` are URLs by archive; the empty name is for every archive without its own. Debian's archive
    needs none if this machine or Pumice's configuration has one. Raises FetchError.
    """
    pinned = {release.packages[name].archive for name in packages}
    release_sources: list[Source] = []
    archives: dict[str, str] = {}
    for archive in release.archives.values():
        url = mirrors.get(archive.name, mirrors.get(""))
        if (archive.priority < 0 and archive.name not in pinned) or (archive.pro and not url):
            continue
        added = _find_archive(archive, url, config, machine)
        archives |= {source.archive: archive.name for source in added}
        release_sources += added
    return ArchiveSources(tuple(release_sources), archives)


def _find_archive(
    archive: Archive, url: str | None, config: Config, machine: AptSetup | None
) -> Sequence[Source]:
    if url:
        keys = tuple(KeyringFile(f"the keys of {archive.name}", key.encode()) for key in archive.keys)
        mirror = Mirror(url.rstrip("/"), keys)
        return [Source(archive.name, suite, archive.components, (mirror,)) for suite in archive.suites]
    if archive.name == sources.DEBIAN:
        origin = Origin(debian=archive.suites[0], suites=archive.suites, components=archive.components)
        return sources.resolve_sources(origin, recipe_dir=Path(), config=config, machine=machine)
    raise FetchError(
        f"no mirror is known for the archive {archive.name}",
        hint=f"pass --mirror {archive.name}=https://mirror.example/{archive.name}",
    )


class AbsentPackagesError(FetchError):
    """The archives of a release do not have the packages ``names`` for an architecture."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(f"the archives of the release do not have {', '.join(sorted(names))}")
        self.names = frozenset(names)


def choose_packages(
    release: Release, names: Sequence[str], universe: Universe, archives: Mapping[str, str]
) -> dict[str, LockedPackage]:
    """Return the package for each name: from its own archive, or that with the highest priority that has it.

    Within an archive the highest version counts. Raises AbsentPackagesError with all that are missing.
    """
    chosen: dict[str, LockedPackage] = {}
    missing: list[str] = []
    for name in names:
        record = _choose(release, name, universe, archives)
        if record is None:
            missing.append(name)
        else:
            chosen[name] = lock_package(record)
    if missing:
        raise AbsentPackagesError(missing)
    return chosen


def _choose(
    release: Release, name: str, universe: Universe, archives: Mapping[str, str]
) -> PackageRecord | None:
    records: dict[str, PackageRecord] = {}
    for record in universe.versions(name):  # the newest comes first
        records.setdefault(archives.get(record.suite.partition("/")[0], ""), record)
    pinned = release.packages[name].archive
    if pinned:
        return records.get(pinned)
    candidates = [archive for archive in release.archives.values() if archive.name in records]
    usable = [archive for archive in candidates if archive.priority >= 0]
    best = max(usable, key=lambda archive: archive.priority, default=None)
    return records[best.name] if best else None
