"""What the recipe's ``exclude`` leaves out of an image, as data."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Collection


class ExcludedPaths(msgspec.Struct, frozen=True):
    """The paths of one package that are left out, sorted: files and links, and directories."""

    files: tuple[str, ...] = ()
    directories: tuple[str, ...] = ()


class PatternUse(msgspec.Struct, frozen=True, kw_only=True):
    """How many files of a package a pattern left out, and their size in bytes."""

    pattern: str
    package: str
    files: int
    size: int


class Pattern(msgspec.Struct, frozen=True, kw_only=True):
    """A pattern of ``exclude``.

    ``package`` is empty for all packages. ``key`` is its key in the recipe, such as ``exclude.1.paths.0``,
    and ``where`` the ``file:line:col`` of its rule.
    """

    text: str
    package: str
    key: str
    where: str = ""


class Exclusions(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that ``exclude`` leaves out of an image.

    ``packages`` are the paths by package name, ``patterns`` the pattern that excludes each path. ``uses``
    counts them. ``all_patterns`` are those of the recipe, ``keeping`` those with ``!`` that keep a path.
    """

    packages: dict[str, ExcludedPaths]
    patterns: dict[str, Pattern]
    uses: tuple[PatternUse, ...]
    all_patterns: tuple[Pattern, ...]
    keeping: tuple[Pattern, ...] = ()

    @property
    def unused(self) -> list[Pattern]:
        """The patterns that match nothing, or only what other patterns decide about."""
        used = {*self.patterns.values(), *self.keeping}
        return [pattern for pattern in self.all_patterns if pattern not in used]

    def of_packages(self, names: Collection[str]) -> Exclusions:
        """Return what is left out of some of the packages."""
        packages = {name: paths for name, paths in self.packages.items() if name in names}
        paths = {path for excluded in packages.values() for path in (*excluded.files, *excluded.directories)}
        return msgspec.structs.replace(
            self,
            packages=packages,
            patterns={path: pattern for path, pattern in self.patterns.items() if path in paths},
            uses=tuple(use for use in self.uses if use.package in names),
        )
