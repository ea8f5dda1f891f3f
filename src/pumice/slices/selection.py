"""Selects the entries of packages that slices list, and makes those that slices define themselves."""

from __future__ import annotations

import hashlib
import stat
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import Problem, SliceError
from pumice.formats.tar import Entry
from pumice.packing import path_patterns as patterns
from pumice.packing.selection import ALIASED_DIRECTORIES, merged_usr_pattern
from pumice.slices.prefers import Preferences
from pumice.slices.tree import PackageEntry, SlicedEntry, parents_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pumice.slices.model import PathRule, Release, Slice
    from pumice.slices.tree import PackageFiles, SlicedTree

    Claim = tuple[Slice, PathRule]

_DIRECTORY_MODE, _FILE_MODE = 0o755, 0o644
_LINK_MODE = stat.S_IRWXU | stat.S_IRWXG | stat.S_IRWXO
MANIFEST_NAME = "manifest.wall"


class SlicedPackages(msgspec.Struct, frozen=True):
    """The slices of a selection, in their order, and the packages that they are parts of."""

    release: Release
    slices: tuple[Slice, ...]
    architecture: str
    packages: dict[str, PackageFiles]
    merged_usr: bool = False
    """Whether the paths of packages and slices are those of a merged ``/usr``."""


def select_entries(selected: SlicedPackages) -> tuple[SlicedTree, list[str]]:
    """Return the tree of a selection before its scripts ran, and notes about it.

    Raises SliceError with every path that no package has.
    """
    return _Selector(selected).select()


class _Selector:
    def __init__(self, selected: SlicedPackages) -> None:
        self._selected = selected
        self._preferences = Preferences(selected.release, selected.slices)
        self._tree: SlicedTree = {}
        self._directories: dict[str, SlicedEntry] = {}
        self._problems: list[Problem] = []
        self._notes: list[str] = []
        self._claims = self._collect_claims()

    def select(self) -> tuple[SlicedTree, list[str]]:
        by_package: dict[str, list[Claim]] = {}
        for claims in self._claims.values():
            for claim in claims:
                if claim[1].is_extracted:
                    by_package.setdefault(claim[0].package, []).append(claim)
        for item in self._selected.slices:  # packages in the order of the slices
            claims_of_package = by_package.pop(item.package, None)
            self._collect_directories(self._selected.packages[item.package])
            if claims_of_package:
                self._extract(self._selected.packages[item.package], claims_of_package)
        for path, claims in self._claims.items():
            if not claims[0][1].is_extracted:
                self._make(path, claims)
        if self._problems:
            raise SliceError(self._problems)
        self._add_parents()
        return dict(sorted(self._tree.items())), self._notes

    def _collect_claims(self) -> dict[str, list[Claim]]:
        """Return the rules for each path, those of packages that others are preferred to left out."""
        claims: dict[str, list[Claim]] = {}
        for item in self._selected.slices:
            for rule in item.contents:
                if not rule.applies_to(self._selected.architecture):
                    continue
                claims.setdefault(rule.path, []).append((item, rule))
        return {path: self._drop_unpreferred(path, group) for path, group in claims.items()}

    def _drop_unpreferred(self, path: str, group: list[Claim]) -> list[Claim]:
        if not self._preferences.has_path(path):
            return group
        package = group[0][0].package
        for item, _ in group[1:]:
            package = self._preferences.preferred(path, package, item.package) or package
        return [claim for claim in group if claim[0].package == package]

    def _map(self, path: str) -> str:
        """Return the path in the tree for one of a slice or package."""
        return merged_usr_pattern(path) if self._selected.merged_usr else path

    def _is_alias(self, path: str) -> bool:
        """Whether a path is a directory that is a link in a merged ``/usr``, which an effect makes."""
        return self._selected.merged_usr and path.strip("/") in ALIASED_DIRECTORIES

    def _extract(self, package: PackageFiles, claims: Sequence[Claim]) -> None:
        literal: dict[str, list[Claim]] = {}
        globs: dict[str, list[Claim]] = {}
        for claim in claims:
            source = self._map(claim[1].source)
            is_glob = claim[1].kind == "glob"
            (globs if is_glob else literal).setdefault(source, []).append(claim)
        unmatched = {*literal, *globs}
        content_paths: dict[str, str] = {}
        for item in package.entries:
            matching = [pattern for pattern in globs if patterns.matches(pattern, item.path)]
            if item.path in literal:
                self._take(item, literal[item.path], package, content_paths, is_glob=False)
            if matching:
                self._take(
                    item,
                    [claim for pattern in matching for claim in globs[pattern]],
                    package,
                    content_paths,
                    is_glob=True,
                )
            unmatched -= {item.path, *matching}
        for source in sorted(unmatched):
            for slice_, rule in literal.get(source) or globs[source]:
                if not self._is_alias(rule.path):
                    self._report(slice_, rule, f"{package.name}={package.version} has no {rule.source}")

    def _take(
        self,
        item: PackageEntry,
        claims: Sequence[Claim],
        package: PackageFiles,
        content_paths: dict[str, str],
        *,
        is_glob: bool,
    ) -> None:
        """Add an entry of a package under each path that slices give it."""
        for slice_, rule in claims:
            target = item.path if is_glob else self._map(rule.path)
            entry = msgspec.structs.replace(item.entry, path=target.strip("/"))
            if entry.kind == "hardlink":
                entry = self._resolve_hard_link(item, entry, package, content_paths)
            if entry.kind == "file":
                content_paths.setdefault(item.source, target)
            self._add(
                target,
                SlicedEntry(
                    entry=entry,
                    package=package.name,
                    source=_content_source(item) if entry.kind in ("file", "hardlink") else "",
                    sha256=_content_sha256(item, package),
                ),
                slice_,
                rule,
            )

    def _resolve_hard_link(
        self, item: PackageEntry, entry: Entry, package: PackageFiles, content_paths: dict[str, str]
    ) -> Entry:
        """Return a hard link to a file that is selected, or else the file or symbolic link itself."""
        source = _content_source(item)
        target = next((other.entry for other in package.entries if other.source == source), entry)
        if target.kind == "symlink":
            return msgspec.structs.replace(target, path=entry.path)
        first_path = content_paths.get(source)
        if first_path and first_path != path_text(entry):
            return msgspec.structs.replace(entry, link=first_path.strip("/"))
        content_paths[source] = path_text(entry)
        return msgspec.structs.replace(target, path=entry.path, kind="file", link="")

    def _make(self, path: str, claims: Sequence[Claim]) -> None:
        """Add what slices define themselves."""
        item, rule = claims[0]
        target = self._map(rule.path)
        if self._is_alias(path):
            return
        newest = self._selected.packages[item.package].newest
        content = b""
        if rule.kind == "dir":
            entry = Entry(target.strip("/"), "dir", rule.mode or _DIRECTORY_MODE, mtime=newest)
        elif rule.kind == "symlink":
            entry = Entry(target.strip("/"), "symlink", _LINK_MODE, mtime=newest, link=rule.info)
        else:
            if rule.kind == "generate":
                target = target.removesuffix("**") + MANIFEST_NAME
            content = rule.info.encode("utf-8", "surrogateescape") if rule.kind == "text" else b""
            mode = rule.mode or _FILE_MODE
            entry = Entry(target.strip("/"), "file", mode, mtime=newest, size=len(content))
        digest = hashlib.sha256(content).hexdigest() if rule.kind == "text" else ""
        generated_entry = SlicedEntry(entry=entry, package=item.package, content=content, sha256=digest)
        for each, each_rule in claims:
            self._add(target, generated_entry, each, each_rule)

    def _add(self, path: str, entry: SlicedEntry, item: Slice, rule: PathRule) -> None:
        old = self._tree.get(path)
        names = () if rule.until_mutate else (item.full_name,)
        if old is not None and old.is_listed:
            self._tree[path] = msgspec.structs.replace(
                old,
                slices=tuple(sorted({*old.slices, *names})),
                mutable=old.mutable or rule.mutable,
                until_mutate=old.until_mutate and rule.until_mutate,
            )
            return
        self._tree[path] = msgspec.structs.replace(
            entry,
            slices=names,
            is_listed=True,
            mutable=rule.mutable,
            until_mutate=rule.until_mutate,
        )

    def _collect_directories(self, package: PackageFiles) -> None:
        """Remember the attributes of directories, for those that only parents of entries."""
        for item in package.entries:
            if item.entry.kind != "dir":
                continue
            entry = msgspec.structs.replace(item.entry, path=item.path.strip("/"))
            old = self._directories.setdefault(item.path, SlicedEntry(entry=entry, package=package.name))
            if old.entry.mode != entry.mode and old.package != package.name:
                self._notes.append(f"{old.package} and {package.name} disagree about the mode of {item.path}")

    def _add_parents(self) -> None:
        missing = {parent for path in self._tree for parent in parents_of(path)} - self._tree.keys()
        for path in missing:
            if path.rstrip("/") in self._tree:  # a link to a directory
                continue
            default = SlicedEntry(entry=Entry(path.strip("/"), "dir", _DIRECTORY_MODE), package="")
            self._tree[path] = self._directories.get(path, default)
        used = set(missing)
        self._notes[:] = [note for note in self._notes if note.rpartition(" ")[2] in used]

    def _report(self, item: Slice, rule: PathRule, message: str) -> None:
        where = self._selected.release.location(rule, item.package)
        self._problems.append(Problem(f"{item.full_name}: {message}", where=where))


def path_text(entry: Entry) -> str:
    """Return the absolute path of a file or link."""
    return f"/{entry.path}"


def _content_source(item: PackageEntry) -> str:
    """Return the path of the content in the segment; for a hard link, that of its target."""
    if item.entry.kind != "hardlink":
        return item.source
    return item.entry.link


def _content_sha256(item: PackageEntry, package: PackageFiles) -> str:
    if item.entry.kind != "hardlink":
        return item.sha256
    return next((other.sha256 for other in package.entries if other.source == item.entry.link), "")


def collect_packages(slices: Sequence[Slice]) -> list[str]:
    """Return the names of the packages of slices, in their order."""
    return list(dict.fromkeys(item.package for item in slices))


def list_extracted_paths(slices: Iterable[Slice], architecture: str) -> dict[str, tuple[str, ...]]:
    """Return the paths and patterns that slices take from each package, sorted."""
    paths: dict[str, set[str]] = {}
    for item in slices:
        sources = paths.setdefault(item.package, set())
        sources.update(
            rule.source for rule in item.contents if rule.is_extracted and rule.applies_to(architecture)
        )
    return {package: tuple(sorted(sources)) for package, sources in paths.items()}


def count_kept(tree: Mapping[str, SlicedEntry]) -> int:
    """Return how many files a tree has."""
    return sum(item.entry.kind in ("file", "hardlink") for item in tree.values())
