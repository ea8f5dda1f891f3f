"""``pumice build``: build the image of a recipe."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.assembly import locking
from pumice.assembly.build_summary import summarize_platforms
from pumice.assembly.context import read_source_date_epoch
from pumice.assembly.recipe_build import BuildSettings, build_recipe
from pumice.cli import arguments as command_line
from pumice.cli import build_annotations, build_result, findings, output, recipes, registries, signing
from pumice.errors import ImageError, TrustError, UsageError
from pumice.recipe.load import load_recipe
from pumice.store.home import Home, locate

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from pumice.assembly.image import BuiltImage
    from pumice.assembly.recipe_build import RecipeBuild
    from pumice.assembly.signing import SigningKey
    from pumice.cli.signing import ArchivesToSign
    from pumice.image.transports.locations import Location
    from pumice.progress import Progress
    from pumice.recipe.model import Recipe

_EPILOG = """The image is stored as name:version in the local store, under each -t, and written to each DEST:
oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:TAG], tar:FILE, dir:DIR or
docker://HOST/NAME[:TAG]; - as FILE is standard output. The lock is in the directory of the recipe, and is
written if it is missing or stale. The digest of the image is printed on standard output, or on standard
error if the image is written there; a summary is printed on standard error."""


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
        ),
    )
    recipes.add_recipe_path(parser)
    command_line.add_quiet_option(parser)
    parser.add_argument("-v", "--verbose", action="store_true", help="list the layers in the summary too")
    command_line.add_recipe_argument_option(parser)
    command_line.add_platform_options(parser)
    parser.add_argument("--report", metavar="FILE", type=Path, help="write a report of the build, as JSON")
    parser.add_argument("--digest-file", metavar="FILE", type=Path, help="write the digest to FILE as well")
    _add_check_options(parser.add_argument_group("checks"))
    _add_destination_options(parser.add_argument_group("destinations"))
    build_annotations.add_options(parser.add_argument_group("labels and annotations"))
    sources = parser.add_argument_group("packages")
    sources.add_argument("--locked", action="store_true", help="fail if the lock is missing or stale")
    command_line.add_offline_option(sources)
    command_line.add_bundle_option(sources)
    _add_signing_options(parser.add_argument_group("signing"))
    registries.options(parser)
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
    return parser


def _add_check_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--strict", action="store_true", help="fail if the checks of the image give a warning")
    group.add_argument(
        "--rounds",
        type=_parse_rounds,
        default=1,
        metavar="N",
        help="run the commands of 'generate' N times in different surroundings, and fail if the files that "
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


def _add_signing_options(group: argparse._ArgumentGroup) -> None:
    key_group = group.add_mutually_exclusive_group()
    key_group.add_argument(
        "--sign",
        metavar="KEY",
        help="sign the image, SBOM and provenance with this key: a file, or a name from 'key list'; with an "
        "OpenPGP key or gpg:ID, sign the archives that are written",
    )
    key_group.add_argument(
        "--no-sign", action="store_true", help="do not sign, even if the configuration names a key"
    )
    signing.add_passphrase_option(group)


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    started = time.monotonic()
    options = parser().parse_args(arguments)
    _check_paths(options)
    progress = output.make_progress(options.progress)
    plan = _make_plan(options)
    with Home(locate(os.environ), progress=progress) as home:
        key, files = _choose_keys(options, plan.recipe, plan.destinations)
        build = build_recipe(plan.recipe, plan.settings, home, environ=os.environ, progress=progress)
        plan = _make_final_plan(options, plan, build.recipe)
        _write_report(options, plan.recipe, build)
        _report_findings(options, plan.recipe, build, progress)
        if key:
            _sign(build.image, plan, key, home)
        if plan.destinations:
            _write_image(build.image, plan, home, progress, options)
        if files:
            files.sign(plan.settings.source_date_epoch)
        for name in plan.names:
            build.image.save(name, home)
    digest = build.image.root.digest
    if options.digest_file:
        _write(options.digest_file, digest.encode() + b"\n")
    if options.progress != "none":
        outcome = build_result.BuildOutcome(
            recipe=plan.recipe,
            image=build.image,
            platforms=summarize_platforms(build.image, build.lock, home.blobs.added),
            added=home.blobs.added,
            seconds=time.monotonic() - started,
            names=plan.names,
            written=_addresses(plan.destinations),
            readable=_addresses(filter(_is_readable, plan.destinations)),
            signed_by=key.path.name if key else "",
            signed_archives=files is not None,
            report=str(options.report or ""),
        )
        progress.finish(build_result.summarize(outcome, verbose=options.verbose))
    is_piped = any(destination.address.path == "-" for destination in plan.destinations)
    print(digest, file=sys.stderr if is_piped else sys.stdout)
    return 0


def _report_findings(
    options: argparse.Namespace, recipe: Recipe, build: RecipeBuild, progress: Progress
) -> None:
    findings.report_findings(
        build.image.platforms.values(),
        recipe,
        dict(options.recipe_arguments),
        progress,
        is_strict=options.strict,
    )


def _addresses(destinations: Iterable[Location]) -> list[str]:
    return [str(destination.address) for destination in destinations]


def _is_readable(destination: Location) -> bool:
    return destination.address.transport.is_readable and destination.address.path != "-"


class _Plan(msgspec.Struct, frozen=True):
    """What is built and where it goes, checked before the build starts.

    ``names`` are those of the image in the store.
    """

    recipe: Recipe
    settings: BuildSettings
    names: list[str]
    destinations: list[Location]


def _make_plan(options: argparse.Namespace) -> _Plan:
    path = recipes.find_recipe(options.recipe)
    destinations = _parse_destinations(options.output)
    source_date_epoch = read_source_date_epoch(os.environ)
    recipe = build_annotations.override(load_recipe(path, dict(options.recipe_arguments)), options)
    settings = BuildSettings(
        architectures=locking.choose_architectures(recipe, options.archs),
        locked=options.locked,
        offline=options.offline,
        bundle=options.bundle,
        rounds=options.rounds,
        source_date_epoch=source_date_epoch,
    )
    names, pushed = _choose_names(options, recipe)
    destinations += pushed
    if destinations:
        from pumice.assembly import image_writer

        image_writer.check_destinations(destinations, recipe, settings.architectures)
    return _Plan(recipe, settings, names, destinations)


def _make_final_plan(options: argparse.Namespace, plan: _Plan, recipe: Recipe) -> _Plan:
    """Return the plan for a recipe whose version is known now; raises UsageError or ImageError."""
    if recipe.version == plan.recipe.version:
        return plan
    from pumice.assembly import image_writer

    names, pushed = _choose_names(options, recipe)
    destinations = [*_parse_destinations(options.output), *pushed]
    image_writer.check_destinations(destinations, recipe, plan.settings.architectures)
    return _Plan(recipe, plan.settings, names, destinations)


def _choose_names(options: argparse.Namespace, recipe: Recipe) -> tuple[list[str], list[Location]]:
    """Return the names of the image in the store, and where ``--push`` pushes it; raises UsageError."""
    own_names = [f"{recipe.name}:{tag}" for tag in (recipe.version, *recipe.tags)]
    tagged_names = _tagged_names(options, recipe)
    pushed = _push_destinations(own_names, tagged_names) if options.push else []
    names = [] if options.no_store else [*own_names, *tagged_names]
    return list(dict.fromkeys(names)), pushed


def _tagged_names(options: argparse.Namespace, recipe: Recipe) -> list[str]:
    """Return the names of ``-t``; raises UsageError."""
    if options.no_store:
        if options.tag:
            raise UsageError("cannot use --tag with --no-store", hint="leave out one of them")
        if not options.output and not options.push:
            raise UsageError("--no-store needs a destination", hint="write the image with -o DEST")
    names = []
    if options.tag:
        from pumice.image.transports import locations, references

        for text in options.tag:
            tagged = references.parse_destination(locations.with_scheme(locations.STORE, text))
            tagged.check(recipe.name, recipe.version)
            names.append(tagged.describe(recipe.version).text.removeprefix(locations.STORE.scheme))
    return names


def _push_destinations(own_names: Sequence[str], tagged_names: Sequence[str]) -> list[Location]:
    """Return where ``--push`` pushes to: each ``-t`` with a registry host, or else the image's own names."""
    from pumice.image.transports import locations, references
    from pumice.registry.reference import has_registry_host

    tagged = [name for name in tagged_names if has_registry_host(name)]
    targets = list(dict.fromkeys(tagged or [name for name in own_names if has_registry_host(name)]))
    if not targets:
        raise UsageError(
            f"cannot push {own_names[0]}: its name has no registry host",
            hint=f"pass -t HOST/{own_names[0]}, or -o docker://HOST/NAME:TAG",
        )
    return [references.parse_destination(locations.REGISTRY.scheme + target) for target in targets]


def _sign(image: BuiltImage, plan: _Plan, key: SigningKey, home: Home) -> None:
    from pumice.assembly import signing as signed

    recipe = plan.recipe
    signed.sign_image(
        image,
        f"{recipe.name}:{recipe.version}",
        key,
        home,
        time=signing.signing_time(),
        registries=signed.registry_names(plan.destinations, recipe.version),
    )


def _write_image(
    image: BuiltImage, plan: _Plan, home: Home, progress: Progress, options: argparse.Namespace
) -> None:
    from pumice.assembly import image_writer

    with registries.access(home, progress, options, stdout=sys.stdout.buffer) as access:
        image_writer.write_image(
            image, plan.recipe, plan.destinations, access, referrers_in_index=options.referrers_in_index
        )


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
    from pumice.assembly.recipe_build import MAX_ROUNDS

    if not (text.isascii() and text.isdigit()) or not 1 <= int(text[:3]) <= MAX_ROUNDS:
        raise UsageError(f"{text[:40]!r} is not a number of rounds", hint=f"from 1 to {MAX_ROUNDS}")
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


def _write_report(options: argparse.Namespace, recipe: Recipe, build: RecipeBuild) -> None:
    if options.report:
        from pumice.assembly.report import encode_report

        _write(options.report, encode_report(recipe, build.lock, build.image))


def _write(path: Path, data: bytes) -> None:
    from pumice.image.output import Output

    with Output(str(path)) as out:
        out.file.write(data)
