"""Writes the files of slices as few paths and patterns, which do not name versions or architectures."""

from __future__ import annotations

import functools
import posixpath
import re
from collections import Counter
from importlib import resources
from typing import TYPE_CHECKING

from pumice.packing import path_patterns as patterns
from pumice.packing.selection import merged_usr_path
from pumice.slices.draft.path_rules import TRIPLET
from pumice.slices.tree import parents_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pumice.slices.draft.evidence import PackageEvidence
    from pumice.slices.draft.grouping import Groups

_TRIPLET = re.compile(rf"(?<=/){TRIPLET}(?=/)")
_TRIPLET_IN_NAME = re.compile(r"(?:x86_64|aarch64|i386|arm|powerpc64le|riscv64|s390x)-linux-gnu\w*")
_SONAME = re.compile(r"(?<=\.so)\.[0-9][^/]*$")
_SONAME_END = re.compile(r"(?<=\.so)(\.[0-9]+)(?:\.[^/]*)?$")
_PYTHON_TAG = re.compile(r"(?<=\.cpython-)[0-9]+\w*-")
_DISTRIBUTION = re.compile(r"-[0-9][\w.+~!-]*(?=\.(?:egg-info|dist-info|gemspec))")
_ARCHITECTURE = re.compile(r"-(?:amd64|arm64|armhf|i386|ppc64el|riscv64|s390x)(?=[/.]|$)")
_MAX_PATTERN = 500
_FEW = 2

Owners = dict[str, set[str]]
"""The packages with files below a directory of a merged ``/usr`` (``/usr/share/``)."""


def list_owners(paths: Mapping[str, Iterable[str]]) -> Owners:
    """Return the owners of directories, from the absolute paths or patterns of each package."""
    owners: Owners = {}
    for package, package_paths in paths.items():
        for path in package_paths:
            merged = "/" + merged_usr_path(_TRIPLET.sub("*-linux-*", path)[1:])
            itself = [merged] if merged.endswith("/") else []
            for parent in (*itself, *parents_of(merged)):
                owners.setdefault(parent, set()).add(package)
    return owners


def write_contents(
    package: PackageEvidence, groups: Groups, owners: Owners, others_near: Callable[[str], Iterable[str]]
) -> dict[str, list[str]]:
    """Return the paths and patterns of each slice, sorted.

    ``others_near`` returns the files of other packages in the directory of a path.
    """
    names = {file.path: name for name, files in groups.slices.items() for file in files}
    names |= {path: name for name, paths in groups.directories.items() for path in paths}
    names |= {item.path: "" for item in groups.left_out}
    directories = _Directories(names, lambda directory: is_shared(directory, package.name, owners))
    version = _upstream_version(package.version)
    contents: dict[str, set[str]] = {}
    for path, name in names.items():
        if name:
            pattern = _choose_pattern(directories.widen(path), version, names, others_near)
            contents.setdefault(name, set()).add(pattern)
    return {name: sorted(contents[name]) for name in sorted(contents)}


class _Directories:
    """The directories of a package, of which some belong to a single slice."""

    def __init__(self, names: Mapping[str, str], is_shared: Callable[[str], bool]) -> None:
        """``names`` are the slices of paths, empty for paths in none."""
        self._is_shared = is_shared
        self._names_below: dict[str, set[str]] = {}
        self._direct_names: dict[str, list[str]] = {}
        self._counts: Counter[str] = Counter()
        for path, name in names.items():
            parents = parents_of(path)
            self._direct_names.setdefault(parents[0], []).append(name)
            self._counts.update(parents)
            for parent in parents:
                self._names_below.setdefault(parent, set()).add(name)

    def widen(self, path: str) -> str:
        """Return a pattern for the widest directory that only the slice of ``path`` fills, or the path."""
        parents = parents_of(path)
        whole = next((directory for directory in reversed(parents) if self._is_whole(directory)), None)
        if whole:
            return f"{whole}**"
        return f"{parents[0]}*" if self._is_flat(parents[0]) and not path.endswith("/") else path

    def _is_whole(self, directory: str) -> bool:
        """Whether a single slice has everything below a directory."""
        names = self._names_below[directory]
        is_single = len(names) == 1 and "" not in names and self._counts[directory] >= _FEW
        return is_single and not self._is_shared(directory)

    def _is_flat(self, directory: str) -> bool:
        """Whether a single slice has everything in a directory, apart from its subdirectories."""
        names = self._direct_names[directory]
        return len(set(names)) == 1 and len(names) >= _FEW and not self._is_shared(directory)


def is_shared(directory: str, package: str, owners: Owners) -> bool:
    """Whether other packages may have files in a directory."""
    path = merged_usr_path(directory[1:]).rstrip("/")
    return has_other_owners(directory, package, owners) or bool(_shared_directories()(path))


def has_other_owners(directory: str, package: str, owners: Owners) -> bool:
    """Whether other packages that are known have a directory, or files in it."""
    merged = "/" + merged_usr_path(_TRIPLET.sub("*-linux-*", directory)[1:])
    return bool(owners.get(merged, set()) - {package})


@functools.lru_cache
def _shared_directories() -> Callable[[str], object]:
    text = (
        resources.files("pumice.slices.draft")
        .joinpath("data/shared_directories.txt")
        .read_text(encoding="utf-8")
    )
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    joined = "|".join(lines).replace("{lib}", f"usr/lib(?:/{TRIPLET})?")
    return re.compile(joined).fullmatch


def _upstream_version(version: str) -> str:
    """Return the upstream part of a version if it can be recognized in a path, otherwise empty."""
    upstream = version.rpartition(":")[2].rpartition("-")[0].partition("+")[0]
    return upstream if upstream.count(".") and len(upstream) > len("1.2") else ""


def _choose_pattern(
    path: str, version: str, names: Mapping[str, str], others_near: Callable[[str], Iterable[str]]
) -> str:
    """Return a pattern instead of a path that names an architecture or a version.

    It matches no file of another slice or package.
    """
    candidates = list(dict.fromkeys(_patterns(path, version)))
    if candidates == [path]:
        return path
    own = names.get(path) or next(name for other, name in names.items() if patterns.matches(path, other))
    others = [other for other, name in names.items() if name != own]
    others += others_near(path)
    for pattern in candidates:
        if len(pattern) <= _MAX_PATTERN and not any(patterns.matches(pattern, other) for other in others):
            return pattern
    return path


def _patterns(path: str, version: str) -> Iterator[str]:
    """Yield patterns for a path, the widest first."""
    directory, base = posixpath.split(_TRIPLET.sub("*-linux-*", path))
    base = _TRIPLET_IN_NAME.sub("*-linux-*", _PYTHON_TAG.sub("*-", base))
    base = _DISTRIBUTION.sub("-*", base)
    for name in (_SONAME.sub(".*", base), _SONAME_END.sub(r"\1*", base), base):
        pattern = posixpath.join(directory, name)
        pattern = _DISTRIBUTION.sub("-*", _ARCHITECTURE.sub("-*", pattern))
        if version and version in pattern:
            any_version = version.partition(".")[0] + ".*"
            pattern = re.sub(re.escape(version) + r"(?:-[0-9][\w.+~]*)?", any_version, pattern)
        yield re.sub(r"\*{3,}", "**", pattern)
