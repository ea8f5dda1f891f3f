"""Compares two releases: packages, slices, and what slices list, require and run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pumice.slices.model import PathRule, Release, Slice

ChangeKind = Literal["added", "removed", "changed"]


class SliceChange(msgspec.Struct, frozen=True, kw_only=True):
    """A slice that differs: paths with the signs ``+``, ``-`` and ``~`` (other options), and the same of what
    it requires. ``mutate`` says whether its script is another one.
    """

    slice: str
    kind: ChangeKind
    paths: tuple[str, ...] = ()
    essential: tuple[str, ...] = ()
    mutate: bool = False
    hint: bool = False


class ReleaseDifference(msgspec.Struct, frozen=True, kw_only=True):
    """All differences between two releases."""

    added_packages: tuple[str, ...]
    removed_packages: tuple[str, ...]
    slices: tuple[SliceChange, ...]


def compare_releases(old: Release, new: Release) -> ReleaseDifference:
    """Return what differs from ``old`` in ``new``, by name; where definitions are in files does not count."""
    return ReleaseDifference(
        added_packages=tuple(sorted(new.packages.keys() - old.packages.keys())),
        removed_packages=tuple(sorted(old.packages.keys() - new.packages.keys())),
        slices=tuple(_compare_slices(old, new)),
    )


def _compare_slices(old: Release, new: Release) -> Iterator[SliceChange]:
    old_slices = {item.full_name: item for item in old.all_slices()}
    new_slices = {item.full_name: item for item in new.all_slices()}
    for name in sorted(old_slices.keys() | new_slices.keys()):
        before, after = old_slices.get(name), new_slices.get(name)
        if before is None or after is None:
            yield SliceChange(slice=name, kind="removed" if before else "added")
            continue
        change = SliceChange(
            slice=name,
            kind="changed",
            paths=_compare(_paths(before), _paths(after)),
            essential=_compare(_essential(before), _essential(after)),
            mutate=before.mutate != after.mutate,
            hint=before.hint != after.hint,
        )
        if change.paths or change.essential or change.mutate or change.hint:
            yield change


def _paths(item: Slice) -> dict[str, PathRule]:
    return {rule.path: msgspec.structs.replace(rule, line=0, column=0) for rule in item.contents}


def _essential(item: Slice) -> dict[str, tuple[str, ...]]:
    return {essential.name: essential.architectures for essential in item.essential}


def _compare(old: Mapping[str, object], new: Mapping[str, object]) -> tuple[str, ...]:
    signs = dict.fromkeys(new.keys() - old.keys(), "+")
    signs |= dict.fromkeys(old.keys() - new.keys(), "-")
    signs |= {name: "~" for name in old.keys() & new.keys() if old[name] != new[name]}
    return tuple(f"{signs[name]}{name}" for name in sorted(signs))
