"""The options of ``build`` that add labels and annotations to those of the recipe."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.recipe.model import Recipe


def add_options(parser: argparse._ActionsContainer) -> None:
    """Add ``--label``, ``--annotation`` and ``--git-annotations``."""
    parser.add_argument(
        "--label",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="add a label to the image config (repeatable; replaces that of the recipe)",
    )
    parser.add_argument(
        "--annotation",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="add an annotation to the manifests and the index (repeatable; replaces that of the recipe)",
    )
    parser.add_argument(
        "--git-annotations",
        action="store_true",
        help="annotate the image with the commit and the remote of the git repository of the recipe",
    )


def override(recipe: Recipe, options: argparse.Namespace) -> Recipe:
    """Return the recipe with the labels and annotations of the command line.

    They become values of the recipe, so they are part of cache keys and provenance. Raises UsageError.
    """
    if not (options.label or options.annotation or options.git_annotations):
        return recipe
    labels = recipe.labels | _parse_pairs("--label", options.label)
    annotations = _parse_pairs("--annotation", options.annotation)
    if options.git_annotations:
        from pumice.assembly.git_annotations import read_git_annotations

        annotations = read_git_annotations(Path(recipe.path).parent, os.environ) | annotations
    return msgspec.structs.replace(recipe, labels=labels, annotations=recipe.annotations | annotations)


def _parse_pairs(option: str, texts: Sequence[str]) -> dict[str, str]:
    import re

    from pumice.recipe.grammar import LABEL

    pairs: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise UsageError(
                f"{option} needs NAME=VALUE, not {text[:100]!r}", hint=f"for example: {option} team=web"
            )
        if len(name) > LABEL.max_length or not re.fullmatch(LABEL.pattern, name):
            raise UsageError(f"{option}: {name[:100]!r} is not {LABEL.noun}", hint=LABEL.hint)
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"{option}: the value of {name!r} is not UTF-8", hint="write it in UTF-8"
            ) from None
        pairs[name] = value
    return pairs
