"""The cache of effects: applied once for the same packages, settings and files that they read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.assembly.cache import Cache
from pumice.packing import effects
from pumice.packing.effects import AppliedEffects

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pumice.assembly.draft_tree import DraftTree
    from pumice.digest import Digest
    from pumice.packing.tree import Tree
    from pumice.store.home import Home


class _CachedOutcome(msgspec.Struct, frozen=True):
    """An outcome, and the digests of the recipe's files that effects read for it, by path."""

    outcome: AppliedEffects
    read_digests: dict[str, str]


_CACHE = Cache("effects", _CachedOutcome)


def apply_effects(
    settings: effects.EffectSettings,
    segment_keys: Mapping[str, Digest],
    tree: Tree,
    draft: DraftTree | None,
    home: Home,
) -> AppliedEffects:
    """Return what effects add to ``draft``, or to ``tree`` for a lock format whose effects see no files.

    ``segment_keys``, by package name, stand for everything in the packages, their scripts and fields
    included. Of the recipe's own files the key holds only what effects can see without reading them,
    so that a change in a program does not apply effects again.
    """
    key = _CACHE.key(settings, segment_keys, draft.visible_attributes() if draft else None)
    cached = _CACHE.get(home, key)
    if cached and (draft is None or draft.matches_digests(cached.read_digests)):
        return cached.outcome
    outcome = effects.apply(draft.tree if draft else tree, settings)
    _CACHE.put(home, key, _CachedOutcome(outcome, draft.read_digests() if draft else {}))
    return outcome
