"""``pumice explain`` of slices: why a slice is in an image, and which slices bring a path."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.cli.display import output, results
from pumice.errors import PumiceError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Mapping, Sequence

    from pumice.recipe.load import EffectiveRecipe
    from pumice.recipe.lock import Lock
    from pumice.slices.explanation import SliceExplanation
    from pumice.slices.model import Release


def is_about_slices(text: str) -> bool:
    """Whether an argument is a slice, such as ``openssl_bins``, or a path; packages have no ``_``."""
    return text.startswith("/") or "_" in text


def is_sliced(package: str, lock: Lock) -> bool:
    """Whether a package is in the image of a lock only as slices."""
    return any(
        item.name == package and item.role == "slice"
        for packages in lock.packages.values()
        for item in packages
    )


def run(options: argparse.Namespace) -> int:
    """Print the explanation of the slice or path ``package`` of the options."""
    from pumice.assembly import locking
    from pumice.assembly.recipe_slices import load_recipe_release
    from pumice.recipe.load import load_effective
    from pumice.store.home import Home, locate

    result_format = results.check_template(options.format, "explain slice")
    effective = load_effective(options.recipe, dict(options.recipe_arguments))
    with Home(locate(os.environ)) as home:
        release = load_recipe_release(effective.recipe, home)
    requested = _locate_slices(effective)
    architecture, *_ = locking.choose_architectures(effective.recipe, options.archs)
    explanations = _explain(release, options.package, requested, architecture)
    results.write_result(explanations, result_format, lambda: _format(explanations, options.package))
    return 0


def _locate_slices(effective: EffectiveRecipe) -> dict[str, str]:
    """Return the slices that a recipe selects, with their places."""
    from pumice.formats.yaml import Scalar, Sequence, format_location

    packages = next((value for key, value in effective.root.items if key.text == "packages"), None)
    items = packages.items if isinstance(packages, Sequence) else ()
    places = {item.text.strip(): format_location(item) for item in items if isinstance(item, Scalar)}
    return {name: places.get(name, "") for name in effective.recipe.selected_slices}


def _explain(
    release: Release, text: str, requested: Mapping[str, str], architecture: str
) -> list[SliceExplanation]:
    from pumice.slices import closure
    from pumice.slices.explanation import explain_path, explain_slice

    if text.startswith("/"):
        selected = closure.select(release, requested, architecture)
        explanations = explain_path(release, text, selected, requested, architecture)
        if not explanations:
            hint = "'pumice files IMAGE' shows which package has a file"
            raise PumiceError(f"no slice of the recipe lists {text[:200]!r}", hint=hint)
        return explanations
    if "_" in text:
        closure.select(release, [text])  # raises UsageError for a slice that does not exist
        return [explain_slice(release, text, requested, architecture)]
    selected = closure.select(release, requested, architecture)
    names = sorted(item.full_name for item in selected if item.package == text)
    return [explain_slice(release, name, requested, architecture) for name in names]


def _format(explanations: Sequence[SliceExplanation], text: str) -> Iterator[str]:
    if text.startswith("/"):
        yield output.printable_line(text)
    for item in explanations:
        if not item.rule:
            yield item.slice
        else:
            shown = f" as {item.rule}" if item.rule.rstrip("/") != text.rstrip("/") else ""
            yield output.printable_line(f"  {item.slice} lists it{shown} ({item.where})")
        if item.presence == "absent":
            yield "  it is not in the image: the recipe does not select it, and no slice in it requires it"
        for step in item.chain:
            reason = f"{step.by} requires it" if step.by else "the recipe selects it"
            place = f" ({step.where})" if step.where else ""
            yield output.printable_line(f"  {step.slice}: {reason}{place}")
