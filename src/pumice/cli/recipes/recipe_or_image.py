"""What commands share that take a recipe, which is built, or a reference to an image."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pumice import files
from pumice.cli.image_access import reading, registries
from pumice.cli.parsing import shared_options
from pumice.cli.recipes import recipe_paths
from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator
    from pathlib import Path

    from pumice.assembly.recipe_build import BuildSettings
    from pumice.cli.parsing.arguments import OptionGroup, Parser
    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.recipe.model import Recipe
    from pumice.store.home import Home
    from pumice.trust.admission import AdmissionRequest


def add_target(parser: Parser, action: str) -> None:
    """Add the argument ``target``; ``action`` is what the command does with the image."""
    parser.add_argument(
        "target",
        metavar="RECIPE|REF",
        nargs="?",
        default=".",
        help=f"recipe file or its directory, or image to {action} (default: .)",
    )


def add_options(parser: Parser) -> None:
    """Add the options for the recipe that is built, and for the image that is run."""
    recipe = parser.add_argument_group("recipe")
    shared_options.add_recipe_argument_option(recipe)
    recipe.add_argument("--locked", action="store_true", help="fail if the lock is missing or stale")
    shared_options.add_offline_option(recipe)
    reading.platform_option(parser)
    admission = parser.add_argument_group("admission")
    admission.add_argument(
        "--as", dest="name", default="", metavar="NAME", help="require that the image is signed as NAME"
    )
    shared_options.add_admission_options(admission, "run the image")
    registries.options(parser)


def add_run_options(group: OptionGroup, *, network_of: str, limited: str) -> None:
    """Add ``--network`` and ``--timeout`` for the commands that run in the image."""
    group.add_argument(
        "--network",
        choices=("none", "host"),
        default="none",
        metavar="NET",
        help=f"network of {network_of}: none but loopback, or host (default: none)",
    )
    group.add_argument(
        "--timeout",
        type=int,
        default=60,
        metavar="SECONDS",
        help=f"time limit of {limited} (default: 60)",
    )


def find_recipe(target: str) -> Path | None:
    """Return the path of a recipe, which may be that of a directory; None for a reference to an image."""
    if files.is_directory(target):
        from pumice.store.home import Home, locate

        with Home(locate(os.environ)) as home:
            is_image = target in {name.rpartition(":")[0] for name in home.refs.names()}
        is_layout = files.is_file(f"{target}/oci-layout")
        return None if is_image or is_layout else recipe_paths.find_recipe(target)
    is_file = target.endswith((".yaml", ".yml")) or files.is_file(target)
    return recipe_paths.find_recipe(target) if is_file else None


def load_recipe(options: argparse.Namespace) -> Recipe | None:
    """Return the recipe at ``recipe_path`` of the options, None without one; raises RecipeError."""
    if options.recipe_path is None:
        if options.recipe_arguments or options.locked or options.offline:
            hint = f"leave them out, or name a recipe instead of {options.target[:200]!r}"
            raise UsageError("--arg, --locked and --offline need a recipe, not an image", hint=hint)
        return None
    from pumice.recipe import load

    return load.load_recipe(options.recipe_path, dict(options.recipe_arguments))


def build_settings(options: argparse.Namespace, recipe: Recipe) -> BuildSettings:
    """Return how to build ``recipe``, by the options ``platform``, ``locked`` and ``offline``."""
    from pumice.assembly import locking
    from pumice.assembly.context import read_source_date_epoch
    from pumice.assembly.recipe_build import BuildSettings
    from pumice.formats import platforms

    architecture = (
        (platforms.to_debian(platforms.parse_platform(options.platform)),) if options.platform else ()
    )
    return BuildSettings(
        architectures=locking.choose_architectures(recipe, architecture),
        locked=options.locked,
        offline=options.offline,
        source_date_epoch=read_source_date_epoch(os.environ),
    )


@contextmanager
def open_image(
    options: argparse.Namespace, recipe: Recipe | None, home: Home, progress: Progress
) -> Iterator[Image]:
    """Give the image of the reference ``target``, or that of the recipe, which is built now."""
    if recipe is None:
        with registries.open_image(options.target, home, progress, options=options) as image:
            yield image
        return
    from pumice.assembly.recipe_build import build_recipe

    settings = build_settings(options, recipe)
    build = build_recipe(recipe, settings, home, environ=os.environ, progress=progress)
    yield build.image.open(home)


def admission_request(options: argparse.Namespace, image: Image) -> AdmissionRequest:
    """Return the request to run an image; one that was built now has no name yet."""
    from pumice.trust.admission import AdmissionRequest

    return AdmissionRequest(
        reference=image.root.digest if options.recipe_path else options.target,
        name=options.name,
        allow_older=options.allow_older,
    )
