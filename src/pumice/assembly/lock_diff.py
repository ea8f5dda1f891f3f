"""The differences between two locks, for display."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.terminal import format_count

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from pumice.recipe.lock import Lock, LockedPackage


class LockUpdate(msgspec.Struct, frozen=True):
    """A lock that was written to ``path``, and the one that was there before.

    ``reason`` says why the old lock did not fit, empty if it was upgraded on request.
    """

    path: Path
    old_lock: Lock | None
    new_lock: Lock
    reason: str = ""

    def __str__(self) -> str:
        if self.old_lock is None:
            return f"wrote {self.path}: {count_packages(self.new_lock)}"
        changes = diff_locks(self.old_lock, self.new_lock)
        if not self.reason and not changes:
            return f"{self.path} is up to date: {count_packages(self.new_lock)}"
        head = f"{self.reason}; updated" if self.reason else "updated"
        return f"{head} {self.path} ({count_changes(changes) or 'no package changed'})"


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


def count_packages(lock: Lock) -> str:
    """Return how many packages are pinned for each architecture, and how many of them are base data only."""
    counts = [(architecture, len(packages)) for architecture, packages in lock.packages.items()]
    texts = [f"{count} ({architecture})" for architecture, count in counts]
    if counts:
        architecture, count = counts[0]
        texts[0] = f"{format_count(count, 'package')} pinned ({architecture})"
    base_data = max(
        (sum(package.role == "base-data" for package in packages) for packages in lock.packages.values()),
        default=0,
    )
    note = f"; {base_data} of them for base data only" if base_data else ""
    return ", ".join(texts) + note


def count_changes(changes: Iterable[LockChange]) -> str:
    """Return how many packages were added, removed and changed, such as ``+2, -1, 3 upgraded``."""
    from pumice.distro.versions import compare_versions

    counts = dict.fromkeys(("+", "-", "upgraded", "downgraded", "with different content", "format"), 0)
    for change in changes:
        if not change.architectures:
            counts["format"] += 1
        elif not change.old_version:
            counts["+"] += 1
        elif not change.new_version:
            counts["-"] += 1
        elif change.old_version == change.new_version:
            counts["with different content"] += 1
        else:
            is_newer = compare_versions(change.new_version, change.old_version) > 0
            counts["upgraded" if is_newer else "downgraded"] += 1
    return ", ".join(_format_count(kind, count) for kind, count in counts.items() if count)


def _format_count(kind: str, count: int) -> str:
    if kind == "format":
        return "new format"
    return f"{kind}{count}" if len(kind) == 1 else f"{count} {kind}"
