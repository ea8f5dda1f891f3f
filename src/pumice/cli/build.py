"""``pumice build``: build the image of a recipe."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.assembly.recipe_build import build_recipe
from pumice.cli.display import progress_modes
from pumice.cli.image_access import keyless_options, registries, signing
from pumice.cli.parsing import arguments as command_line
from pumice.cli.parsing import shared_options
from pumice.cli.recipes import build_annotations, build_delivery, build_result, recipe_paths
from pumice.cli.recipes.build_plan import make_plan
from pumice.errors import UsageError
from pumice.store.home import Home, locate

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_EPILOG = """The image is stored as name:version in the local store, under each -t, and written to each DEST:
oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:TAG], tar:FILE, dir:DIR or
docker://HOST/NAME[:TAG]; - as FILE is standard output. The lock is in the directory of the recipe, and is
written if it is missing or stale. The digest of the image is printed on standard output, or on standard
error if the image is written there; a summary is printed on standard error.

With several recipes, or with a pattern such as 'images/*', a line DIGEST RECIPE is printed for each image,
in their order. A recipe that fails does not stop the others; the exit code is that of the first failure.
In DEST, {name} is the last part of the image's name, and {version} its version."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice build``."""
    parser = command_line.make_parser(
        "build",
        "Build an image from a recipe.",
        epilog=_EPILOG,
        examples=(
            "pumice build",
            "pumice build recipe.yaml -o oci-archive:hello.tar",
            "pumice build --platform linux/amd64,linux/arm64 -t hello:dev",
            "pumice build base 'images/*' -o 'oci-archive:out/{name}.tar'",
        ),
    )
    recipe_paths.add_recipe_paths(parser)
    shared_options.add_quiet_option(parser)
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_true",
        help="also print the notes of the checks, and list the layers in the summary",
    )
    shared_options.add_recipe_argument_option(parser)
    shared_options.add_platform_options(parser)
    parser.add_argument("--report", metavar="FILE", type=Path, help="write a report of the build, as JSON")
    parser.add_argument("--digest-file", metavar="FILE", type=Path, help="write the digest to FILE as well")
    _add_check_options(parser.add_argument_group("checks"))
    _add_destination_options(parser.add_argument_group("destinations"))
    build_annotations.add_options(parser.add_argument_group("labels and annotations"))
    _add_package_options(parser.add_argument_group("packages"))
    _add_signing_options(parser.add_argument_group("signing"))
    registries.options(parser)
    _add_foreign_options(parser)
    return parser


def _add_check_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--strict", action="store_true", help="fail if the checks of the image give a warning")
    group.add_argument(
        "--rounds",
        type=_parse_rounds,
        default=1,
        metavar="N",
        help="run the commands of 'generate' N times in different environments, and fail if the files that "
        "they write differ (default: 1)",
    )


def _add_destination_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-o",
        "--output",
        action="append",
        default=[],
        metavar="DEST",
        help="write the image to DEST too (repeatable)",
    )
    group.add_argument(
        "-t",
        "--tag",
        action="append",
        default=[],
        metavar="NAME[:TAG]",
        help="store the image under this name too (repeatable; default TAG: the version of the recipe)",
    )
    group.add_argument(
        "--push",
        action="store_true",
        help="push the image to each -t with a registry host, or else to its name",
    )
    group.add_argument("--no-store", action="store_true", help="do not name the image in the local store")
    group.add_argument(
        "--referrers-in-index",
        action="store_true",
        help="list SBOM and provenance in a layout's index.json, for oras and cosign",
    )


def _add_package_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--locked", action="store_true", help="fail if the lock is missing or stale")
    shared_options.add_offline_option(group)
    shared_options.add_bundle_option(group)


def _add_signing_options(group: argparse._ArgumentGroup) -> None:
    key_group = group.add_mutually_exclusive_group()
    key_group.add_argument(
        "--sign",
        metavar="KEY",
        help="sign the image, SBOM and provenance with this key: a file, or a name from 'pumice key list'; "
        "with an OpenPGP key or gpg:ID, sign the archives that are written",
    )
    key_group.add_argument(
        "--no-sign", action="store_true", help="do not sign, even if the configuration names a key"
    )
    signing.add_passphrase_option(group)
    keyless_options.add_options(group)


def _add_foreign_options(parser: argparse.ArgumentParser) -> None:
    command_line.add_foreign_option(
        parser,
        "--no-cache",
        hint="nothing is stale: results are kept by the digests of what they are made from; 'pumice gc --all'"
        " empties the cache",
        takes_value=False,
    )
    command_line.add_foreign_option(
        parser, "-f", "--file", hint="name the recipe without an option: pumice build RECIPE"
    )


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    started = time.monotonic()
    options = parser().parse_args(arguments)
    _check_paths(options)
    selection = recipe_paths.find_recipes(options.recipes)
    progress = progress_modes.make_progress(options.progress)
    if selection.is_list:
        from pumice.cli.recipes import build_list

        return build_list.build_all(options, selection.paths, progress)
    plan = make_plan(options, selection.paths[0])
    with Home(locate(os.environ), progress=progress) as home:
        keys = build_delivery.choose_keys(options, plan)
        build = build_recipe(plan.recipe, plan.settings, home, environ=os.environ, progress=progress)
        outcome = build_delivery.deliver(options, plan, keys, build, home, progress, started=started)
    digest = outcome.image.root.digest
    if options.digest_file:
        from pumice.image.output import write_file

        write_file(options.digest_file, digest.encode() + b"\n")
    if options.progress != "none":
        progress.finish(build_result.summarize(outcome, verbose=options.verbose))
    is_piped = any(destination.address.path == "-" for destination in plan.destinations)
    print(digest, file=sys.stderr if is_piped else sys.stdout)
    return 0


def _parse_rounds(text: str) -> int:
    from pumice.assembly.recipe_build import MAX_ROUNDS

    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:3]) <= MAX_ROUNDS:
        raise UsageError(f"{text[:40]!r} is not a number of rounds", hint=f"from 1 to {MAX_ROUNDS}")
    return int(text)


def _check_paths(options: argparse.Namespace) -> None:
    for option, path in (("--report", options.report), ("--digest-file", options.digest_file)):
        if path is None:
            continue
        if str(path) == "-":
            raise UsageError(f"{option} needs a file", hint="standard output is for the digest or the image")
        from pumice.image.output import check_file

        check_file(path)
