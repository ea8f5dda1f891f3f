"""What follows a build: its findings are reported, and its image is signed, written and named."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.assembly.build_summary import summarize_platforms
from pumice.cli.image_access import keyless_options, registries, signing
from pumice.cli.recipes import findings
from pumice.cli.recipes.build_plan import make_final_plan
from pumice.cli.recipes.build_result import BuildOutcome
from pumice.errors import TrustError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable

    from pumice.assembly.image import BuiltImage
    from pumice.assembly.recipe_build import RecipeBuild
    from pumice.assembly.signing import SigningKey
    from pumice.cli.image_access.signing import ArchivesToSign
    from pumice.cli.recipes.build_plan import BuildPlan
    from pumice.image.transports.locations import Location
    from pumice.progress import Progress
    from pumice.recipe.model import Recipe
    from pumice.store.home import Home
    from pumice.trust.keyless_signing import TokenSource


class BuildKeys(msgspec.Struct, frozen=True):
    """What signs a build: a key for the image, an OpenPGP key for the archives, or an identity token."""

    image: SigningKey | None = None
    archives: ArchivesToSign | None = None
    token: TokenSource | None = None


def choose_keys(options: argparse.Namespace, plan: BuildPlan) -> BuildKeys:
    """Return what signs the build, before it starts; raises PumiceError for a key that cannot sign it."""
    token = keyless_options.find_token_source(options, options.sign, key_option="--sign")
    if options.no_sign:
        if token is not None:
            raise UsageError(
                "--no-sign contradicts the identity that signs", hint="leave out --no-sign or the identity"
            )
        return BuildKeys()
    if token is not None:
        token.check()
        return BuildKeys(token=token)
    if options.sign:
        return BuildKeys(*signing.choose_key(options.sign, options.passphrase_file, plan.destinations))
    from pumice.recipe import config

    section = config.load_config(os.environ).find_signing(plan.recipe.name)
    if section is None:
        return BuildKeys()
    passphrase_file = Path(section.passphrase_file) if section.passphrase_file else None
    try:
        return BuildKeys(
            *signing.choose_key(section.key, options.passphrase_file or passphrase_file, plan.destinations)
        )
    except TrustError as error:
        raise TrustError(error.message, where=section.location, hint=error.hint) from None


def deliver(
    options: argparse.Namespace,
    plan: BuildPlan,
    keys: BuildKeys,
    build: RecipeBuild,
    home: Home,
    progress: Progress,
    *,
    started: float,
) -> BuildOutcome:
    """Report the findings of a build, then sign, write and name its image; raises PumiceError.

    ``started`` is when the build began, by the monotonic clock.
    """
    plan = make_final_plan(options, plan, build.recipe)
    _write_report(options, plan.recipe, build)
    _report_findings(options, plan.recipe, build, progress)
    signed_by = _sign(build.image, plan, keys, home)
    if plan.destinations:
        _write_image(build.image, plan, home, progress, options)
    if keys.archives:
        keys.archives.sign(plan.settings.source_date_epoch)
    for name in plan.names:
        build.image.save(name, home)
    return BuildOutcome(
        recipe=plan.recipe,
        image=build.image,
        platforms=summarize_platforms(build.image, build.lock, home.blobs.added),
        added=home.blobs.added,
        seconds=time.monotonic() - started,
        names=plan.names,
        written=_addresses(plan.destinations),
        readable=_addresses(filter(_is_readable, plan.destinations)),
        signed_by=signed_by,
        is_keyless=keys.token is not None,
        signed_archives=keys.archives is not None,
        report=str(options.report or ""),
    )


def _report_findings(
    options: argparse.Namespace, recipe: Recipe, build: RecipeBuild, progress: Progress
) -> None:
    findings.report_findings(
        build.image.platforms.values(),
        recipe,
        dict(options.recipe_arguments),
        progress,
        is_strict=options.strict,
        shows_notes=options.verbose,
    )
    findings.report_given_up_files(build.image.platforms.values(), progress)


def _addresses(destinations: Iterable[Location]) -> list[str]:
    return [str(destination.address) for destination in destinations]


def _is_readable(destination: Location) -> bool:
    return destination.address.transport.is_readable and destination.address.path != "-"


def _sign(image: BuiltImage, plan: BuildPlan, keys: BuildKeys, home: Home) -> str:
    """Sign an image with a key or as an identity; return which one, "" for none."""
    signer = keys.image or keys.token
    if signer is None:
        return ""
    from pumice.assembly import signing as signed

    name = f"{plan.recipe.name}:{plan.recipe.version}"
    names = signed.registry_names(plan.destinations, plan.recipe.version)
    return signed.sign_image(image, name, signer, home, time=signing.signing_time(), registries=names)


def _write_image(
    image: BuiltImage, plan: BuildPlan, home: Home, progress: Progress, options: argparse.Namespace
) -> None:
    from pumice.assembly import image_writer

    with registries.access(home, progress, options, stdout=sys.stdout.buffer) as access:
        image_writer.write_image(
            image, plan.recipe, plan.destinations, access, referrers_in_index=options.referrers_in_index
        )


def _write_report(options: argparse.Namespace, recipe: Recipe, build: RecipeBuild) -> None:
    if options.report:
        from pumice.assembly.report import encode_report
        from pumice.image.output import write_file

        write_file(options.report, encode_report(recipe, build.lock, build.image))
