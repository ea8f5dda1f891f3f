"""Resolving a recipe into pins; what `locking` does when a lock does not fit any more."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from pumice import files
from pumice.distro.preferences import archive_name, canonical_archive
from pumice.errors import FetchError, FormatError, ResolveError, UsageError
from pumice.formats import aptindex, deb, deb822
from pumice.recipe import requirements
from pumice.recipe.lock import FORMAT, Ids, Lock, LockedPackage
from pumice.resolve import Requirements, resolve

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from pumice.assembly.connection import Connection
    from pumice.distro.universe import Universe
    from pumice.formats.aptindex import PackageRecord
    from pumice.progress import Progress
    from pumice.recipe.lock import Role
    from pumice.recipe.model import Recipe, Request

_CONTROL = (
    "Package", "Version", "Architecture", "Source", "Installed-Size", "Multi-Arch", "Essential", "Priority",
    "Section", "Depends", "Pre-Depends", "Recommends", "Conflicts", "Breaks", "Replaces", "Provides",
)  # fmt: skip


def relock(
    recipe: Recipe,
    old: Lock | None,
    connection: Connection,
    *,
    again: Sequence[str],
    kept: Sequence[str],
    progress: Progress,
    upgrade: frozenset[str] | None = None,
) -> Lock:
    """Return a lock for the architectures ``kept``, of which those in ``again`` are resolved.

    The others are taken from ``old``. ``upgrade`` names packages that lose their pins, with all that
    comes from the same source (empty: all, None: none). The lock keeps its format, unless all is
    upgraded: then it gets the newest. Raises ResolveError, FetchError, TrustError
    or UsageError.
    """
    free = _family(old, upgrade)
    before = old.packages if old else {}
    packages = {name: before[name] for name in kept if name in before and name not in again}
    indexes = list(old.indexes) if old and packages else []
    if again:
        today = connection.indexes(again)
        indexes = [*today.locked, *(index for index in indexes if index not in today.locked)]
        for name in again:
            wants = wants_of(recipe, connection.recipe_dir, name, pins=_pins(before, name, free))
            packages[name] = _pinned(_solved(today.universe(name), wants, progress), connection)
    packages = {name: packages[name] for name in sorted(packages)}
    asked = requirements.digest_of(recipe)
    kept_format = old.format if old and upgrade != frozenset() else FORMAT
    if old and (old.packages, old.requirements, old.format) == (packages, asked, kept_format):
        return old
    return Lock(
        requirements=asked,
        packages=packages,
        indexes=tuple(sorted(indexes, key=lambda index: (index.archive, index.suite, index.digest))),
        ids=old.ids if old else Ids(),
        format=kept_format,
    )


def wants_of(
    recipe: Recipe, folder: Path, architecture: str, *, pins: Sequence[LockedPackage] = ()
) -> Requirements:
    """Return what a recipe asks of the resolver; its local packages are in ``folder``.

    ``pins`` are packages of an older lock that are kept where possible.
    Raises FetchError or FormatError for a local package that cannot be read, ResolveError for one
    that does not fit.
    """
    local: dict[str, PackageRecord] = {}
    for request in recipe.packages:
        if request.file and not request.exclude:
            record = local_record(folder, request)
            if record.architecture not in ("all", architecture):
                raise ResolveError(
                    f"{request.file} is a package for {record.architecture}, not for {architecture}",
                    where=request.where or None,
                )
            twin = next((file for file, one in local.items() if one.name == record.name), "")
            if twin and twin != request.file:
                raise ResolveError(
                    f"{twin} and {request.file} are both the package {record.name}",
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


def local_record(folder: Path, request: Request) -> PackageRecord:
    """Return the record of a local package: its control fields, size and digest."""
    path = folder / request.file
    try:
        with files.open_regular(path) as file:
            fields = deb.read_control(file).fields
            size = file.seek(0, 2)
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise FetchError(
            f"the local package {request.file} cannot be read: {reason}", where=request.where or None
        ) from None
    except FormatError as error:
        where = f"{path}: {error.where}" if error.where else str(path)
        raise FormatError(error.message, where=where, hint=error.hint) from None
    known = deb822.lowercase_names(fields)
    stanza = "\n".join(f"{field}: {known[field.lower()]}" for field in _CONTROL if field.lower() in known)
    stanza += f"\nFilename: local.deb\nSize: {size}\nSHA256: {sha256}"
    try:
        record = aptindex.read_stanza(stanza.encode())
    except FormatError as error:
        raise FormatError(error.message, where=str(path), hint=error.hint) from None
    return msgspec.structs.replace(record, filename=request.file)


def _solved(universe: Universe, wants: Requirements, progress: Progress) -> list[tuple[PackageRecord, Role]]:
    """Return the packages and their roles, having said which could not be taken in their newest version."""
    solution = resolve(universe, wants)
    for record, newest in solution.held_back:
        progress.warn(f"{record.name} is held back at {record.version} though there is {newest}")
    for record, others in solution.contested:
        offers = ", ".join(f"{archive_name(one)} ({one.version})" for one in others)
        progress.note(f"{record.name} {record.version} from {archive_name(record)}; also offered by {offers}")
    local = {record.filename for record in wants.local.values()}
    found: list[tuple[PackageRecord, Role]] = [
        (record, "local" if not record.suite and record.filename in local else "package")
        for record in solution.packages
    ]
    found += [(record, "base-data") for record in solution.base_data]
    return sorted(found, key=lambda item: item[0].name)


def _pinned(found: Iterable[tuple[PackageRecord, Role]], connection: Connection) -> tuple[LockedPackage, ...]:
    pins: list[LockedPackage] = []
    for record, role in found:
        archive, _, suite = record.suite.partition("/")
        pin = LockedPackage(
            name=record.name,
            version=record.version,
            architecture=record.architecture,
            archive=archive,
            suite=suite,
            path=record.filename,
            size=record.size,
            sha256=record.sha256,
            sha512=record.sha512,
            source=record.source if record.source != record.name else "",
            source_version=record.source_version if record.source_version != record.version else "",
            role=role,
        )
        if not pin.sha256:  # an archive that lists SHA-512 only: the package itself gives the other
            pin = msgspec.structs.replace(pin, sha256=connection.fetch(pin).removeprefix("sha256:"))
        pins.append(pin)
    return tuple(pins)


def _pins(
    before: Mapping[str, Sequence[LockedPackage]], architecture: str, free: frozenset[str] | None
) -> list[LockedPackage]:
    """Return the packages to keep: of the same architecture, or to go along with another one."""
    if free is None:
        return []
    models = [before[architecture]] if architecture in before else list(before.values())[:1]
    return [
        package
        for model in models
        for package in model
        if package.role != "local" and package.name not in free
    ]


def _family(old: Lock | None, upgrade: frozenset[str] | None) -> frozenset[str] | None:
    """Return the names that lose their pins (None: all of them)."""
    if upgrade is None or old is None:
        return frozenset()
    if not upgrade:
        return None
    everyone = [package for found in old.packages.values() for package in found]
    known = {package.name for package in everyone}
    for name in sorted(upgrade - known):
        from pumice.resolve.missing_packages import find_similar_name

        meant = find_similar_name(name, known)
        hint = f"did you mean {meant!r}?" if meant else "name packages that are in the lock"
        raise UsageError(f"there is no package {name!r} in the lock to upgrade", hint=hint)
    sources = {package.source or package.name for package in everyone if package.name in upgrade}
    return frozenset(package.name for package in everyone if (package.source or package.name) in sources)
