"""The result of a decision: what an image leaves out, and what files use."""

from __future__ import annotations

import msgspec

RECIPE = ""
"""The name of the recipe among packages: its command and its own files."""


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """A file that uses a package: ``file`` of package ``user`` runs, loads or reads ``thing`` of ``package``.

    ``user`` is `RECIPE` for the recipe's own command and files. Without a file, ``thing`` says how
    the package is used.
    """

    package: str
    user: str
    file: str
    thing: str


class OmittedPackage(msgspec.Struct, frozen=True, kw_only=True):
    """A package that is left out although packages of the image depend on it.

    ``needed_by`` are these packages. ``by_recipe``: ``without`` of the recipe names it. ``unused_by`` are
    files that would use it and that do not count, or that no longer work.
    """

    name: str
    version: str
    needed_by: tuple[str, ...] = ()
    by_recipe: bool = False
    unused_by: tuple[Use, ...] = ()


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What is left out, and which files keep the packages that the table would leave out."""

    omitted: tuple[OmittedPackage, ...] = ()
    kept: tuple[Use, ...] = ()
    """The first use of each package that stays only because of it."""

    @property
    def names(self) -> frozenset[str]:
        """The names of the packages that are left out."""
        return frozenset(package.name for package in self.omitted)
