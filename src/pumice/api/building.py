"""Builds and locks recipes, for the Python API."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pumice.api.recipe import load
from pumice.api.signers import choose_signer
from pumice.api.surroundings import open_home, open_registries
from pumice.api.values import BuiltImage, Lock
from pumice.errors import PumiceError, UsageError
from pumice.progress import Silent

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import Future

    from pumice.api.recipe import Recipe
    from pumice.api.signers import Keyless
    from pumice.assembly import image as assembly_image
    from pumice.assembly.recipe_build import BuildSettings, RecipeBuild
    from pumice.assembly.recipe_builds import FinishedBuild
    from pumice.assembly.signing import SigningKey
    from pumice.image.transports.locations import Location
    from pumice.progress import Progress
    from pumice.recipe.model import Recipe as EffectiveRecipe
    from pumice.store.home import Home
    from pumice.trust.keyless_signing import TokenSource

    StrPath = str | os.PathLike[str]


def build(
    recipe: Recipe | StrPath,
    *,
    platforms: Sequence[str] = (),
    outputs: Sequence[str] = (),
    save: bool = True,
    key: StrPath | None = None,
    keyless: Keyless | None = None,
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
    keeps the image in the store under its name. ``key`` signs it (a file, or a name of the key directory),
    or ``keyless`` does as an identity.
    ``rounds`` is how often the commands of ``generate`` run, to compare what they write.
    """
    environ = os.environ if environ is None else environ
    from pumice.assembly.recipe_build import MAX_ROUNDS, build_recipe

    if not 1 <= rounds <= MAX_ROUNDS:
        raise UsageError(f"{rounds} is not a number of rounds", hint=f"from 1 to {MAX_ROUNDS}")
    flags = {"locked": locked, "offline": offline, "bundle": bundle, "rounds": rounds}
    plan = _make_plan(recipe, platforms, outputs, environ, flags)
    signer = choose_signer(key, keyless, environ)
    with open_home(store, environ, progress) as home:
        built = build_recipe(
            *(plan.recipe.effective, plan.settings, home), environ=environ, progress=progress or Silent()
        )
        delivery = _Delivery(home=home, environ=environ, progress=progress, signer=signer, save=save)
        return _deliver(plan, built, delivery)


def build_all(
    recipes: Sequence[Recipe | StrPath],
    *,
    platforms: Sequence[str] = (),
    outputs: Callable[[Recipe], Sequence[str]] | None = None,
    save: bool = True,
    key: StrPath | None = None,
    keyless: Keyless | None = None,
    locked: bool = False,
    offline: bool = False,
    bundle: StrPath | None = None,
    store: StrPath | None = None,
    progress: Progress | None = None,
    environ: Mapping[str, str] | None = None,
) -> list[BuiltImage]:
    """Build the images of several recipes at once, as ``pumice build`` does, and return them in order.

    They share indexes, connections and threads. ``outputs`` returns the destinations of a recipe's image; the
    other arguments are as for `build`. Raises the PumiceError of the first recipe that failed, when the
    others are finished.
    """
    environ = os.environ if environ is None else environ
    from pumice.assembly.recipe_builds import BuildJob, reject_collisions, start_builds

    flags = {"locked": locked, "offline": offline, "bundle": bundle, "rounds": 1}
    loaded = [load(recipe) for recipe in recipes]
    plans = [
        _make_plan(recipe, platforms, outputs(recipe) if outputs else (), environ, flags) for recipe in loaded
    ]
    reject_collisions((plan.recipe.path, _list_targets(plan)) for plan in plans)
    signer = choose_signer(key, keyless, environ)
    reporter = progress or Silent()
    jobs = [BuildJob(plan.recipe.effective, plan.settings, reporter) for plan in plans]
    with (
        open_home(store, environ, progress) as home,
        start_builds(jobs, home, environ=environ, offline=offline, progress=reporter) as builds,
    ):
        delivery = _Delivery(home=home, environ=environ, progress=progress, signer=signer, save=save)
        return _deliver_all(plans, builds, delivery)


class _Plan(msgspec.Struct, frozen=True):
    """A recipe with the settings of its build and its destinations."""

    recipe: Recipe
    settings: BuildSettings
    destinations: list[Location]


class _Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to images that are built."""

    home: Home
    environ: Mapping[str, str]
    progress: Progress | None
    signer: SigningKey | TokenSource | None
    save: bool


def _make_plan(
    recipe: Recipe | StrPath,
    platforms: Sequence[str],
    outputs: Sequence[str],
    environ: Mapping[str, str],
    flags: Mapping[str, Any],
) -> _Plan:
    """Return the plan for a recipe; raises PumiceError for destinations that cannot hold the image."""
    from pumice.assembly import image_writer, locking
    from pumice.assembly.context import read_source_date_epoch
    from pumice.assembly.recipe_build import BuildSettings

    recipe = load(recipe)
    destinations = _parse_destinations(outputs)
    bundle = flags["bundle"]
    settings = BuildSettings(
        architectures=locking.choose_architectures(recipe.effective, _architectures(platforms)),
        locked=flags["locked"],
        offline=flags["offline"],
        bundle=None if bundle is None else Path(bundle),
        rounds=flags["rounds"],
        source_date_epoch=read_source_date_epoch(environ),
        recipe_text=recipe.text,
    )
    image_writer.check_destinations(destinations, recipe.effective, settings.architectures)
    return _Plan(recipe, settings, destinations)


def _list_targets(plan: _Plan) -> list[str]:
    """Return what a build writes: its lock, its destinations and, if they are known, its names."""
    from pumice.assembly.locking import lock_path

    recipe = plan.recipe.effective
    tags = () if recipe.version_from else (recipe.version, *recipe.tags)
    destinations = (str(destination.address) for destination in plan.destinations)
    return [str(lock_path(plan.recipe.path)), *destinations, *(f"{recipe.name}:{tag}" for tag in tags)]


def _deliver_all(
    plans: Sequence[_Plan], builds: Sequence[Future[FinishedBuild]], delivery: _Delivery
) -> list[BuiltImage]:
    """Deliver each image when it is built; raise the first error when all builds are finished."""
    images: list[BuiltImage] = []
    errors: list[PumiceError] = []
    for plan, future in zip(plans, builds, strict=True):
        try:
            images.append(_deliver(plan, future.result().build, delivery))
        except PumiceError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return images


def _deliver(plan: _Plan, built: RecipeBuild, delivery: _Delivery) -> BuiltImage:
    """Sign, write and save an image, and return its digests."""
    from pumice.assembly import image_writer

    image, effective, home = built.image, built.recipe, delivery.home
    if delivery.signer:
        _sign(image, effective, delivery.signer, plan.destinations, home, delivery.environ)
    with open_registries(home, delivery.environ, delivery.progress) as access:
        image_writer.write_image(image, effective, plan.destinations, access)
    if delivery.save:
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
    signer: SigningKey | TokenSource,
    destinations: Sequence[Location],
    home: Home,
    environ: Mapping[str, str],
) -> None:
    from pumice.assembly import signing
    from pumice.clock import SystemClock
    from pumice.trust.signing_time import read_signing_time

    time = read_signing_time(None, environ, SystemClock().now())
    names = signing.registry_names(destinations, recipe.version)
    signing.sign_image(image, _name(recipe), signer, home, time=time, registries=names)


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
