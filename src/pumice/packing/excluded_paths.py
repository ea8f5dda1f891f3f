"""What the recipe's ``exclude`` leaves out of an image, as data."""

from __future__ import annotations

import msgspec


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

    ``packages`` are the paths by package name, ``patterns`` the pattern that decided about each path,
    ``unused`` the patterns that decided about no path.
    """

    packages: dict[str, ExcludedPaths]
    patterns: dict[str, Pattern]
    uses: tuple[PatternUse, ...]
    unused: tuple[Pattern, ...]
