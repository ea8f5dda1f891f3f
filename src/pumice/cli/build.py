"""``pumice build``: build the image of a recipe."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.assembly import locking
from pumice.assembly.context import read_source_date_epoch
from pumice.assembly.recipe_build import BuildSettings, build_recipe
from pumice.cli import arguments as command_line
from pumice.cli import output, registries, signing
from pumice.errors import ImageError, TrustError, UsageError
from pumice.recipe.load import load_recipe
from pumice.store.home import Home, locate

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.assembly.image import BuiltImage
    from pumice.assembly.signing import SigningKey
    from pumice.cli.signing import ArchivesToSign
    from pumice.image.transports.locations import Location
    from pumice.progress import Progress
    from pumice.recipe.model import Recipe

_MAX_ROUNDS = 10
_EPILOG = """DEST is oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:TAG], tar:FILE, dir:DIR or
docker://HOST/NAME[:TAG]; - as FILE is standard output. Without -o the image is stored in the local store as
name:version. The lock is in the directory of the recipe, and is written if it is missing or stale. The
digest of the image is printed on standard output, or on standard error if the image is written there."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice build``."""
    parser = command_line.make_parser(
        "build",
        "Build an image from a recipe.",
        epilog=_EPILOG,
        examples=(
            "pumice build recipe.yaml",
            "pumice build recipe.yaml -o oci-archive:hello.tar",
            "pumice build recipe.yaml --platform linux/amd64 --platform linux/arm64",
        ),
    )
    parser.add_argument("recipe", metavar="RECIPE", type=Path, help="recipe file")
    parser.add_argument(
        "-o", "--output", action="append", default=[], metavar="DEST", help="where to write the image"
    )
    command_line.add_recipe_argument_option(parser)
    command_line.add_platform_options(parser)
    sources = parser.add_argument_group("packages")
    sources.add_argument("--locked", action="store_true", help="fail if the lock is missing or stale")
    command_line.add_offline_option(sources)
    command_line.add_bundle_option(sources)
    parser.add_argument(
        "--referrers-in-index",
        action="store_true",
        help="list SBOM and provenance in a layout's index.json, for oras and cosign",
    )
    parser.add_argument(
        "--rounds",
        type=_parse_rounds,
        default=1,
        metavar="N",
        help="run the commands of 'generate' N times in different surroundings, and fail if the files that "
        "they write differ (default: 1)",
    )
    parser.add_argument("--report", metavar="FILE", type=Path, help="write a report of the build, as JSON")
    signing_group = parser.add_argument_group("signing")
    key_group = signing_group.add_mutually_exclusive_group()
    key_group.add_argument(
        "--sign",
        metavar="KEY",
        help="sign the image, SBOM and provenance with this key: a file, or a name from 'key list'; with an "
        "OpenPGP key or gpg:ID, sign the archives that are written",
    )
    key_group.add_argument(
        "--no-sign", action="store_true", help="do not sign, even if the configuration names a key"
    )
    signing.add_passphrase_option(signing_group)
    parser.add_argument("--digest-file", metavar="FILE", type=Path, help="write the digest to FILE as well")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    _check_paths(options)
    destinations = _parse_destinations(options.output)
    source_date_epoch = read_source_date_epoch(os.environ)
    progress = output.make_progress(options.progress)
    recipe = load_recipe(options.recipe, dict(options.recipe_arguments))
    settings = BuildSettings(
        architectures=locking.choose_architectures(recipe, options.archs),
        locked=options.locked,
        offline=options.offline,
        bundle=options.bundle,
        rounds=options.rounds,
        source_date_epoch=source_date_epoch,
    )
    if destinations:
        from pumice.assembly import image_writer

        image_writer.check_destinations(destinations, recipe, settings.architectures)
    name = f"{recipe.name}:{recipe.version}"
    with Home(locate(os.environ), progress=progress) as home:
        key, files = _choose_keys(options, recipe, destinations)
        image = _build(options, recipe, settings, home, progress)
        if key:
            from pumice.assembly import signing as signed

            names = signed.registry_names(destinations, recipe.version)
            signed.sign_image(image, name, key, home, time=signing.signing_time(), registries=names)
        if destinations:
            with registries.access(home, progress, stdout=sys.stdout.buffer) as access:
                image_writer.write_image(
                    image, recipe, destinations, access, referrers_in_index=options.referrers_in_index
                )
            if files:
                files.sign(source_date_epoch)
        if not options.output:
            image.save(name, home)
    is_piped = any(destination.address.path == "-" for destination in destinations)
    if options.digest_file:
        _write(options.digest_file, image.root.digest.encode() + b"\n")
    print(image.root.digest, file=sys.stderr if is_piped else sys.stdout)
    return 0


def _choose_keys(
    options: argparse.Namespace,
    recipe: Recipe,
    destinations: Sequence[Location],
) -> tuple[SigningKey | None, ArchivesToSign | None]:
    """Return the key to sign the image with, or the archives to sign, before the build starts."""
    if options.no_sign:
        return None, None
    if options.sign:
        return signing.choose_key(options.sign, options.passphrase_file, destinations)
    from pumice.recipe import config

    section = config.load_config(os.environ).find_signing(recipe.name)
    if section is None:
        return None, None
    passphrase_file = Path(section.passphrase_file) if section.passphrase_file else None
    try:
        return signing.choose_key(section.key, options.passphrase_file or passphrase_file, destinations)
    except TrustError as error:
        raise TrustError(error.message, where=section.location, hint=error.hint) from None


def _parse_rounds(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:3]) <= _MAX_ROUNDS:
        raise UsageError(f"{text[:40]!r} is not a number of rounds", hint=f"from 1 to {_MAX_ROUNDS}")
    return int(text)


def _check_paths(options: argparse.Namespace) -> None:
    for option, path in (("--report", options.report), ("--digest-file", options.digest_file)):
        if path and str(path) == "-":
            raise UsageError(f"{option} needs a file", hint="standard output is for the digest or the image")
        if path and path.is_dir():
            raise ImageError(f"{option} needs a file: '{path}' is a directory", hint="add a file name")
        if path and not path.parent.is_dir():
            raise ImageError(
                f"{option}: the directory '{path.parent}' does not exist", hint="create it first"
            )


def _parse_destinations(texts: Sequence[str]) -> list[Location]:
    if not texts:
        return []
    from pumice.image.transports import references

    return [references.parse_destination(text) for text in texts]


def _build(
    options: argparse.Namespace,
    recipe: Recipe,
    settings: BuildSettings,
    home: Home,
    progress: Progress,
) -> BuiltImage:
    build = build_recipe(recipe, settings, home, environ=os.environ, progress=progress)
    image = build.image
    if options.report:
        from pumice.assembly.report import encode_report

        _write(options.report, encode_report(recipe, build.lock, image))
    if any(platform.skipped_actions for platform in image.platforms.values()):
        _summarize_skipped_actions(image, str(options.report or ""), progress)
    return image


def _summarize_skipped_actions(image: BuiltImage, report_path: str, progress: Progress) -> None:
    from pumice.assembly.report import summarize_skipped_actions

    skipped = summarize_skipped_actions(image.platforms.values(), report_path)
    if skipped:
        (progress.note if skipped.is_minor else progress.warn)(skipped.summary)


def _write(path: Path, data: bytes) -> None:
    from pumice.image.output import Output

    with Output(str(path)) as out:
        out.file.write(data)
