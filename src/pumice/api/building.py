"""Builds and locks recipes, for the Python API."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.api.recipe import load
from pumice.api.surroundings import open_home, open_registries
from pumice.api.values import BuiltImage, Lock
from pumice.errors import UsageError
from pumice.progress import Silent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.api.recipe import Recipe
    from pumice.assembly import image as assembly_image
    from pumice.assembly.signing import SigningKey
    from pumice.image.transports.locations import Location
    from pumice.progress import Progress
    from pumice.recipe.model import Recipe as EffectiveRecipe
    from pumice.store.home import Home

    StrPath = str | os.PathLike[str]


def build(
    recipe: Recipe | StrPath,
    *,
    platforms: Sequence[str] = (),
    outputs: Sequence[str] = (),
    save: bool = True,
    key: StrPath | None = None,
    locked: bool = False,
    offline: bool = False,
    bundle: StrPath | None = None,
    rounds: int = 1,
    store: StrPath | None = None,
    progress: Progress | None = None,
    environ: Mapping[str, str] | None = None,
) -> BuiltImage:
    """Build the image of a recipe and return its digests, as ``pumice build`` does; raises PumiceError.

    ``platforms`` are such as ``linux/arm64``; ``outputs`` are destinations such as ``oci:DIR``; ``save``
    keeps the image in the store under its name; ``key`` signs it: a file, or a name of the key directory.
    ``rounds`` is how often the commands of ``generate`` run, to compare what they write.
    """
    environ = os.environ if environ is None else environ
    from pumice.assembly import image_writer, locking
    from pumice.assembly.context import read_source_date_epoch
    from pumice.assembly.recipe_build import MAX_ROUNDS, BuildSettings, build_recipe

    if not 1 <= rounds <= MAX_ROUNDS:
        raise UsageError(f"{rounds} is not a number of rounds", hint=f"from 1 to {MAX_ROUNDS}")
    recipe = load(recipe)
    destinations = _parse_destinations(outputs)
    settings = BuildSettings(
        architectures=locking.choose_architectures(recipe.effective, _architectures(platforms)),
        locked=locked,
        offline=offline,
        bundle=None if bundle is None else Path(bundle),
        rounds=rounds,
        source_date_epoch=read_source_date_epoch(environ),
        recipe_text=recipe.text,
    )
    image_writer.check_destinations(destinations, recipe.effective, settings.architectures)
    signing_key = None if key is None else _find_signing_key(key, environ)
    reporter = progress or Silent()
    with open_home(store, environ, progress) as home:
        build = build_recipe(recipe.effective, settings, home, environ=environ, progress=reporter)
        image, effective = build.image, build.recipe
        if signing_key:
            _sign(image, effective, signing_key, destinations, home, environ)
        with open_registries(home, environ, progress) as access:
            image_writer.write_image(image, effective, destinations, access)
        if save:
            for tag in (effective.version, *effective.tags):
                image.save(f"{effective.name}:{tag}", home)
    return _describe(image, effective)


def _parse_destinations(outputs: Sequence[str]) -> list[Location]:
    from pumice.image.transports import locations, references

    destinations = [references.parse_destination(output) for output in _as_list(outputs)]
    for destination in destinations:
        if destination.address.path == locations.STDOUT:
            raise UsageError("cannot write the image to standard output", hint="name a file")
    return destinations


def _sign(
    image: assembly_image.BuiltImage,
    recipe: EffectiveRecipe,
    key: SigningKey,
    destinations: Sequence[Location],
    home: Home,
    environ: Mapping[str, str],
) -> None:
    from pumice.assembly import signing
    from pumice.clock import SystemClock
    from pumice.trust.signing_time import read_signing_time

    time = read_signing_time(None, environ, SystemClock().now())
    names = signing.registry_names(destinations, recipe.version)
    signing.sign_image(image, _name(recipe), key, home, time=time, registries=names)


def _name(recipe: EffectiveRecipe) -> str:
    return f"{recipe.name}:{recipe.version}"


def _describe(image: assembly_image.BuiltImage, recipe: EffectiveRecipe) -> BuiltImage:
    from pumice.assembly.locking import lock_path
    from pumice.formats.platforms import format_platform, from_debian

    manifests = {
        format_platform(from_debian(architecture)): platform_image.manifest.digest
        for architecture, platform_image in image.platforms.items()
    }
    return BuiltImage(
        name=_name(recipe), digest=image.root.digest, platforms=manifests, lock=lock_path(Path(recipe.path))
    )


def lock(
    recipe: Recipe | StrPath,
    *,
    platforms: Sequence[str] = (),
    upgrade: bool | Sequence[str] = False,
    offline: bool = False,
    store: StrPath | None = None,
    progress: Progress | None = None,
    environ: Mapping[str, str] | None = None,
) -> Lock:
    """Write the lock of a recipe if it is missing or stale, and return it; raises PumiceError.

    ``upgrade`` upgrades all packages, or those with the given names.
    """
    environ = os.environ if environ is None else environ
    from pumice.assembly import locking
    from pumice.assembly.connection import ArchiveConnection
    from pumice.formats.platforms import format_platform, from_debian

    recipe = load(recipe)
    path = locking.lock_path(recipe.path)
    names = locking.UPGRADE_ALL if isinstance(upgrade, bool) else frozenset(_as_list(upgrade))
    reporter = progress or Silent()
    with (
        open_home(store, environ, progress) as home,
        ArchiveConnection(recipe.effective, home, environ, offline=offline, progress=reporter) as connection,
    ):
        written_lock = locking.ensure_lock(
            *(recipe.effective, path, connection),
            architectures=locking.choose_architectures(recipe.effective, _architectures(platforms)),
            progress=reporter,
            upgrade=names if upgrade else None,
        )
    packages = {
        format_platform(from_debian(architecture)): {package.name: package.version for package in locked}
        for architecture, locked in written_lock.packages.items()
    }
    return Lock(path=path, packages=packages)


def _architectures(names: Sequence[str]) -> tuple[str, ...]:
    from pumice.formats import platforms

    return tuple(platforms.to_debian(platforms.parse_platform(name)) for name in _as_list(names))


def _as_list(texts: Sequence[str]) -> Sequence[str]:
    """Return a single string as a list of itself, not of its characters."""
    return [texts] if isinstance(texts, str) else texts


def _find_signing_key(key: StrPath, environ: Mapping[str, str]) -> SigningKey:
    from pumice.assembly.signing import SigningKey
    from pumice.trust import archive_keys, key_files, keys

    archive_keys.reject_openpgp_key(os.fspath(key), environ)
    path = key_files.find_key_file(os.fspath(key), ".key", environ)
    passphrase = keys.passphrase_source(environ, None, None)
    return SigningKey(path, lambda: key_files.load_signer(path, passphrase))
