"""The paths of packages that the patterns of the recipe's ``exclude`` match.

They are matched with the segments as they are cut for every recipe, so packages that no pattern concerns
keep the segments that other images use. Copyright files and dpkg's files about packages always stay.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from pumice.errors import ImageError
from pumice.formats.gitignore import IgnorePatterns
from pumice.packing.excluded_paths import ExcludedPaths, Exclusions, Pattern, PatternUse
from pumice.packing.segments import DOC_DIRECTORY, DPKG_INFO_DIRECTORY
from pumice.packing.selection import OPTIONAL_TREES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pumice.packing.segments import Segment
    from pumice.packing.tree import PackageFacts
    from pumice.recipe.model import ExcludeRule

_MAX_STEPS = 30_000_000
"""Bytes that wildcards may read for one image: about ten seconds."""


def list_patterns(rules: Sequence[ExcludeRule]) -> list[Pattern]:
    """Return the patterns of a recipe in their order."""
    return [
        Pattern(
            text=text,
            package=rule.package,
            key=f"exclude.{number}" + (f".paths.{position}" if len(rule.paths) > 1 else ""),
            where=rule.where,
        )
        for number, rule in enumerate(rules)
        for position, text in enumerate(rule.paths)
    ]


def find_exclusions(
    rules: Sequence[ExcludeRule], include: Sequence[str], package_segments: Mapping[str, Segment]
) -> Exclusions:
    """Return what ``rules`` leave out of the packages (segments by name), except trees in ``include``.

    Raises ImageError if the patterns take too long to match.
    """
    patterns = list_patterns(rules)
    included_trees = tuple(prefix for name in include for prefix in OPTIONAL_TREES[name])
    named_packages = {pattern.package for pattern in patterns}
    common = _Matcher([pattern for pattern in patterns if not pattern.package])
    keeping: set[Pattern] = set()
    packages: dict[str, ExcludedPaths] = {}
    deciding: dict[str, Pattern] = {}
    uses: list[PatternUse] = []
    for name in sorted(package_segments):
        matcher = common
        if name in named_packages:
            matcher = _Matcher([pattern for pattern in patterns if pattern.package in ("", name)])
        segment = package_segments[name]
        files = {
            item.entry.path: pattern
            for item in segment.items
            if _is_excludable(item.entry.path, included_trees)
            and (pattern := matcher.find(item.entry.path, is_directory=False))
        }
        directories = _find_directories(segment, files, matcher)
        keeping |= matcher.keeping
        if files or directories:
            packages[name] = ExcludedPaths(tuple(sorted(files)), tuple(sorted(directories)))
            deciding |= files | directories
            uses += _count_uses(name, segment, files)
    return Exclusions(
        packages=packages,
        patterns=deciding,
        uses=tuple(uses),
        all_patterns=tuple(patterns),
        keeping=tuple(pattern for pattern in patterns if pattern in keeping),
    )


def _is_excludable(path: str, included_trees: tuple[str, ...]) -> bool:
    if path.startswith((f"{DPKG_INFO_DIRECTORY}/", *included_trees)):
        return False
    if not path.startswith(f"{DOC_DIRECTORY}/"):
        return True
    # A link in place of a documentation directory leads to the copyright file of another package.
    name = path[len(DOC_DIRECTORY) + 1 :]
    return "/" in name and not name.rpartition("/")[2].startswith("copyright")


class _Matcher:
    """Finds the patterns that exclude paths, as git does: nothing below an excluded directory returns."""

    def __init__(self, patterns: Sequence[Pattern]) -> None:
        self._patterns = patterns
        self._ignore = IgnorePatterns([pattern.text for pattern in patterns])
        self._directories: dict[str, Pattern | None] = {"": None}
        self.keeping: set[Pattern] = set()
        """The patterns with ``!`` that decided about a path."""

    def find(self, path: str, *, is_directory: bool) -> Pattern | None:
        """Return the pattern that excludes ``path`` or a directory above it; None if it stays."""
        start = path.rfind("/")
        while start > 0 and path[:start] not in self._directories:
            start = path.rfind("/", 0, start)
        while (end := path.find("/", start + 1)) > 0:
            directory = path[:end]
            above = self._directories[path[: max(start, 0)]]
            self._directories[directory] = above or self._decide(directory, is_directory=True)
            start = end
        above = self._directories[posixpath.dirname(path)]
        return above or self._decide(path, is_directory=is_directory)

    def _decide(self, path: str, *, is_directory: bool) -> Pattern | None:
        index, is_excluded = self._ignore.find_deciding_pattern(path, is_directory=is_directory)
        if self._ignore.step_count > _MAX_STEPS:
            raise ImageError(
                "the patterns of 'exclude' take too long to match",
                where=self._patterns[0].where or None,
                hint="start them with '/' and a directory, and use fewer wildcards",
            )
        if index < 0:
            return None
        if is_excluded:
            return self._patterns[index]
        self.keeping.add(self._patterns[index])
        return None


def _find_directories(
    segment: Segment, excluded: Mapping[str, Pattern], matcher: _Matcher
) -> dict[str, Pattern]:
    """Return the shipped directories that are excluded, or empty because everything in them is.

    Each comes with the pattern that excludes it, or something in it. A directory that the package's
    scripts mention stays, because effects may put something into it.
    """
    matched = {
        entry.path: pattern
        for entry in segment.directories
        if (pattern := matcher.find(entry.path, is_directory=True))
    }
    if not excluded and not matched:
        return {}
    candidates = {
        path: pattern
        for path, pattern in (_find_emptied(excluded) | matched).items()
        if not _is_mentioned(path, segment.facts)
    }
    staying = {item.entry.path for item in segment.items if item.entry.path not in excluded}
    staying |= {entry.path for entry in segment.directories if entry.path not in candidates}
    kept_directories = _find_parents(staying) | staying
    shipped = {entry.path for entry in segment.directories}
    return {
        path: pattern
        for path, pattern in candidates.items()
        if path in shipped and path not in kept_directories
    }


def _find_emptied(excluded: Mapping[str, Pattern]) -> dict[str, Pattern]:
    """Return the directories above excluded paths, with the pattern of one of these."""
    patterns: dict[str, Pattern] = {}
    for path in sorted(excluded):
        parent = posixpath.dirname(path)
        while parent and parent not in patterns:
            patterns[parent] = excluded[path]
            parent = posixpath.dirname(parent)
    return patterns


def _find_parents(paths: Iterable[str]) -> set[str]:
    parents: set[str] = set()
    for path in paths:
        parent = posixpath.dirname(path)
        while parent and parent not in parents:
            parents.add(parent)
            parent = posixpath.dirname(parent)
    return parents


def _is_mentioned(path: str, facts: PackageFacts) -> bool:
    return any(f"/{path}".encode() in content for content in facts.files.values())


def _count_uses(package: str, segment: Segment, excluded: Mapping[str, Pattern]) -> list[PatternUse]:
    counts: dict[str, tuple[int, int]] = {}
    for item in segment.items:
        pattern = excluded.get(item.entry.path)
        if pattern is not None:
            files, size = counts.get(pattern.text, (0, 0))
            counts[pattern.text] = files + 1, size + item.entry.size
    return [
        PatternUse(pattern=text, package=package, files=files, size=size)
        for text, (files, size) in sorted(counts.items())
    ]
