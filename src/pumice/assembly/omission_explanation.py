"""Why the last build left a package out, or kept it although the table of install tools lists it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.assembly.image import platform_inputs
from pumice.assembly.omission import find_cached_decision
from pumice.assembly.recipe_files import read_recipe_files
from pumice.omission.reasons import describe_omission, describe_use

if TYPE_CHECKING:
    from pumice.recipe.lock import Lock
    from pumice.recipe.model import Recipe
    from pumice.resolve.explain import Explanation
    from pumice.store.home import Home

_UNKNOWN = "the next build leaves it out if nothing in the image uses it"


def explain_omission(explanation: Explanation, recipe: Recipe, lock: Lock, home: Home) -> Explanation:
    """Return ``explanation`` with what builds decided about an installed package."""
    architecture, name = explanation.architecture, explanation.package
    rows = (*lock.omittable.get(architecture, ()), *lock.without.get(architecture, ()))
    if explanation.presence != "installed" or not rows:
        return explanation
    files = read_recipe_files(recipe.files, Path(recipe.path).parent, lock.format)
    inputs = platform_inputs(recipe, lock, architecture, files, lock.ids)
    decision = find_cached_decision(inputs, home)
    if decision is None:
        return msgspec.structs.replace(explanation, omission=_UNKNOWN) if name in rows else explanation
    for package in decision.omitted:
        if package.name == name:
            return msgspec.structs.replace(
                explanation,
                presence="omitted",
                omission=describe_omission(package),
                unused_by=tuple(map(describe_use, package.unused_by)),
            )
    uses = [use for use in decision.kept if use.package == name]
    return msgspec.structs.replace(explanation, omission=describe_use(uses[0])) if uses else explanation
