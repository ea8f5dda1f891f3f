"""Resolves a recipe to exact packages, when `locking` finds that a lock is missing or stale."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from pumice import files
from pumice.assembly.lock_omission import add_omission
from pumice.assembly.locked_package import lock_package
from pumice.assembly.recipe_slices import find_records, load_recipe_release, select_slices
from pumice.distro.preferences import archive_name, canonical_archive
from pumice.errors import FetchError, FormatError, ResolveError, UsageError
from pumice.formats import aptindex, deb, deb822
from pumice.recipe import requirements
from pumice.recipe.lock import FORMAT, Ids, Lock, LockedPackage
from pumice.resolve import Requirements, resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pumice.assembly.connection import ArchiveConnection
    from pumice.distro.universe import Universe
    from pumice.formats.aptindex import PackageRecord
    from pumice.progress import Progress
    from pumice.recipe.lock import LockedIndex, Role
    from pumice.recipe.model import Recipe, Request
    from pumice.slices.model import Release

_CONTROL_FIELDS = (
    "Package", "Version", "Architecture", "Source", "Installed-Size", "Multi-Arch", "Essential", "Priority",
    "Section", "Depends", "Pre-Depends", "Recommends", "Conflicts", "Breaks", "Replaces", "Provides",
)  # fmt: skip


def update_lock(
    recipe: Recipe,
    old_lock: Lock | None,
    connection: ArchiveConnection,
    *,
    resolve_architectures: Sequence[str],
    architectures: Sequence[str],
    progress: Progress,
    upgrade: frozenset[str] | None = None,
) -> Lock:
    """Return a lock for ``architectures``, of which ``resolve_architectures`` are resolved again.

    The others are copied from ``old_lock``. ``upgrade`` names packages that lose their pins, together
    with all packages of the same source (empty: all packages, None: none). A lock gets the newest format
    only if everything is upgraded. Raises ResolveError, FetchError, TrustError or UsageError.
    """
    packages, indexes = _copy_packages(old_lock, set(architectures).difference(resolve_architectures))
    unpinned = _names_without_pin(old_lock, upgrade)
    release = load_recipe_release(recipe) if recipe.selected_slices else None
    if resolve_architectures:
        current_indexes = connection.load_indexes(resolve_architectures)
        indexes = tuple(dict.fromkeys((*current_indexes.locked, *indexes)))
        for architecture in resolve_architectures:
            pins = _packages_to_keep(old_lock, architecture, unpinned)
            universe = current_indexes.universe(architecture)
            needs = collect_requirements(recipe, connection.recipe_directory, architecture, pins=pins)
            resolved = _resolve(universe, needs, progress)
            resolved = _add_slices(resolved, recipe, release, architecture, universe, pins)
            packages[architecture] = _lock_packages(resolved, connection)
    lock = Lock(
        requirements=requirements.requirements_digest(recipe),
        packages=dict(sorted(packages.items())),
        indexes=tuple(sorted(indexes, key=lambda index: (index.archive, index.suite, index.digest))),
        slices=release.digest if release else "",
        ids=old_lock.ids if old_lock else Ids(),
        args=recipe.args,
        format=old_lock.format if old_lock and upgrade != frozenset() else FORMAT,
    )
    lock = add_omission(lock, recipe, resolve_architectures, old_lock, progress)
    return old_lock if old_lock and _has_same_packages(lock, old_lock) else lock


def _copy_packages(
    old_lock: Lock | None, architectures: Iterable[str]
) -> tuple[dict[str, tuple[LockedPackage, ...]], tuple[LockedIndex, ...]]:
    """Return the packages of ``architectures`` that a lock has, and the indexes that they come from."""
    if old_lock is None:
        return {}, ()
    packages = {name: old_lock.packages[name] for name in architectures if name in old_lock.packages}
    return packages, old_lock.indexes if packages else ()


def _add_slices(
    resolved: Sequence[tuple[PackageRecord, Role]],
    recipe: Recipe,
    release: Release | None,
    architecture: str,
    universe: Universe,
    pins: Sequence[LockedPackage],
) -> list[tuple[PackageRecord, Role]]:
    """Return the resolved packages, and those of which the image has only slices, by name."""
    if release is None:
        return [*resolved]
    whole = {record.name for record, _ in resolved}
    slices = select_slices(recipe, release, architecture)
    records = find_records(release, slices, universe, whole, {pin.name: pin for pin in pins})
    sliced: list[tuple[PackageRecord, Role]] = [(record, "slice") for record in records]
    return sorted([*resolved, *sliced], key=lambda item: item[0].name)


def _has_same_packages(lock: Lock, old_lock: Lock) -> bool:
    """Return whether two locks differ at most in the indexes that they were resolved with."""
    return all(
        getattr(lock, field) == getattr(old_lock, field)
        for field in ("packages", "requirements", "args", "format", "omittable", "without", "slices")
    )


def collect_requirements(
    recipe: Recipe, directory: Path, architecture: str, *, pins: Sequence[LockedPackage] = ()
) -> Requirements:
    """Return the requests of a recipe for the resolver; its local packages are relative to ``directory``.

    ``pins`` are packages of an older lock that are kept where possible. Raises FetchError or
    FormatError for a local package that cannot be read, ResolveError for one of another architecture
    and for two of the same name.
    """
    local: dict[str, PackageRecord] = {}
    for request in recipe.packages:
        if request.file and not request.exclude:
            record = read_local_record(directory, request)
            if record.architecture not in ("all", architecture):
                raise ResolveError(
                    f"{request.file} is a package for {record.architecture}, not for {architecture}",
                    where=request.where or None,
                )
            duplicate = next(
                (file for file, other_record in local.items() if other_record.name == record.name), ""
            )
            if duplicate and duplicate != request.file:
                raise ResolveError(
                    f"{duplicate} and {request.file} are both the package {record.name}",
                    where=request.where or None,
                )
            local[request.file] = record
    return Requirements(
        requests=recipe.packages,
        base=recipe.base,
        recommends=recipe.recommends,
        pins={package.name: package.version for package in pins},
        pin_archives={package.name: canonical_archive(package.archive) for package in pins},
        local=local,
    )


def read_local_record(directory: Path, request: Request) -> PackageRecord:
    """Return the record of a local package: its control fields, size and digest."""
    path = directory / request.file
    try:
        with files.open_regular(path) as file:
            fields = deb.read_control(file).fields
            size = file.seek(0, 2)
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise FetchError(
            f"cannot read the local package {request.file}: {reason}", where=request.where or None
        ) from None
    except FormatError as error:
        location = f"{path}: {error.where}" if error.where else str(path)
        raise FormatError(error.message, where=location, hint=error.hint) from None
    fields_by_name = deb822.lowercase_names(fields)
    stanza = "\n".join(
        f"{field}: {fields_by_name[field.lower()]}"
        for field in _CONTROL_FIELDS
        if field.lower() in fields_by_name
    )
    stanza += f"\nFilename: local.deb\nSize: {size}\nSHA256: {sha256}"
    try:
        record = aptindex.read_stanza(stanza.encode())
    except FormatError as error:
        raise FormatError(error.message, where=str(path), hint=error.hint) from None
    return msgspec.structs.replace(record, filename=request.file)


def _resolve(universe: Universe, needs: Requirements, progress: Progress) -> list[tuple[PackageRecord, Role]]:
    """Return the packages and their roles, by name; report those that are not of the newest version."""
    solution = resolve(universe, needs)
    for record, newest in solution.held_back:
        progress.warn(f"{record.name} is held back at {record.version}; the newest version is {newest}")
    for record, alternatives in solution.contested:
        offers = ", ".join(
            f"{archive_name(alternative)} ({alternative.version})" for alternative in alternatives
        )
        progress.note(f"{record.name} {record.version} from {archive_name(record)}; also offered by {offers}")
    local = {record.filename for record in needs.local.values()}
    packages: list[tuple[PackageRecord, Role]] = [
        (record, "local" if not record.suite and record.filename in local else "package")
        for record in solution.packages
    ]
    packages += [(record, "base-data") for record in solution.base_data]
    return sorted(packages, key=lambda item: item[0].name)


def _lock_packages(
    resolved: Iterable[tuple[PackageRecord, Role]], connection: ArchiveConnection
) -> tuple[LockedPackage, ...]:
    packages: list[LockedPackage] = []
    for record, role in resolved:
        package = lock_package(record, role)
        if not package.sha256:  # the archive lists only SHA-512: compute it from the package
            package = msgspec.structs.replace(
                package, sha256=connection.fetch_package(package).removeprefix("sha256:")
            )
        packages.append(package)
    return tuple(packages)


def _packages_to_keep(
    old_lock: Lock | None, architecture: str, unpinned: frozenset[str] | None
) -> list[LockedPackage]:
    """Return the packages to keep: of the same architecture, or for a new one those of another."""
    if unpinned is None or old_lock is None:
        return []
    first = next(iter(old_lock.packages.values()), ())
    packages = old_lock.packages.get(architecture, first)
    return [package for package in packages if package.role != "local" and package.name not in unpinned]


def _names_without_pin(old_lock: Lock | None, upgrade: frozenset[str] | None) -> frozenset[str] | None:
    """Return the names of the packages that lose their pins (None: all of them)."""
    if upgrade is None or old_lock is None:
        return frozenset()
    if not upgrade:
        return None
    locked_packages = [package for packages in old_lock.packages.values() for package in packages]
    locked_names = {package.name for package in locked_packages}
    for name in sorted(upgrade - locked_names):
        from pumice.resolve.missing_packages import find_similar_name

        suggestion = find_similar_name(name, locked_names)
        hint = f"did you mean {suggestion!r}?" if suggestion else "name packages that are in the lock"
        raise UsageError(f"cannot upgrade {name!r}: the lock has no such package", hint=hint)
    sources = {package.source or package.name for package in locked_packages if package.name in upgrade}
    return frozenset(
        package.name for package in locked_packages if (package.source or package.name) in sources
    )
