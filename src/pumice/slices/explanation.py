"""Why a slice is selected, and which slices bring a path."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Literal

import msgspec

from pumice.packing import path_patterns as patterns
from pumice.packing.selection import merged_usr_path
from pumice.slices.selection import MANIFEST_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pumice.slices.model import Essential, PathRule, Release, Slice


class SliceStep(msgspec.Struct, frozen=True, kw_only=True):
    """A link of a chain: ``by`` requires ``slice``; it is empty for a slice that the recipe selects.

    ``where`` is the place in the definition or in the recipe.
    """

    slice: str
    by: str
    where: str


class SliceExplanation(msgspec.Struct, frozen=True, kw_only=True):
    """Why a slice is in an image. ``chain`` leads from the recipe to it; it is empty if it is not there.

    ``path`` is the path in the image that was asked for, and ``rule`` the item of the slice that brings it,
    with its place ``where``; they are empty if a slice was asked for.
    """

    slice: str
    presence: Literal["selected", "absent"]
    chain: tuple[SliceStep, ...] = ()
    path: str = ""
    rule: str = ""
    where: str = ""


def explain_slice(
    release: Release, name: str, requested: Mapping[str, str], architecture: str
) -> SliceExplanation:
    """Return why a slice is selected; ``requested`` are the slices of the recipe with their places."""
    chain = _find_chain(release, name, requested, architecture)
    return SliceExplanation(slice=name, presence="selected" if chain else "absent", chain=chain)


def explain_path(
    release: Release,
    path: str,
    selected: Iterable[Slice],
    requested: Mapping[str, str],
    architecture: str,
) -> list[SliceExplanation]:
    """Return the selected slices that list a path of an image, which has a merged ``/usr``."""
    return [
        msgspec.structs.replace(
            explain_slice(release, item.full_name, requested, architecture),
            path=path,
            rule=rule.path,
            where=release.location(rule, item.package),
        )
        for item in selected
        for rule in item.contents
        if rule.applies_to(architecture) and _brings(rule, path)
    ]


def _brings(rule: PathRule, path: str) -> bool:
    merged_path = _merge(path)
    if rule.kind == "generate":
        return merged_path == _merge(rule.path.removesuffix("**") + MANIFEST_NAME)
    if rule.kind == "glob":
        return patterns.matches(_merge(rule.path), merged_path)
    return _merge(rule.path).rstrip("/") == merged_path.rstrip("/")


def _merge(path: str) -> str:
    return "/" + merged_usr_path(path.lstrip("/"))


def _find_chain(
    release: Release, name: str, requested: Mapping[str, str], architecture: str
) -> tuple[SliceStep, ...]:
    """Return the shortest chain from a slice of the recipe to ``name``; empty if there is none."""
    steps: dict[str, SliceStep] = {}
    pending: deque[str] = deque()
    for full_name, where in sorted(requested.items()):
        steps[full_name] = SliceStep(slice=full_name, by="", where=where)
        pending.append(full_name)
    while pending and name not in steps:
        item = release.find_slice(pending.popleft())
        for essential in _applicable(item.essential if item else (), architecture):
            if item is not None and essential.name not in steps:
                where = release.location(essential, item.package)
                steps[essential.name] = SliceStep(slice=essential.name, by=item.full_name, where=where)
                pending.append(essential.name)
    chain: list[SliceStep] = []
    step = steps.get(name)
    while step is not None:
        chain.append(step)
        step = steps.get(step.by)
    return tuple(reversed(chain))


def _applicable(essentials: Sequence[Essential], architecture: str) -> list[Essential]:
    return [item for item in essentials if not item.architectures or architecture in item.architectures]
