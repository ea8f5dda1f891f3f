"""The difference between two locks, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.recipe.lock import Lock, LockedPackage


class Change(msgspec.Struct, frozen=True, order=True):
    """One package that differs; ``old`` or ``new`` is empty where it comes or goes.

    Without architectures it is the lock's format.
    """

    name: str
    old: str
    new: str
    architectures: tuple[str, ...]

    def __str__(self) -> str:
        where = f" ({', '.join(self.architectures)})" if self.architectures else ""
        if not self.old:
            return f"{self.name} {self.new} is new{where}"
        if not self.new:
            return f"{self.name} {self.old} goes{where}"
        if self.old == self.new:
            return f"{self.name} {self.new} has other content{where}"
        return f"{self.name} {self.old} -> {self.new}{where}"


def lock_changes(old: Lock, new: Lock) -> tuple[Change, ...]:
    """Return what differs between two locks and can change an image: the format, and packages by name."""
    formats = (Change("format", str(old.format), str(new.format), ()),)
    return (*(formats if old.format != new.format else ()), *changes(old.packages, new.packages))


def changes(
    old: Mapping[str, Sequence[LockedPackage]], new: Mapping[str, Sequence[LockedPackage]]
) -> tuple[Change, ...]:
    """Return what differs between two locks' packages, by name; equal on several architectures, once."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for architecture in sorted({*old, *new}):
        before = {(package.name, package.role): package for package in old.get(architecture, ())}
        after = {(package.name, package.role): package for package in new.get(architecture, ())}
        for name, role in sorted({*before, *after}):
            mine, theirs = before.get((name, role)), after.get((name, role))
            if mine and theirs and (mine.version, mine.sha256) == (theirs.version, theirs.sha256):
                continue
            key = name, mine.version if mine else "", theirs.version if theirs else ""
            found.setdefault(key, []).append(architecture)
    return tuple(Change(*key, tuple(architectures)) for key, architectures in sorted(found.items()))
