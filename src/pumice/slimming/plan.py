"""What an image can go without, as packages and patterns of a recipe, with sizes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.omission.graph import make_graph
from pumice.packing.segments import DOC_DIRECTORY, DPKG_INFO_DIRECTORY

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

MAX_PATTERNS = 900
"""Patterns of a plan; a recipe may have 1000."""
_SMALLEST = 2048
"""Bytes that a pattern must save."""
_ESCAPED = "\\*?["


class SlimPattern(msgspec.Struct, frozen=True, kw_only=True):
    """A pattern of ``exclude`` for a package: how many files it leaves out, and their size in bytes."""

    package: str
    pattern: str
    files: int
    size: int


class SlimPackage(msgspec.Struct, frozen=True, kw_only=True):
    """A package that the image can go without, with the size of its files in bytes."""

    package: str
    files: int
    size: int


class SlimPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What an image can go without. Sizes are bytes of files, not compressed.

    ``packages`` go as a whole, ``patterns`` are parts of those that stay. ``reached_size`` is the size of
    what stays for a reason, ``small_files`` and ``small_size`` that of unreached files which stay because a
    pattern for them is not worth it.
    """

    size: int
    reached_size: int
    packages: tuple[SlimPackage, ...]
    patterns: tuple[SlimPattern, ...]
    small_files: int = 0
    small_size: int = 0

    @property
    def saved_size(self) -> int:
        """The size of all that the plan leaves out."""
        return sum(item.size for item in self.packages) + sum(item.size for item in self.patterns)


class PackageFile(msgspec.Struct, frozen=True):
    """A file or link of a package in an image; ``size`` is 0 for further names of a file."""

    path: str
    package: str
    size: int


def plan_exclusions(
    files: Iterable[PackageFile],
    kept: Collection[str],
    removable: Collection[str],
    *,
    total: int,
) -> SlimPlan:
    """Return the plan for an image whose ``kept`` paths stay.

    ``removable`` are packages that can go as a whole. ``total`` is the size of the image in bytes.
    """
    by_package: dict[str, list[PackageFile]] = {}
    for file in files:
        by_package.setdefault(file.package, []).append(file)
    packages: list[SlimPackage] = []
    patterns: list[SlimPattern] = []
    small: list[SlimPattern] = []
    for name, package_files in sorted(by_package.items()):
        if name in removable:
            size = sum(file.size for file in package_files)
            packages.append(SlimPackage(package=name, files=len(package_files), size=size))
            continue
        removed = [file for file in package_files if file.path not in kept and is_excludable(file.path)]
        staying = {file.path for file in package_files} - {file.path for file in removed}
        for pattern in _make_patterns(name, removed, staying):
            (patterns if pattern.size >= _SMALLEST else small).append(pattern)
    patterns.sort(key=lambda item: (-item.size, item.package, item.pattern))
    small += patterns[MAX_PATTERNS:]
    del patterns[MAX_PATTERNS:]
    saved = sum(item.size for item in packages) + sum(item.size for item in (*patterns, *small))
    return SlimPlan(
        size=total,
        reached_size=total - saved,
        packages=tuple(sorted(packages, key=lambda item: (-item.size, item.package))),
        patterns=tuple(patterns),
        small_files=sum(item.files for item in small),
        small_size=sum(item.size for item in small),
    )


def find_removable(
    fields: Mapping[str, Mapping[str, str]],
    named: Collection[str],
    reached: Collection[str],
    *,
    recommends: bool,
) -> frozenset[str]:
    """Return the packages that an image can go without as a whole: nothing of them is reached.

    ``fields`` are the control fields of its packages. A package that brings a reached one stays, although
    nothing of it is reached: without it, the recipe would not have the other one either.
    """
    graph = make_graph(fields, (), recommends=recommends)
    removable = set(fields) - set(named) - set(reached)
    while True:
        present = _follow(graph.strong, named, removable)
        missing = (set(reached) & set(fields)) - present
        bringing = sorted(
            name
            for package in present
            for name in graph.strong[package]
            if name in removable and missing & _follow(graph.strong, [name], ())
        )
        if not bringing:
            return frozenset(removable)
        removable.discard(bringing[0])


def _follow(
    successors: Mapping[str, tuple[str, ...]], start: Iterable[str], without: Collection[str]
) -> set[str]:
    reachable: set[str] = set()
    pending = [name for name in start if name in successors and name not in without]
    while pending:
        name = pending.pop()
        if name not in reachable:
            reachable.add(name)
            pending += [other for other in successors[name] if other not in without]
    return reachable


def is_excludable(path: str) -> bool:
    """Whether ``exclude`` can leave a path out: not dpkg's files, and no copyright."""
    if path.startswith(f"{DPKG_INFO_DIRECTORY}/"):
        return False
    name = path.removeprefix(f"{DOC_DIRECTORY}/")
    return name == path or ("/" in name and not name.rpartition("/")[2].startswith("copyright"))


def _make_patterns(
    package: str, removed: Iterable[PackageFile], staying: Iterable[str]
) -> Iterator[SlimPattern]:
    """Yield a pattern for each directory of which nothing stays, and for each other file."""
    kept_directories = {""} | {parent for path in staying for parent in _parents(path)}
    groups: dict[str, list[PackageFile]] = {}
    for file in removed:
        groups.setdefault(_find_group(file.path, kept_directories), []).append(file)
    for group, files in sorted(groups.items()):
        yield SlimPattern(
            package=package, pattern=group, files=len(files), size=sum(file.size for file in files)
        )


def _find_group(path: str, kept_directories: Collection[str]) -> str:
    """Return the pattern for a path: that of the highest directory above it of which nothing stays."""
    parts = path.split("/")
    for number in range(1, len(parts)):
        directory = "/".join(parts[:number])
        if directory not in kept_directories:
            return f"/{escape_pattern(directory)}/"
    return f"/{escape_pattern(path)}"


def escape_pattern(path: str) -> str:
    """Return the pattern in the syntax of ``.gitignore`` that matches exactly ``path``."""
    text = "".join(f"\\{character}" if character in _ESCAPED else character for character in path)
    return f"{text[:-1]}\\ " if text.endswith(" ") else text


def _parents(path: str) -> Iterator[str]:
    while path := path.rpartition("/")[0]:
        yield path
