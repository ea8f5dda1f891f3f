"""An image built again from its provenance, in an empty store, and held against what it should be."""

from __future__ import annotations

import base64
import hashlib
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from pumice import digest
from pumice.assembly import platform, recipe_files
from pumice.assembly.connection import ArchiveConnection
from pumice.errors import FormatError, TrustError
from pumice.evidence.provenance import BUILD_TYPE
from pumice.recipe import lock as locks
from pumice.recipe.model import FileRule, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pumice.assembly.platform import PlatformImage
    from pumice.digest import Digest
    from pumice.evidence.first_difference import Found
    from pumice.formats.intoto import Statement
    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.recipe.lock import Lock, LockedPackage
    from pumice.store.home import Home

_KINDS = ("file", "dir", "symlink", "hardlink")


class RecipeEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One of the recipe's own entries; ``path`` begins with a slash, ``sha256`` is of a file."""

    path: str
    kind: str
    mode: int
    owner: str
    link: str = ""
    sha256: str = ""


class RebuildPlan(msgspec.Struct, frozen=True, kw_only=True):
    """What a provenance says was built, from what."""

    subject: Digest
    recipe: Recipe
    lock: Lock
    architecture: str
    source_date_epoch: int | None
    entries: tuple[RecipeEntry, ...]
    pumice: str
    """The version that built it."""


def read_rebuild_plan(statement: Statement) -> RebuildPlan:
    """Read a provenance of Pumice's build type.

    Raises FormatError for another one's and for a malformed one, LockError for a lock that is none.
    """
    try:
        predicate = statement.predicate
        definition = predicate["buildDefinition"]
        if definition["buildType"] != BUILD_TYPE:
            raise FormatError(
                f"the provenance is of the build type {str(definition['buildType'])[:100]!r}",
                hint=f"only {BUILD_TYPE} can be reproduced here",
            )
        external = definition["externalParameters"]
        lock_parameter = external["lock"]
        content = base64.b64decode(lock_parameter["content"], validate=True)
        if hashlib.sha256(content).hexdigest() != lock_parameter["digest"]["sha256"]:
            raise TrustError("the lock in the provenance does not have the digest that stands beside it")
        return RebuildPlan(
            subject=statement.subjects[0].digest,
            recipe=msgspec.convert(external["effectiveRecipe"], Recipe),
            lock=locks.parse(content, "the provenance's lock"),
            architecture=msgspec.convert(external["architecture"], str),
            source_date_epoch=msgspec.convert(external.get("sourceDateEpoch"), int | None),
            entries=tuple(_recipe_entries(definition["resolvedDependencies"])),
            pumice=str(predicate["runDetails"]["builder"]["version"]["pumice"]),
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        detail = f"{type(error).__name__}: {error}".replace("\n", " ")[:200]
        raise FormatError(f"the provenance lacks something that a rebuild needs ({detail})") from None


def _recipe_entries(dependencies: Sequence[Mapping[str, Any]]) -> list[RecipeEntry]:
    entries = []
    for dependency in dependencies:
        annotations = dependency.get("annotations", {})
        if str(dependency.get("name", "")).startswith("/") and annotations.get("kind") in _KINDS:
            entries.append(
                RecipeEntry(
                    path=dependency["name"],
                    kind=annotations["kind"],
                    mode=int(annotations["mode"], 8),
                    owner=str(annotations["owner"]),
                    link=str(annotations.get("link", "")),
                    sha256=str(dependency.get("digest", {}).get("sha256", "")),
                )
            )
    return entries


def rebuild_image(
    plan: RebuildPlan,
    image: Image,
    home: Home,
    environ: Mapping[str, str],
    *,
    source: Path | None,
    bundle: Path | None,
    offline: bool,
    progress: Progress,
    inspect: Callable[[PlatformImage, Home], object],
) -> None:
    """Build what ``ordered`` says in an empty store, and let ``look`` see the result before it goes.

    The recipe's own files are taken from the folder ``source``, or else out of ``image`` itself.
    Packages come from ``home`` (their digests are checked), ``bundle`` or the mirrors. Raises PumiceError.
    """
    from pumice.assembly.image import default_processors
    from pumice.store.home import Home as Store

    if plan.architecture not in plan.lock.packages:
        raise FormatError(f"the provenance's lock has no packages for {plan.architecture}")
    with tempfile.TemporaryDirectory(prefix="reproduce-", dir=home.directory("tmp")) as folder:
        recipe = _prepare_recipe(plan, image, Path(folder), source)
        recipe_files_read = recipe_files.read_recipe_files(
            recipe.files, Path(recipe.path).parent, plan.lock.format
        )
        inputs = platform.PlatformInputs(
            recipe=recipe,
            packages=plan.lock.packages[plan.architecture],
            architecture=plan.architecture,
            ids=plan.lock.ids,
            format=plan.lock.format,
            source_date_epoch=plan.source_date_epoch,
        )
        with (
            Store(Path(folder, "store"), progress=progress) as clean,
            ArchiveConnection(
                recipe, clean, environ, offline=offline, progress=progress, bundle=bundle
            ) as connection,
        ):

            def fetch(package: LockedPackage) -> Digest:
                return _copy_from_store(package, home, clean) or connection.fetch_package(package, plan.lock)

            built = platform.build_platform(
                inputs, recipe_files_read, fetch, clean, processors=default_processors(), progress=progress
            )
            inspect(built, clean)


def _copy_from_store(package: LockedPackage, home: Home, clean: Home) -> Digest | None:
    """Take a package that is in the usual store already; what it is, its digest says."""
    package_digest = digest.from_hex(package.sha256)
    if home.blobs.size(package_digest) != package.size:
        return None
    with home.blobs.open(package_digest) as file, clean.blobs.writer() as writer:
        while data := file.read(1 << 20):
            writer.write(data)
        try:
            return writer.commit(package_digest)
        except TrustError:
            return None  # damaged: a mirror has another


def _prepare_recipe(plan: RebuildPlan, image: Image, folder: Path, source: Path | None) -> Recipe:
    """Return the recipe with its files where they are now; keys are not needed, digests decide."""
    origin = msgspec.structs.replace(
        plan.recipe.origin,
        keyrings=(),
        archives=tuple(
            msgspec.structs.replace(archive, key="", trusted=True) for archive in plan.recipe.origin.archives
        ),
    )
    recipe = msgspec.structs.replace(plan.recipe, origin=origin)
    if source is not None:
        return msgspec.structs.replace(recipe, path=str(source / "recipe.yaml"))
    rules = _file_rules(plan.entries, image, folder)
    return msgspec.structs.replace(recipe, path=str(folder / "recipe.yaml"), files=rules)


def _file_rules(entries: Sequence[RecipeEntry], image: Image, folder: Path) -> tuple[FileRule, ...]:
    """Take the recipe's files out of the image and return rules that put them where they were."""
    extracted_names = {
        entry.path.lstrip("/"): f"own{number:06}"
        for number, entry in enumerate(entries)
        if entry.kind == "file"
    }
    _extract_files(image, extracted_names, folder)
    rules = []
    for file in entries:
        path = file.path.lstrip("/")
        if file.kind == "dir":
            rules.append(FileRule(to=file.path, directory=True, mode=file.mode, owner=file.owner))
        elif file.kind == "symlink":
            rules.append(FileRule(to=file.path, link=file.link, owner=file.owner))
        elif file.kind == "file":
            if not (folder / extracted_names[path]).is_file():
                raise TrustError(f"{file.path} is in the provenance and not in the image")
            rules.append(
                FileRule(to=file.path, source=extracted_names[path], mode=file.mode, owner=file.owner)
            )
    return tuple(rules)


def _extract_files(image: Image, names: Mapping[str, str], folder: Path) -> None:
    if not names:
        return
    for layer in image.layers():  # a later layer's file takes the place of an earlier one's
        for entry, body in layer.entries():
            if entry.kind == "file" and entry.path in names:
                with (folder / names[entry.path]).open("wb") as file:
                    while data := body.read(1 << 20):
                        file.write(data)


def find_changed_entry(plan: RebuildPlan, image: Image) -> Found | None:
    """Return the first of the recipe's files in ``image`` that is not what the provenance says.

    Files that a rebuild takes out of the image itself prove nothing about themselves.
    """
    from pumice.evidence import layers
    from pumice.evidence.first_difference import Found

    expected = {file.path.lstrip("/"): file.sha256 for file in plan.entries if file.kind == "file"}
    for number, layer in enumerate(image.layers(), 1):
        scanned_layer = layers.read(layer)
        for entry, sums in zip(scanned_layer.entries, scanned_layer.sums, strict=True):
            if entry.kind == "file" and expected.get(entry.path, sums[0]) != sums[0]:
                return Found(
                    place=f"layer {number}",
                    layer=number,
                    path=f"/{entry.path}",
                    what="content, which the provenance names",
                    given=f"sha256:{sums[0]}",
                    rebuilt=f"sha256:{expected[entry.path]}",
                )
    return None
