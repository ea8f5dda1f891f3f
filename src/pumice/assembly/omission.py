"""Leaves out of an image what only package scripts use; the decision is cached by all that it depends on."""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import msgspec

from pumice.assembly.cache import Cache
from pumice.assembly.package_segments import CutPackages
from pumice.assembly.segment_cutter import SegmentRequest, cut_segments
from pumice.distro.universe import LOCALE_DATA
from pumice.errors import ImageError
from pumice.omission.command_chain import find_needs
from pumice.omission.decision import Question, decide
from pumice.omission.model import Decision
from pumice.omission.reasons import describe_use
from pumice.omission.script_uses import find_shell_commands
from pumice.omission.tables import kept_paths
from pumice.omission.uses import FileUses, PackageUses, read_own_file_uses, read_package_uses
from pumice.packing.segments import content_reader
from pumice.packing.selection import Selection, merged_usr_path
from pumice.packing.tree import GeneratedEntry, PackageFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from pumice.assembly.context import BuildContext
    from pumice.assembly.platform_model import PlatformInputs
    from pumice.digest import Digest
    from pumice.omission.model import Use
    from pumice.packing.recipe_entries import RecipeEntry
    from pumice.packing.segments import Segment
    from pumice.recipe.lock import LockedPackage
    from pumice.recipe.model import Recipe
    from pumice.store.blobs import Blobs
    from pumice.store.home import Home

KEEP_ALL = "all"
"""The value of ``keep`` that leaves nothing out by default."""

_ORIGIN = "omission"

_USES = Cache("uses", PackageUses)
_DECISIONS = Cache("omission", Decision)


class LeanPackages(msgspec.Struct, frozen=True):
    """The packages of an image without those that it leaves out.

    ``inputs`` and ``cut`` are reduced. The rest is of the packages that are left out, whose effects still
    count: the facts with their scripts, their files in sysusers.d, and the keys of their segments.
    """

    inputs: PlatformInputs
    cut: CutPackages
    decision: Decision = Decision()
    script_facts: tuple[PackageFacts, ...] = ()
    account_files: tuple[GeneratedEntry, ...] = ()
    omitted_keys: dict[str, Digest] = {}


def omit_packages(
    inputs: PlatformInputs,
    cut: CutPackages,
    recipe_entries: Sequence[RecipeEntry],
    context: BuildContext,
) -> LeanPackages:
    """Return the packages without those that nothing in the image uses; raises ImageError or FormatError."""
    if not inputs.omittable and not inputs.without:
        return LeanPackages(inputs, cut)
    decision = _DECISIONS.get_or_compute(
        context.home, _decision_key(inputs), lambda: _decide(inputs, cut, recipe_entries, context.home)
    )
    return _remove(inputs, cut, decision, context)


def find_cached_decision(inputs: PlatformInputs, home: Home) -> Decision | None:
    """Return the decision for ``inputs`` if a build has made it; None before the first build."""
    return _DECISIONS.get(home, _decision_key(inputs))


def _decision_key(inputs: PlatformInputs) -> Digest:
    """Return the cache key of a decision: all that it depends on is known before anything is read."""
    recipe = inputs.recipe
    packages = [msgspec.structs.replace(package, suite="") for package in inputs.packages]
    return _DECISIONS.key(
        *(inputs.format, inputs.architecture, packages, _make_question(inputs), recipe.include),
        *(inputs.slices, recipe.selected_slices, recipe.environment, recipe.run),
        *([rule.command for rule in recipe.generate], inputs.files.digest),
        [(rule.package, rule.paths) for rule in recipe.exclude],
    )


def _make_question(inputs: PlatformInputs) -> Question:
    recipe = inputs.recipe
    requested = [request.name for request in recipe.packages if not request.exclude and request.name]
    local = [package.name for package in inputs.packages if package.role in ("local", "slice")]
    return Question(
        named=tuple(sorted({*requested, *local, *recipe.keep})),
        omittable=() if keeps_all(recipe) else inputs.omittable,
        without=inputs.without,
        essential=recipe.base == "essential",
        recommends=recipe.recommends,
    )


def keeps_all(recipe: Recipe) -> bool:
    """Whether nothing is left out by default, so that apt finds all dependencies in the image."""
    return KEEP_ALL in recipe.keep or recipe.base == "essential" or recipe.scripts == "sandbox"


def _decide(
    inputs: PlatformInputs, cut: CutPackages, recipe_entries: Sequence[RecipeEntry], home: Home
) -> Decision:
    base_data = {package.name for package in inputs.packages if package.role == "base-data"}
    installed = {name: segment for name, segment in cut.segments.items() if name not in base_data}

    def read_uses(name: str) -> PackageUses:
        return _USES.get_or_compute(
            home, _USES.key(cut.keys[name]), lambda: read_package_uses(installed[name], home.blobs)
        )

    recipe_uses = PackageUses(
        (*_command_uses(inputs.recipe), *_file_uses(recipe_entries, inputs.files.content_digests))
    )
    decision = decide(_make_question(inputs), installed, recipe_uses, read_uses)
    given_up = {package.name for package in decision.omitted if package.by_recipe}
    if given_up:
        for need in find_needs(_command_programs(inputs.recipe), installed, recipe_uses, read_uses):
            if need.package in given_up:
                raise _needed_error(need)
    return decision


def _command_programs(recipe: Recipe) -> list[str]:
    health = recipe.run.health.command if recipe.run.health else ()
    words = (*recipe.run.command[:1], *health[:1])
    return [_normalize(word) for word in words]


def _needed_error(need: Use) -> ImageError:
    return ImageError(
        f"cannot leave out {need.package}: {describe_use(need)}, and the command cannot start without it",
        hint=f"remove {need.package}, or the family with it, from 'without'",
    )


def _command_uses(recipe: Recipe) -> Iterator[FileUses]:
    """Yield what the commands of a recipe and its environment use."""
    health = recipe.run.health.command if recipe.run.health else ()
    for command in (
        (*recipe.run.command, *recipe.run.arguments),
        health,
        *(rule.command for rule in recipe.generate),
    ):
        programs = [command[0]] if command else []
        programs += [word for word in command[1:] if word.startswith("/")]
        if "-c" in command[:-1]:
            programs += find_shell_commands(command[command.index("-c") + 1])
        if programs:
            yield FileUses("", programs=tuple(map(_normalize, programs)))
    values = [value for value in recipe.environment.values() if value.startswith("/") and ":" not in value]
    if values:
        yield FileUses("", programs=tuple(map(_normalize, values)))


def _normalize(program: str) -> str:
    if "/" not in program:
        return program
    return merged_usr_path(posixpath.normpath("/" + program).lstrip("/"))


def _file_uses(entries: Sequence[RecipeEntry], digests: dict[str, str]) -> Iterator[FileUses]:
    """Yield what the recipe's own files use."""
    for recipe_entry in entries:
        if recipe_entry.entry.path not in digests or recipe_entry.entry.kind != "file":
            continue
        try:
            uses = read_own_file_uses(recipe_entry.entry, _part_reader(recipe_entry.content))
        except OSError as error:
            raise ImageError(
                f"cannot read {recipe_entry.content!s}: {error.strerror}", where=recipe_entry.location or None
            ) from None
        if uses is not None:
            yield uses


def _part_reader(content: bytes | Path) -> Callable[[int, int], bytes]:
    if isinstance(content, bytes):
        return lambda offset, size: content[offset : offset + size]

    def read_part(offset: int, size: int) -> bytes:
        with content.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    return read_part


def _remove(
    inputs: PlatformInputs, cut: CutPackages, decision: Decision, context: BuildContext
) -> LeanPackages:
    names = decision.names
    partial = [
        SegmentRequest(
            msgspec.structs.replace(package, role="base-data"),
            Selection(only=paths, includes_dpkg_info=False, format=inputs.format),
        )
        for package in inputs.packages
        if package.name in names and (paths := _list_kept_paths(package.name, cut))
    ]
    kept_files = cut_segments(partial, context)
    packages = [package for package in _drop_locale_data(inputs.packages, names) if package.name not in names]
    packages += [request.package for request in partial]
    kept_names = {package.name for package in packages} - kept_files.keys()
    segments = {name: segment for name, segment in cut.segments.items() if name in kept_names} | kept_files
    keys = {name: key for name, key in cut.keys.items() if name in kept_names}
    keys |= {request.package.name: request.key for request in partial}
    return LeanPackages(
        msgspec.structs.replace(inputs, packages=tuple(sorted(packages, key=lambda package: package.name))),
        msgspec.structs.replace(
            cut,
            segments=segments,
            keys=keys,
            exclusions=cut.exclusions.of_packages(kept_names) if cut.exclusions else None,
        ),
        decision,
        tuple(
            msgspec.structs.replace(cut.segments[name].facts, installed=False)
            for name in sorted(names - kept_files.keys())
        ),
        tuple(
            entry
            for name in sorted(names)
            for entry in _read_account_files(cut.segments[name], context.home.blobs)
        ),
        {f"{name} (omitted)": cut.keys[name] for name in sorted(names)},
    )


def _list_kept_paths(name: str, cut: CutPackages) -> tuple[str, ...]:
    """Return the paths of a package that stay without it, except those that the recipe excludes."""
    excluded = cut.exclusions.patterns if cut.exclusions else {}
    return tuple(path for path in kept_paths(name) if path not in excluded)


def _read_account_files(segment: Segment, blobs: Blobs) -> Iterator[GeneratedEntry]:
    """Yield the files of a package that ask for users and groups (sysusers.d(5))."""
    read_content = content_reader(segment, blobs)
    for item in segment.items:
        entry = item.entry
        if entry.kind == "file" and entry.path.startswith("usr/lib/sysusers.d/"):
            yield GeneratedEntry(entry=entry, content=read_content(entry.path), origin=_ORIGIN)


def _drop_locale_data(packages: Iterable[LockedPackage], names: frozenset[str]) -> Iterator[LockedPackage]:
    """Yield ``packages`` without the locale of a C library that is among the omitted ``names``."""
    unused = {name for library, name in LOCALE_DATA.items() if library in names}
    return (package for package in packages if package.role != "base-data" or package.name not in unused)
