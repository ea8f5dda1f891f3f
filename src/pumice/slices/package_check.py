"""Checks slices against the packages that they are parts of.

It finds paths that no package has, libraries that programs of a slice need and nothing that the slice
requires has, links that lead nowhere, and directories whose modes differ between packages.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import Problem
from pumice.packing import path_patterns as patterns
from pumice.slices.closure import select
from pumice.slices.tree import parents_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pumice.slices.model import PathRule, Release, Slice
    from pumice.slices.tree import PackageEntry, PackageFiles

    ReadNeeded = Callable[[str, str], tuple[str, ...]]

_MAX_LINKS = 40
_LATER = (
    *("/run/", "/proc/", "/dev/", "/sys/", "/var/run/"),
    *("/etc/alternatives/", "/etc/localtime", "/etc/ssl/certs/"),
)
"""What exists only when a container starts, or is set by alternatives and by the administrator.

The trusted certificates are the choice of the recipe: OpenSSL and Java are useful without any.
"""


class _SliceFiles(msgspec.Struct, frozen=True):
    """What a slice lists: the entries of its package by their path in the tree, and what it makes itself."""

    entries: dict[str, tuple[PackageEntry, PathRule]]
    made: dict[str, PathRule]
    missing: tuple[PathRule, ...]


def check_packages(
    release: Release,
    slices: Iterable[Slice],
    packages: Mapping[str, PackageFiles],
    architecture: str,
    read_needed: ReadNeeded,
) -> list[Problem]:
    """Return the problems of ``slices`` with these packages, each with its place in a definition.

    ``packages`` have those of all slices that ``slices`` require, too. ``read_needed(package, source)``
    returns the libraries that an ELF file is linked with, and nothing for any other file.
    """
    checker = _Checker(release, packages, architecture, read_needed)
    problems = [problem for item in slices for problem in checker.check(item)]
    return [*problems, *_find_mode_clashes(release, list(slices), packages, checker)]


class _Checker:
    def __init__(
        self,
        release: Release,
        packages: Mapping[str, PackageFiles],
        architecture: str,
        read_needed: ReadNeeded,
    ) -> None:
        self._release = release
        self._packages = packages
        self._architecture = architecture
        self._read_needed = read_needed
        self._files: dict[str, _SliceFiles] = {}
        self._needed: dict[tuple[str, str], tuple[str, ...]] = {}

    def check(self, item: Slice) -> Iterator[Problem]:
        """Yield the problems of a slice."""
        own = self.files(item)
        for rule in own.missing:
            package = self._packages[item.package]
            message = f"{item.full_name}: {package.name}={package.version} has no {rule.source}"
            yield Problem(message, where=self._where(rule, item))
        paths: dict[str, str] = {}
        for other in select(self._release, [item.full_name], self._architecture):
            files = self.files(other)
            paths |= {path.rstrip("/"): _link_target(entry) for path, (entry, _) in files.entries.items()}
            paths |= {
                path.rstrip("/"): rule.info if rule.kind == "symlink" else ""
                for path, rule in files.made.items()
            }
        directories = {parent.rstrip("/") for path in paths for parent in parents_of(path)}
        libraries = {posixpath.basename(path) for path in paths if ".so" in path}
        for path, (entry, rule) in own.entries.items():
            if entry.entry.kind == "symlink" and not _leads_somewhere(path, paths, directories):
                message = f"{item.full_name}: the link {path} leads to {entry.entry.link}, which no slice has"
                yield Problem(message, where=self._where(rule, item), hint="list its target, or require it")
            for library in self._list_needed(item.package, entry):
                if posixpath.basename(library) not in libraries:
                    message = f"{item.full_name}: {path} needs {library}, which no slice that it requires has"
                    yield Problem(message, where=self._where(rule, item), hint=self._suggest(library))

    def files(self, item: Slice) -> _SliceFiles:
        """Return what a slice lists for the architecture, matched with its package once."""
        if item.full_name not in self._files:
            self._files[item.full_name] = self._match(item)
        return self._files[item.full_name]

    def _match(self, item: Slice) -> _SliceFiles:
        rules = [rule for rule in item.contents if rule.applies_to(self._architecture)]
        generated = {rule.path: rule for rule in rules if not rule.is_extracted}
        literal = {rule.source: rule for rule in rules if rule.kind == "copy"}
        globs = [rule for rule in rules if rule.kind == "glob"]
        entries: dict[str, tuple[PackageEntry, PathRule]] = {}
        unmatched = {rule.path: rule for rule in rules if rule.is_extracted}
        for entry in self._packages[item.package].entries:
            rule = literal.get(entry.path)
            if rule is not None:
                entries[rule.path] = entry, rule
                unmatched.pop(rule.path, None)
            for glob in globs:
                if patterns.matches(glob.path, entry.path):
                    entries.setdefault(entry.path, (entry, glob))
                    unmatched.pop(glob.path, None)
        return _SliceFiles(entries, generated, tuple(unmatched.values()))

    def _list_needed(self, package: str, entry: PackageEntry) -> tuple[str, ...]:
        if entry.entry.kind != "file":
            return ()
        key = package, entry.source
        if key not in self._needed:
            self._needed[key] = self._read_needed(package, entry.source)
        return self._needed[key]

    def _suggest(self, library: str) -> str | None:
        """Return the slices that have a library, among those that were looked at."""
        name = posixpath.basename(library)
        owners = sorted(
            slice_name
            for slice_name, files in self._files.items()
            if any(posixpath.basename(path) == name for path in files.entries)
        )
        return f"require {owners[0]}" if owners else None

    def _where(self, rule: PathRule, item: Slice) -> str:
        return self._release.location(rule, item.package)


def _link_target(entry: PackageEntry) -> str:
    return entry.entry.link if entry.entry.kind == "symlink" else ""


def _leads_somewhere(path: str, paths: Mapping[str, str], directories: set[str]) -> bool:
    """Whether a link leads to something in a tree, without following links of its directories."""
    for _ in range(_MAX_LINKS):
        target = paths.get(path)
        if not target:
            return path in paths or path in directories or path.startswith(_LATER)
        path = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return False


def _find_mode_clashes(
    release: Release, slices: list[Slice], packages: Mapping[str, PackageFiles], checker: _Checker
) -> Iterator[Problem]:
    """Yield the directories that no slice lists, and that packages have with different modes."""
    listed: set[str] = set()
    parents: dict[str, dict[str, tuple[PathRule, Slice]]] = {}
    for item in slices:
        files = checker.files(item)
        listed.update(path for path in (*files.entries, *files.made) if path.endswith("/"))
        for path, (_, rule) in files.entries.items():
            for parent in parents_of(path):
                parents.setdefault(parent, {}).setdefault(item.package, (rule, item))
    modes = {
        (package.name, entry.path): entry.entry.mode
        for package in packages.values()
        for entry in package.entries
        if entry.entry.kind == "dir"
    }
    for path in sorted(parents.keys() - listed):
        by_mode: dict[int, str] = {}
        for package in sorted(parents[path]):
            mode = modes.get((package, path))
            if mode is not None:
                by_mode.setdefault(mode, package)
        if len(by_mode) > 1:
            (first_mode, first), (mode, package) = list(by_mode.items())[:2]
            rule, item = parents[path][package]
            message = f"{path} has mode {mode:04o} in {package} and {first_mode:04o} in {first}"
            hint = "list the directory in a slice that both require"
            yield Problem(message, where=release.location(rule, item.package), hint=hint)
