"""The differences between two locks, for display."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.recipe.lock import Lock, LockedPackage


class LockChange(msgspec.Struct, frozen=True, order=True):
    """A package that differs, or the lock's format, which has no architectures.

    ``old_version`` is empty for a package that was added, ``new_version`` for one that was removed.
    """

    name: str
    old_version: str
    new_version: str
    architectures: tuple[str, ...]

    def __str__(self) -> str:
        suffix = f" ({', '.join(self.architectures)})" if self.architectures else ""
        if not self.old_version:
            return f"{self.name} {self.new_version} added{suffix}"
        if not self.new_version:
            return f"{self.name} {self.old_version} removed{suffix}"
        if self.old_version == self.new_version:
            return f"{self.name} {self.new_version} has different content{suffix}"
        return f"{self.name} {self.old_version} -> {self.new_version}{suffix}"


def diff_locks(old_lock: Lock, new_lock: Lock) -> tuple[LockChange, ...]:
    """Return the differences that can change an image: the format, then packages by name."""
    formats = (LockChange("format", str(old_lock.format), str(new_lock.format), ()),)
    return (
        *(formats if old_lock.format != new_lock.format else ()),
        *diff_packages(old_lock.packages, new_lock.packages),
    )


def diff_packages(
    old_packages: Mapping[str, Sequence[LockedPackage]], new_packages: Mapping[str, Sequence[LockedPackage]]
) -> tuple[LockChange, ...]:
    """Return the packages that differ, by name; a difference on several architectures is listed once."""
    architectures_by_change: dict[tuple[str, str, str], list[str]] = {}
    for architecture in sorted({*old_packages, *new_packages}):
        old_by_name = {
            (package.name, package.role): package for package in old_packages.get(architecture, ())
        }
        new_by_name = {
            (package.name, package.role): package for package in new_packages.get(architecture, ())
        }
        for name, role in sorted({*old_by_name, *new_by_name}):
            old_package, new_package = old_by_name.get((name, role)), new_by_name.get((name, role))
            if (
                old_package
                and new_package
                and (old_package.version, old_package.sha256) == (new_package.version, new_package.sha256)
            ):
                continue
            key = name, old_package.version if old_package else "", new_package.version if new_package else ""
            architectures_by_change.setdefault(key, []).append(architecture)
    return tuple(
        LockChange(*key, tuple(architectures))
        for key, architectures in sorted(architectures_by_change.items())
    )
