"""What effects add to an image: applied once for the same packages, settings and files that they read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.assembly import cache
from pumice.cache_keys import cache_key
from pumice.packing import effects
from pumice.packing.effects import AppliedEffects

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pumice.assembly.draft_tree import DraftTree
    from pumice.digest import Digest
    from pumice.packing.tree import Tree
    from pumice.store.home import Home

_KIND = "effects"


class _CachedOutcome(msgspec.Struct, frozen=True):
    """An outcome, and the contents of the recipe's files that it depends on (digests by path)."""

    outcome: AppliedEffects
    read_digests: dict[str, str]


def apply_effects(
    settings: effects.EffectSettings,
    keys: Mapping[str, Digest],
    tree: Tree,
    draft: DraftTree | None,
    home: Home,
) -> AppliedEffects:
    """Return what effects add to ``tree``, or to ``draft`` if they see the recipe's own files.

    ``keys`` are what the packages' segments are kept under: those say everything about them, also what
    their scripts and fields are. Of the recipe's own files the key has only what can be seen without
    reading them, so that a change in a program does not mean applying effects again.
    """
    key = cache_key("effects", settings, keys, draft.visible_attributes() if draft else None)
    cached = cache.recall(home, _KIND, key, _CachedOutcome)
    if cached and (draft is None or draft.matches_digests(cached.read_digests)):
        return cached.outcome
    outcome = effects.apply(draft.tree if draft else tree, settings)
    cache.remember(home, _KIND, key, _CachedOutcome(outcome, draft.read_digests() if draft else {}))
    return outcome
