"""Completion of ``--arg``: the arguments that a recipe, or a recipe that it extends, declares."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    Candidate = tuple[str, str]


def list_arguments(recipe: str) -> list[Candidate]:
    """Return ``NAME=`` of each argument of a recipe with its default, empty if it cannot be read.

    ``recipe`` is the operand of the command line; empty means the recipe of the working directory.
    """
    from pumice.cli.recipes.recipe_paths import find_recipe
    from pumice.errors import PumiceError
    from pumice.recipe.arguments import is_required
    from pumice.recipe.extend import RecipeLoader

    try:
        declared = RecipeLoader(str(find_recipe(recipe or None))).declared_arguments()
    except (OSError, PumiceError):
        return []
    return [
        (f"{name}=", "required" if is_required(default) else f"default: {default.text}")
        for name, default in declared.items()
    ]
