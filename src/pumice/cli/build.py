"""``pumice build``: from a recipe to an image."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.assembly import image as building
from pumice.assembly import locking
from pumice.assembly.connection import ArchiveConnection
from pumice.cli import arguments as command_line
from pumice.cli import output, registries, signing
from pumice.errors import ImageError, TrustError, UsageError
from pumice.recipe.load import load
from pumice.store.home import Home, locate

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.assembly.image import BuiltImage
    from pumice.assembly.signing import SigningKey
    from pumice.cli.signing import ArchivesToSign
    from pumice.image.transports.destination import Destination
    from pumice.progress import Progress
    from pumice.recipe.model import Recipe
    from pumice.registry.reference import Reference

_EPILOG = """DEST is oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:TAG], tar:FILE, dir:DIR or
docker://HOST/NAME[:TAG]; - as FILE is standard output. Without -o the image goes into the local store as
name:version. The lock stands beside the recipe and is written if there is none. The digest is
printed on standard output (standard error if the image goes there)."""


def _parser() -> argparse.ArgumentParser:
    made = command_line.parser("build", "Build the image of a recipe.", epilog=_EPILOG)
    made.add_argument("recipe", metavar="RECIPE", type=Path, help="the recipe file")
    made.add_argument(
        "-o", "--output", action="append", default=[], metavar="DEST", help="where to write the image"
    )
    command_line.arch_options(made)
    made.add_argument("--locked", action="store_true", help="fail if the lock is missing or stale")
    command_line.offline_option(made)
    command_line.bundle_option(made)
    made.add_argument(
        "--referrers-in-index",
        action="store_true",
        help="list SBOM and provenance in a layout's index.json, for oras and cosign",
    )
    made.add_argument("--report", metavar="FILE", type=Path, help="write what was done, as JSON")
    by = made.add_mutually_exclusive_group()
    by.add_argument(
        "--sign",
        metavar="KEY",
        help="sign image, SBOM and provenance by this key: a file, or a name that 'key list' shows; with an "
        "OpenPGP key or gpg:ID the archives that are written",
    )
    by.add_argument("--no-sign", action="store_true", help="do not sign, whatever the configuration says")
    signing.add_passphrase_option(made)
    made.add_argument("--digest-file", metavar="FILE", type=Path, help="write the digest there as well")
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = _parser().parse_args(arguments)
    _check_paths(asked)
    pushed = [text for text in asked.output if text.startswith(registries.SCHEME)]
    destinations = _destinations([text for text in asked.output if text not in pushed])
    moment = building.source_date_epoch(os.environ)
    progress = output.progress(asked.progress)
    recipe = load(asked.recipe)
    architectures = locking.choose_architectures(recipe, asked.archs)
    if destinations:
        _check(destinations, recipe, architectures)
    targets = _targets(pushed, recipe) if pushed else []
    with Home(locate(os.environ), progress=progress) as home:
        key, files = _keys(asked, recipe, destinations, targets)
        finished = _build(asked, recipe, architectures, home, progress, moment)
        if key:
            from pumice.assembly import signing as signed

            places = [str(one) for one in targets if one.tag and not one.digest]
            signed.sign_image(
                finished,
                f"{recipe.name}:{recipe.version}",
                key,
                home,
                time=signing.signing_time(),
                registries=places,
            )
        if destinations:
            _deliver(finished, destinations, recipe, home, progress, listed=asked.referrers_in_index)
            if files:
                files.sign(moment)
        if targets:
            _push(finished, targets, home, progress)
        if not asked.output:
            finished.save(f"{recipe.name}:{recipe.version}", home)
    to_pipe = any(destination.path == "-" for destination in destinations)
    if asked.digest_file:
        _write(asked.digest_file, finished.root.digest.encode() + b"\n")
    print(finished.root.digest, file=sys.stderr if to_pipe else sys.stdout)
    return 0


def _keys(
    asked: argparse.Namespace,
    recipe: Recipe,
    destinations: Sequence[Destination],
    targets: Sequence[Reference],
) -> tuple[SigningKey | None, ArchivesToSign | None]:
    """Return what the image is to be signed by, or the files it is written to, before any work is done."""
    if asked.no_sign:
        return None, None
    if asked.sign:
        return signing.choose_key(asked.sign, asked.passphrase_file, destinations, targets)
    from pumice.recipe import config

    found = config.load(os.environ).signing(recipe.name)
    if found is None:
        return None, None
    secret = Path(found.passphrase_file) if found.passphrase_file else None
    try:
        return signing.choose_key(found.key, asked.passphrase_file or secret, destinations, targets)
    except TrustError as error:
        raise TrustError(error.message, where=found.where, hint=error.hint) from None


def _check_paths(asked: argparse.Namespace) -> None:
    for option, path in (("--report", asked.report), ("--digest-file", asked.digest_file)):
        if path and str(path) == "-":
            raise UsageError(f"{option} needs a file", hint="standard output is for the digest or the image")
        if path and path.is_dir():
            raise ImageError(f"{option} needs a file, and '{path}' is a directory", hint="add a file name")
        if path and not path.parent.is_dir():
            raise ImageError(f"{option}: there is no directory '{path.parent}'", hint="create it first")


def _destinations(texts: Sequence[str]) -> list[Destination]:
    if not texts:
        return []
    from pumice.image.transports import destination

    return [destination.parse(text) for text in texts]


def _targets(texts: Sequence[str], recipe: Recipe) -> list[Reference]:
    from pumice.image.transports import places

    return [places.pushed(text, recipe.version) for text in texts]


def _push(finished: BuiltImage, targets: Sequence[Reference], home: Home, progress: Progress) -> None:
    from pumice.image.transports import places

    with registries.client(None, progress) as client:
        for target in targets:
            places.push(finished.open(home), target, client, progress)


def _check(destinations: Sequence[Destination], recipe: Recipe, architectures: Sequence[str]) -> None:
    """Refuse before the work what could not be delivered after it."""
    from pumice.formats import platforms
    from pumice.image.transports import destination

    wanted = [platforms.from_debian(name) for name in architectures]
    destination.check(destinations, name=recipe.name, version=recipe.version, wanted=wanted)


def _build(
    asked: argparse.Namespace,
    recipe: Recipe,
    architectures: Sequence[str],
    home: Home,
    progress: Progress,
    moment: int | None,
) -> BuiltImage:
    path = locking.lock_path(asked.recipe)
    with ArchiveConnection(
        recipe, home, os.environ, offline=asked.offline, progress=progress, bundle=asked.bundle
    ) as connection:
        lock = locking.ensure_lock(
            recipe, path, connection, architectures=architectures, locked=asked.locked, progress=progress
        )
        finished = building.build_image(
            recipe,
            lock,
            architectures,
            lambda package: connection.fetch_package(package, lock),
            home,
            moment=moment,
            progress=progress,
            locked=asked.locked,
        )
    if not asked.locked:
        building.save_allocated_ids(lock, path, finished)
    if asked.report:
        from pumice.assembly.report import encode_report

        _write(asked.report, encode_report(recipe, lock, finished))
    if any(image.skipped_actions for image in finished.platforms.values()):
        _summarize_skipped_actions(finished, str(asked.report or ""), progress)
    return finished


def _summarize_skipped_actions(finished: BuiltImage, report_path: str, progress: Progress) -> None:
    from pumice.assembly.report import summarize_skipped_actions

    skipped = summarize_skipped_actions(finished.platforms.values(), report_path)
    if skipped:
        (progress.note if skipped.is_minor else progress.warn)(skipped.summary)


def _deliver(
    finished: BuiltImage,
    destinations: Sequence[Destination],
    recipe: Recipe,
    home: Home,
    progress: Progress,
    *,
    listed: bool,
) -> None:
    from pumice.image.transports import destination

    if bare := [one.kind for one in destinations if one.kind in destination.ONE_PLATFORM]:
        progress.note(f"SBOM, provenance and signatures are not in {bare[0]}:, which has no place for them")
    for one in destinations:
        destination.write(
            finished.open(home),
            one,
            name=recipe.name,
            version=recipe.version,
            records=home.records,
            progress=progress,
            stdout=sys.stdout.buffer,
            listed=listed,
        )


def _write(path: Path, data: bytes) -> None:
    from pumice.image.output import Output

    with Output(str(path)) as out:
        out.file.write(data)
