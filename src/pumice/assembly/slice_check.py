"""Checks slices against the packages of a suite, which are fetched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.assembly.slice_archives import AbsentPackagesError
from pumice.assembly.slice_packages import open_packages
from pumice.errors import SliceError, UsageError
from pumice.formats.elf_program import read_program
from pumice.slices import closure, names
from pumice.slices.package_check import check_packages
from pumice.slices.release import sort_problems
from pumice.slices.selection import collect_packages

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.assembly.slice_packages import CutSettings, OpenedPackages
    from pumice.progress import Progress
    from pumice.slices.model import Release, Slice
    from pumice.store.home import Home


def with_suites(release: Release, suites: Sequence[str]) -> Release:
    """Return the release with the packages of ``suites`` in place of those of its archives.

    Raises UsageError for what is not the name of a suite.
    """
    if not suites:
        return release
    for suite in suites:
        if not names.is_archive_path(suite):
            hint = "name one such as bookworm or bookworm-security"
            raise UsageError(f"{suite[:100]!r} is not a suite", hint=hint)
    archives = {
        name: msgspec.structs.replace(archive, suites=tuple(suites))
        for name, archive in release.archives.items()
    }
    return msgspec.structs.replace(release, archives=archives)


def check_against_packages(
    release: Release,
    slices: Sequence[Slice],
    settings: CutSettings,
    home: Home,
    *,
    environ: Mapping[str, str],
    progress: Progress,
    skips_absent: bool = False,
) -> int:
    """Check slices, and return the number of packages; raises SliceError with all problems.

    With ``skips_absent``, packages that the archives do not have for the architecture are skipped with a
    warning, unless others require them.
    """

    def open_required() -> OpenedPackages:
        required = closure.select(release, [item.full_name for item in slices], settings.architecture)
        packages = collect_packages(required)
        return open_packages(release, packages, settings, home, environ=environ, progress=progress)

    try:
        opened = open_required()
    except AbsentPackagesError as error:
        if not skips_absent:
            raise
        slices = [item for item in slices if item.package not in error.names]
        opened = open_required()
        progress.warn(f"{error.message} for {settings.architecture}, so they are not checked")

    def read_needed(package: str, source: str) -> tuple[str, ...]:
        return _list_needed(opened.readers[package](source))

    problems = check_packages(release, slices, opened.files, settings.architecture, read_needed)
    if problems:
        raise SliceError(sort_problems(problems))
    return len(opened.files)


def _list_needed(data: bytes) -> tuple[str, ...]:
    """Return the libraries that a file is linked with."""
    if not data.startswith(b"\x7fELF"):
        return ()
    program = read_program(lambda offset, size: data[offset : offset + size], len(data))
    return program.needed if program else ()
