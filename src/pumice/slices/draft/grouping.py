"""Puts the files of a package into slices, and lists what is left out with its reason."""

from __future__ import annotations

import posixpath
from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from pumice.slices.draft.path_rules import DEFAULT_SLICE, find_rule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pumice.slices.draft.evidence import DraftFile, PackageEvidence

COPYRIGHT, BINS, LIBS, MODULES, CONFIG, DATA = "copyright", "bins", "libs", "modules", "config", DEFAULT_SLICE
ALL = "all"
"""The slice of a package without files that stands for its dependencies."""
SCRIPTS = "-scripts"
"""The end of the name of a slice with scripts of one language, beside compiled programs."""
_ORDER = (ALL, BINS, SCRIPTS, "services", MODULES, LIBS, "gconv", "locale", DATA, CONFIG, COPYRIGHT)
_LANGUAGES = {"sh": "shell", "bash": "shell", "dash": "shell", "python": "python", "perl": "perl"}
_NO_SCRIPT = "none"
_STATE_DIRECTORIES = ("/etc/", "/var/")


class LeftOut(msgspec.Struct, frozen=True):
    """A path that no slice has, and why."""

    path: str
    reason: str


class Groups(msgspec.Struct, frozen=True):
    """The files of a package by slice, and what is left out. ``directories`` are empty ones, by slice."""

    slices: dict[str, tuple[DraftFile, ...]]
    directories: dict[str, tuple[str, ...]]
    left_out: tuple[LeftOut, ...]


def rank(slice_name: str) -> int:
    """Return the place of a slice among those of a package: it may require those with a higher number."""
    return _ORDER.index(SCRIPTS if slice_name.endswith(SCRIPTS) else slice_name)


def group_files(package: PackageEvidence, is_shared: Callable[[str], bool]) -> Groups:
    """Return the slices of a package with their files; ``is_shared`` says so of an empty directory."""
    names: dict[str, str] = {}
    left_out: list[LeftOut] = []
    for file in package.files:
        name, reason = _choose_slice(package.name, file)
        if name:
            names[file.merged] = name
        else:
            left_out.append(LeftOut(file.path, reason))
    files = {file.merged: file for file in package.files if file.merged in names}
    _move_own_libraries(files, names)
    _split_programs(files, names)
    left_out += _follow_links(package, files, names)
    slices: dict[str, list[DraftFile]] = {}
    for path, file in files.items():
        if path in names:
            slices.setdefault(names[path], []).append(file)
    directories = _empty_directories(package, is_shared)
    left_out.sort(key=lambda item: item.path)
    return Groups({name: tuple(slices[name]) for name in sorted(slices)}, directories, tuple(left_out))


def _choose_slice(package: str, file: DraftFile) -> tuple[str, str]:
    """Return the slice of a file by its path and kind, or an empty name and the reason to leave it out."""
    documentation = f"usr/share/doc/{package}"
    if file.merged in (documentation, f"{documentation}/copyright"):
        return COPYRIGHT, ""
    rule = find_rule(file.merged)
    if rule.slice == DATA and file.kind == "file":
        is_library = ".so" in posixpath.basename(file.merged)
        if file.is_elf:
            return (MODULES if is_library or not file.interpreter else BINS), ""
        if file.merged.startswith("usr/libexec/") and file.is_executable:
            return BINS, ""
    return rule.slice, rule.reason


def _move_own_libraries(files: dict[str, DraftFile], names: dict[str, str]) -> None:
    """Make libraries of private directories part of ``libs`` if other files of the package need them."""
    needed = {soname for path, file in files.items() if names[path] != MODULES for soname in file.libraries}
    while needed:
        moved = [
            path
            for path, name in names.items()
            if name in (MODULES, DATA) and posixpath.basename(path) in needed
        ]
        names.update(dict.fromkeys(moved, LIBS))
        targets = [files[path].link for path in moved if files[path].link in names]
        names.update({path: LIBS for path in targets if names[path] in (MODULES, DATA)})
        needed = {soname for path in (*moved, *targets) for soname in files[path].libraries}


def _split_programs(files: dict[str, DraftFile], names: dict[str, str]) -> None:
    """Give scripts beside compiled programs slices of their own, so that these need no interpreter.

    Without compiled programs, those in the most common language are the programs of the package.
    """
    languages = {
        path: "" if file.is_elf else _language(file)
        for path, file in files.items()
        if names[path] == BINS and file.kind == "file"
    }
    counts = Counter(language for language in languages.values() if language != _NO_SCRIPT)
    main = "" if counts[""] or not counts else min(counts, key=lambda language: (-counts[language], language))
    for path, language in languages.items():
        if language not in (main, _NO_SCRIPT):
            names[path] = language + SCRIPTS


def _language(file: DraftFile) -> str:
    """Return the language of a script, `_NO_SCRIPT` for a file that is none."""
    name = posixpath.basename(file.interpreter) or ("sh" if file.programs else "")
    if not name:
        return _NO_SCRIPT
    base = name.rstrip("0123456789.")
    return _LANGUAGES.get(base, base if base.isalpha() and base.isascii() and base.islower() else "other")


def _follow_links(
    package: PackageEvidence, files: dict[str, DraftFile], names: dict[str, str]
) -> Iterable[LeftOut]:
    """Put links where their targets are, and yield those whose targets are left out."""
    own = {file.merged for file in package.files}
    for path in sorted(files):
        file = files[path]
        if not file.link or names[path] == COPYRIGHT:
            continue
        target = _end_of_link(file, files)
        if target in names:
            if rank(names[target]) < rank(names[path]) or names[path] in (BINS, MODULES):
                names[path] = names[target] if names[target] != COPYRIGHT else names[path]
        elif target in own or target.startswith("usr/share/doc/"):
            del names[path]
            yield LeftOut(file.path, f"link to /{target}, which is left out")


def _end_of_link(file: DraftFile, files: dict[str, DraftFile]) -> str:
    """Return the target of a chain of links within a package."""
    visited = {file.merged}
    while file.link in files and file.link not in visited:
        visited.add(file.link)
        file = files[file.link]
        if not file.link:
            return file.merged
    return file.link


def _empty_directories(
    package: PackageEvidence, is_shared: Callable[[str], bool]
) -> dict[str, tuple[str, ...]]:
    """Return the directories for configuration and state that a package ships without files."""
    parents = {parent for file in package.files for parent in _parents(file.path)}
    parents |= {parent for path in package.directories for parent in _parents(path.rstrip("/"))}
    empty = [
        path
        for path in package.directories
        if path not in parents
        and path.startswith(_STATE_DIRECTORIES)
        and find_rule(path.strip("/") + "/x").slice
        and not is_shared(path)
    ]
    slices: dict[str, list[str]] = {}
    for path in empty:
        slices.setdefault(CONFIG if path.startswith("/etc/") else DATA, []).append(path)
    return {name: tuple(paths) for name, paths in slices.items()}


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:end]) + "/" for end in range(2, len(parts))]
