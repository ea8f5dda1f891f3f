"""``pumice slice missing``: list the packages that an image takes whole, and what they cost."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.cli.display import output, progress_modes, results
from pumice.cli.parsing import arguments as command_line
from pumice.cli.parsing import shared_options
from pumice.cli.recipes import slice_releases
from pumice.terminal import format_count

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence

    from pumice.assembly.slice_missing import WholePackage
    from pumice.recipe.model import Recipe
    from pumice.store.home import Home

_EPILOG = """The recipe is built first if it changed. Sizes are those of the files, uncompressed. The last
column lists the slices of the package in the release that the recipe uses: write those that you need under
'packages' instead of the package."""


def add_parser(parser: command_line.Parser) -> None:
    """Add the action to the parser of ``pumice slice``."""
    action = command_line.add_action(
        parser,
        "missing",
        run,
        "list the packages that an image contains whole",
        epilog=_EPILOG,
        examples=("pumice slice missing recipe.yaml",),
        progress=True,
    )
    from pumice.cli.recipes import recipe_paths

    recipe_paths.add_recipe_path(action)
    results.add_format_options(action, "slice missing", example="Package")
    shared_options.add_recipe_argument_option(action)
    shared_options.add_offline_option(action)


def run(options: argparse.Namespace) -> int:
    """Print the packages, the largest first."""
    from pumice.cli.recipes import recipe_paths
    from pumice.recipe.load import load_recipe

    recipe = load_recipe(recipe_paths.find_recipe(options.recipe), dict(options.recipe_arguments))
    with slice_releases.open_home() as home:
        whole = _find(options, recipe, home)
    results.write_result(whole, options.format, lambda: _format(whole))
    return 0


def _find(options: argparse.Namespace, recipe: Recipe, home: Home) -> list[WholePackage]:
    from pumice.assembly import locking
    from pumice.assembly.recipe_build import BuildSettings, build_recipe
    from pumice.assembly.slice_missing import find_whole_packages
    from pumice.formats import platforms
    from pumice.image.inventory import read_inventory

    settings = BuildSettings(
        architectures=locking.choose_architectures(recipe),
        offline=options.offline,
    )
    progress = progress_modes.make_progress(options.progress)
    build = build_recipe(recipe, settings, home, environ=os.environ, progress=progress)
    image = build.image.open(home)
    sizes: dict[tuple[str, str], int] = {}
    for architecture in build.image.platforms:
        inventory = read_inventory(image.select(platforms.from_debian(architecture)), home.records)
        sizes |= {(architecture, package.name): package.size for package in inventory.packages}
    omitted = {name: platform.omission.names for name, platform in build.image.platforms.items()}
    return find_whole_packages(recipe, build.lock, omitted, sizes, home)


def _format(whole: Sequence[WholePackage]) -> Iterator[str]:
    if not whole:
        yield "all packages are sliced"
        return
    total = sum(item.files_size for item in whole)
    count = format_count(len(whole), "package")
    rows = [
        (
            item.package,
            output.format_size(item.files_size),
            "yes" if item.named else "",
            " ".join(item.slices),
        )
        for item in whole
    ]
    yield output.format_table(("package", "files", "named", "slices of the release"), rows).rstrip("\n")
    yield f"{count} taken whole: {output.format_size(total)}"
