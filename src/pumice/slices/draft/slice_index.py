"""Which slice has a file: of the release where it defines the package, otherwise of the draft."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from pumice.packing import path_patterns as patterns
from pumice.slices.draft.contents import has_other_owners
from pumice.slices.draft.grouping import ALL, BINS, CONFIG, COPYRIGHT, DATA, LIBS, MODULES, group_files

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from pumice.slices.draft.contents import Owners
    from pumice.slices.draft.evidence import PackageEvidence
    from pumice.slices.draft.grouping import Groups
    from pumice.slices.model import Release

_LIBRARY_DIRECTORY = re.compile(r"usr/lib(?:/[a-z0-9_]+-linux-[a-z0-9]+)?/[^/]+")
_MODULE_DIRECTORY = re.compile(
    r"usr/(?:lib|share)/(?:python3/dist-packages|python3\.[0-9]+(?:/lib-dynload)?"
    r"|(?:[^/]+/)?perl5?(?:/[0-9.]+)?|(?:[^/]+/)?perl-base|(?:[^/]+/)?ruby/(?:vendor_ruby|[0-9.]+))/(.+)"
)
_PYTHON_FILE = re.compile(r"(\w+)(?:/__init__\.py|\.py|\.cpython-[^/]*\.so|\.abi3\.so)")


class SliceIndex:
    """The files of a closure of packages, and the slices that they belong to.

    ``read`` returns a package of the closure, with what its files use; ``paths`` are the files of every
    package, as paths of a merged ``/usr`` with those in the package.
    """

    def __init__(
        self,
        release: Release,
        paths: Mapping[str, Mapping[str, str]],
        read: Callable[[str], PackageEvidence],
        redrafted: Collection[str],
        owners: Owners,
    ) -> None:
        self._release = release
        self._paths = paths
        self._read = read
        self._redrafted = redrafted
        self._directory_owners = owners
        self._groups: dict[str, Groups] = {}
        self._slices: dict[str, dict[str, str]] = {}
        self._owners = {path: name for name in sorted(paths, reverse=True) for path in paths[name]}
        self._libraries: dict[str, list[tuple[str, str]]] = {}
        self._modules: dict[str, list[tuple[str, str]]] = {}
        for name in sorted(paths):
            for path in paths[name]:
                self._add_names(name, path)

    def _add_names(self, package: str, path: str) -> None:
        if ".so" in path:
            self._libraries.setdefault(posixpath.basename(path), []).append((package, path))
        if match := _MODULE_DIRECTORY.fullmatch(path):
            python = _PYTHON_FILE.fullmatch(match[1])
            self._modules.setdefault(python[1] if python else match[1], []).append((package, path))

    def is_drafted(self, package: str) -> bool:
        """Whether the draft defines the slices of a package, not the release."""
        return package in self._redrafted or package not in self._release.packages

    def groups(self, package: str) -> Groups:
        """Return the drafted slices of a package."""
        if package not in self._groups:
            self._groups[package] = group_files(
                self._read(package), lambda path: has_other_owners(path, package, self._directory_owners)
            )
        return self._groups[package]

    def find(self, package: str, path: str) -> str:
        """Return the full name of the slice with a file, empty if none has it."""
        if package not in self._paths:
            return ""
        slices = self._slices.setdefault(package, {})
        if path not in slices:
            slices[path] = self._find(package, path)
        return f"{package}_{slices[path]}" if slices[path] else ""

    def _find(self, package: str, path: str) -> str:
        if self.is_drafted(package):
            groups = self.groups(package).slices
            return next((name for name in groups if any(file.merged == path for file in groups[name])), "")
        original = self._paths[package].get(path, f"/{path}")
        for name, item in sorted(self._release.packages[package].slices.items()):
            for rule in item.contents:
                if rule.is_extracted and patterns.matches(rule.source, original):
                    return name
        return ""

    def find_main(self, package: str) -> list[str]:
        """Return the full names of the slices that stand for a package, none if it only has documentation."""
        if self.is_drafted(package):
            groups = self.groups(package)
            names = {*groups.slices, *groups.directories} - {COPYRIGHT}
            if not names and self._read(package).fields.get("Depends"):
                names = {ALL}
        else:
            names = set(self._release.packages[package].slices) - {COPYRIGHT}
        best = next(([name] for name in (BINS, LIBS, MODULES, ALL) if name in names), None)
        chosen = best or [name for name in (DATA, CONFIG) if name in names] or sorted(names)
        return [f"{package}_{name}" for name in chosen]

    def find_owner(self, path: str) -> str | None:
        """Return the package with a file."""
        return self._owners.get(path)

    def find_library(self, package: str, soname: str, reachable: Collection[str]) -> tuple[str, str] | None:
        """Return the package and path of a library: its own, that of a dependency, or any other."""
        candidates = self._libraries.get(soname, [])

        def preference(candidate: tuple[str, str]) -> tuple[bool, bool, bool]:
            owner, path = candidate
            return owner != package, owner not in reachable, not _LIBRARY_DIRECTORY.fullmatch(path)

        return min(candidates, key=lambda each: (preference(each), each), default=None)

    def find_module(self, package: str, module: str) -> tuple[str, str] | None:
        """Return the package and path of a module of Python, Perl or Ruby."""
        candidates = self._modules.get(module, [])
        return min(candidates, key=lambda each: (each[0] != package, each), default=None)
