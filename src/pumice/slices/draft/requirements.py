"""Finds the slices that slices require, by what their files use, and breaks cycles at the weakest use."""

from __future__ import annotations

import functools
import posixpath
import re
from fnmatch import fnmatchcase
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pumice.omission.tables import is_unused_path, reasons
from pumice.slices.draft.grouping import ALL, BINS, CONFIG, COPYRIGHT, DATA, LIBS, MODULES, SCRIPTS, rank

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from pumice.omission.graph import Graph
    from pumice.omission.providers import Providers
    from pumice.slices.draft.evidence import DraftFile, PackageEvidence
    from pumice.slices.draft.grouping import Groups
    from pumice.slices.draft.slice_index import SliceIndex

INTERPRETER, DEPENDENCY, PATH, MODULE, FIRM = range(5)
"""How sure a use is: the dependency of a library on programs, another dependency that no file shows, a path
in a text, a module, or what the loader needs."""

_ENV = "usr/bin/env"
_PACKAGE_TOOLS = reasons().keys() - {"tar"}
"""Essential packages whose programs count only for packages that depend on them."""
_DOCUMENTATION = re.compile(r"usr/share/doc/([^/]+)")
_PROGRAMS = (BINS, SCRIPTS)
_OWN_PARTS = (LIBS, MODULES, DATA, CONFIG)
_MODULE_PACKAGES = {"perl": "lib*-perl", "python": "python3-*", "ruby": "ruby-*"}


class Requirement(msgspec.Struct, frozen=True):
    """A slice that a slice requires: how sure that is, the file that uses it, and what it uses."""

    name: str
    strength: int
    file: str = ""
    thing: str = ""


class _Use(NamedTuple):
    """A use of a file of ``package``, and the name that it is used by."""

    strength: int
    package: str
    path: str
    thing: str


class UseFinder:
    """Finds what files use in the packages of a closure.

    ``graph`` are the dependencies of the packages, ``essential`` the names of the essential ones, whose
    programs scripts may run without a dependency.
    """

    def __init__(
        self, providers: Providers, graph: Graph, essential: frozenset[str], index: SliceIndex
    ) -> None:
        self._providers = providers
        self._graph = graph
        self._essential = essential
        self._index = index
        self._closures: dict[tuple[str, bool], set[str]] = {}

    def find_required(
        self, package: PackageEvidence, groups: Groups
    ) -> tuple[dict[str, list[Requirement]], list[str]]:
        """Return what each slice of a package requires, and notes about what no slice has."""
        required: dict[str, dict[str, Requirement]] = {name: {} for name in groups.slices}
        notes: set[str] = set()
        used: set[str] = set()
        for name, files in groups.slices.items():
            for file in files:
                notes.update(self._missing_libraries(package.name, file))
                for use in self._uses(package.name, file, name):
                    used.add(use.package)
                    full_name = self._index.find(use.package, use.path)
                    if not full_name and use.strength == FIRM:
                        notes.add(f"{file.path} uses {use.thing}, which no slice of {use.package} has")
                    elif full_name and _may_require(package.name, name, full_name, use.strength):
                        _add(required[name], Requirement(full_name, use.strength, file.path, use.thing))
            for part in _own_parts(name, groups):
                _add(required[name], Requirement(f"{package.name}_{part}", FIRM))
        for top, requirement in self._unseen_dependencies(package.name, groups, used):
            _add(required.setdefault(top, {}), requirement)
        return {
            name: sorted(requirements.values(), key=_by_name) for name, requirements in required.items()
        }, sorted(notes)

    def _missing_libraries(self, package: str, file: DraftFile) -> Iterator[str]:
        """Yield a note for each library that no package of the closure has."""
        for soname in file.libraries:
            if self._index.find_library(package, soname, ()) is None:
                yield f"{file.path} is linked with {soname}, which no dependency has"

    def _unseen_dependencies(
        self, package: str, groups: Groups, used: Collection[str]
    ) -> Iterator[tuple[str, Requirement]]:
        """Yield what a package requires although no file shows it, with the slice that requires it."""
        for other in self._graph.strong.get(package, ()):
            if other in used or find_unused(package, other):
                continue
            for main in self._index.find_main(other):
                top = _top_slice(groups, other)
                is_program = main.endswith(f"_{BINS}") and top in (LIBS, MODULES)
                strength = INTERPRETER if is_program else DEPENDENCY
                yield top, Requirement(main, strength, thing=other)

    def _uses(self, package: str, file: DraftFile, slice_name: str) -> Iterator[_Use]:
        """Yield what a file of a slice uses.

        Scripts that nobody starts by their name, such as those among data, use nothing.
        """
        index = self._index
        reachable = self._reachable(package)
        for soname in file.libraries:
            if target := index.find_library(package, soname, reachable):
                yield _Use(FIRM, *target, soname)
        for soname in file.dlopen:
            target = index.find_library(package, soname, reachable)
            if target and target[0] in reachable:
                yield _Use(MODULE, *target, soname)
        if (match := _DOCUMENTATION.fullmatch(file.link)) and match[1] != package:
            yield _Use(FIRM, match[1], f"{file.link}/copyright", f"/{file.link}")
        if file.link and (owner := index.find_owner(file.link)):
            yield _Use(FIRM, owner, file.link, f"/{file.link}")
        if not (file.is_elf or slice_name.endswith(_PROGRAMS)):
            file = msgspec.structs.replace(file, interpreter="", programs=())
        yield from self._interpreters(file)
        yield from self._weak_uses(package, file)

    def _interpreters(self, file: DraftFile) -> Iterator[_Use]:
        """Yield what starts a program or a script."""
        paths = [self._providers.find_path(file.interpreter)] if file.interpreter else []
        if paths and file.is_started_by_env:
            paths.append(_ENV)
        for path in paths:
            if owner := self._index.find_owner(path):
                yield _Use(FIRM, owner, path, f"/{path}")

    def _weak_uses(self, package: str, file: DraftFile) -> Iterator[_Use]:
        """Yield the modules, and the programs and paths in texts, that a file uses of its dependencies."""
        reachable = self._reachable(package)
        for module in file.modules:
            target = self._index.find_module(package, module)
            if target and target[0] in self._reachable(package, weak=True):
                yield _Use(MODULE, *target, module)
        is_shell = posixpath.basename(file.interpreter) in ("sh", "bash", "dash", "")
        scope = {*self._graph.strong.get(package, ()), package} if file.is_elf else reachable
        if is_shell and not file.is_elf:
            scope = scope | (self._essential - _PACKAGE_TOOLS)
        for program in (*file.programs, *file.paths):
            path = self._providers.find_path(program)
            owner = self._index.find_owner(path) if path else None
            if owner and owner in scope and not is_unused_path(package, path):
                yield _Use(PATH, owner, path, f"/{path}")

    def _reachable(self, package: str, *, weak: bool = False) -> set[str]:
        """Return a package and all that it depends on; with ``weak``, install tools too."""
        key = package, weak
        if key not in self._closures:
            reached: set[str] = set()
            pending = [package]
            while pending:
                name = pending.pop()
                if name not in reached:
                    reached.add(name)
                    pending += self._graph.strong.get(name, ())
                    pending += self._graph.weak.get(name, ()) if weak else ()
            self._closures[key] = reached
        return self._closures[key]


def find_unused(package: str, dependency: str) -> str:
    """Return why slices of a package do without one of its dependencies, empty if they do not."""
    for owner, other, reason in _unused_dependencies():
        if fnmatchcase(package, owner) and fnmatchcase(dependency, other):
            return reason
    return ""


@functools.lru_cache
def _unused_dependencies() -> tuple[tuple[str, str, str], ...]:
    text = (
        resources.files("pumice.slices.draft")
        .joinpath("data/unused_dependencies.tsv")
        .read_text(encoding="utf-8")
    )
    rows = (line.split("\t") for line in text.splitlines() if line and not line.startswith("#"))
    return tuple((owner, dependency, reason) for owner, dependency, reason in rows)


def break_cycles(
    required: Mapping[str, Mapping[str, list[Requirement]]], fixed: Mapping[str, list[str]]
) -> list[tuple[str, Requirement]]:
    """Remove the weakest requirements that lead to cycles, and return them with the slices that had them.

    ``required`` are the requirements of drafted slices by package and slice, which change; ``fixed`` those of
    the release by full name.
    """
    from pumice.slices.closure import find_cycles

    removed: list[tuple[str, Requirement]] = []
    while True:
        successors: dict[str, list[str]] = dict(fixed)
        for package, slices in required.items():
            for name, requirements in slices.items():
                successors[f"{package}_{name}"] = [item.name for item in requirements]
        cycles = find_cycles(successors)
        if not cycles:
            return removed
        for cycle in cycles:
            edge = _weakest(required, set(cycle))
            if edge is None:
                return removed
            package, name, item = edge
            required[package][name].remove(item)
            removed.append((f"{package}_{name}", item))


def _weakest(
    required: Mapping[str, Mapping[str, list[Requirement]]], members: set[str]
) -> tuple[str, str, Requirement] | None:
    edges = [
        (item.strength, f"{package}_{name}", item.name, (package, name, item))
        for package, slices in required.items()
        for name, requirements in slices.items()
        for item in requirements
        if f"{package}_{name}" in members and item.name in members
    ]
    return min(edges)[3] if edges else None


def _add(required: dict[str, Requirement], requirement: Requirement) -> None:
    old = required.get(requirement.name)
    if old is None or old.strength < requirement.strength:
        required[requirement.name] = requirement


def _by_name(item: Requirement) -> str:
    return item.name


def _may_require(package: str, name: str, full_name: str, strength: int) -> bool:
    """Whether a use leads to a requirement; within a package only in one direction."""
    other_package, _, other = full_name.partition("_")
    if other_package != package:
        return name != COPYRIGHT or other == COPYRIGHT
    return other != name and rank(other) > rank(name) and not (name == LIBS and strength == PATH)


def _own_parts(name: str, groups: Groups) -> list[str]:
    """Return the slices of the same package that a slice requires whatever its files say."""
    has_programs = any(other == BINS or other.endswith(SCRIPTS) for other in groups.slices)
    parts: tuple[str, ...] = ()
    if name == BINS:
        parts = _OWN_PARTS
    elif name.endswith(SCRIPTS):
        parts = (LIBS, DATA, CONFIG)
    elif name == "services":
        parts = (BINS,)
    elif name in (LIBS, MODULES) and not has_programs:
        parts = (LIBS, DATA, CONFIG)
    return [part for part in parts if part != name and (part in groups.slices or part in groups.directories)]


def _top_slice(groups: Groups, dependency: str) -> str:
    """Return the slice that stands for a package; for modules of a language, that with its scripts."""
    for language, pattern in _MODULE_PACKAGES.items():
        if fnmatchcase(dependency, pattern) and language + SCRIPTS in groups.slices:
            return language + SCRIPTS
    return next((name for name in (BINS, *_OWN_PARTS) if name in groups.slices), ALL)
