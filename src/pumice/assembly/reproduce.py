"""Builds an image again from its provenance, in an empty store, to compare it with the original."""

from __future__ import annotations

import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice import digest
from pumice.assembly.connection import ArchiveConnection
from pumice.assembly.context import BuildContext, default_processors
from pumice.assembly.platform import build_platform
from pumice.assembly.platform_model import PlatformInputs
from pumice.assembly.recipe_files import read_recipe_files
from pumice.errors import FormatError, TrustError
from pumice.image.model import Image
from pumice.recipe.model import FileRule
from pumice.store.home import Home

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pumice.assembly.rebuild_plan import ProvenanceEntry, RebuildPlan
    from pumice.digest import Digest
    from pumice.evidence.first_difference import FirstDifference
    from pumice.progress import Progress
    from pumice.recipe.lock import LockedPackage
    from pumice.recipe.model import Recipe

_BLOCK = 1 << 20


class PackageSources(msgspec.Struct, frozen=True, kw_only=True):
    """Where a rebuild takes packages from: the store ``home``, ``bundle``, and mirrors if not ``offline``."""

    home: Home
    environ: Mapping[str, str]
    bundle: Path | None
    offline: bool


@contextmanager
def rebuild_image(
    plan: RebuildPlan,
    image: Image,
    sources: PackageSources,
    *,
    source_directory: Path | None,
    progress: Progress,
) -> Iterator[Image]:
    """Build the image of ``plan`` in an empty store; it is readable until the context ends.

    The recipe's own files come from ``source_directory``, or else out of ``image`` itself. Raises
    PumiceError.
    """
    if plan.architecture not in plan.lock.packages:
        raise FormatError(f"the provenance's lock has no packages for {plan.architecture}")
    with tempfile.TemporaryDirectory(prefix="reproduce-", dir=sources.home.directory("tmp")) as temporary:
        recipe = _prepare_recipe(plan, image, Path(temporary), source_directory)
        inputs = _platform_inputs(plan, recipe)
        with (
            Home(Path(temporary, "store"), progress=progress) as empty_home,
            ArchiveConnection(
                recipe,
                empty_home,
                sources.environ,
                offline=sources.offline,
                progress=progress,
                bundle=sources.bundle,
            ) as connection,
        ):
            context = _build_context(plan, sources.home, empty_home, connection, progress)
            yield Image(build_platform(inputs, context).manifest, empty_home.blobs)


def _build_context(
    plan: RebuildPlan, home: Home, empty_home: Home, connection: ArchiveConnection, progress: Progress
) -> BuildContext:
    """Return the context of a build in ``empty_home``, with the packages that ``home`` has."""

    def fetch_package(package: LockedPackage) -> Digest:
        copied_digest = _copy_package(package, home, empty_home)
        return copied_digest or connection.fetch_package(package, plan.lock)

    return BuildContext(
        home=empty_home,
        fetch_package=fetch_package,
        processors=default_processors(),
        progress=progress,
        source_date_epoch=plan.source_date_epoch,
    )


def _platform_inputs(plan: RebuildPlan, recipe: Recipe) -> PlatformInputs:
    return PlatformInputs(
        recipe=recipe,
        files=read_recipe_files(recipe.files, Path(recipe.path).parent, plan.lock.format),
        packages=plan.lock.packages[plan.architecture],
        omittable=plan.lock.omittable.get(plan.architecture, ()),
        without=plan.lock.without.get(plan.architecture, ()),
        architecture=plan.architecture,
        ids=plan.lock.ids,
        format=plan.lock.format,
    )


def _copy_package(package: LockedPackage, home: Home, empty_home: Home) -> Digest | None:
    """Copy a package from the usual store, verified by its digest; None if there is no intact one."""
    package_digest = digest.from_hex(package.sha256)
    if home.blobs.size(package_digest) != package.size:
        return None
    with home.blobs.open(package_digest) as file, empty_home.blobs.writer() as writer:
        while data := file.read(_BLOCK):
            writer.write(data)
        try:
            return writer.commit(package_digest)
        except TrustError:
            return None  # damaged: a mirror has an intact one


def _prepare_recipe(
    plan: RebuildPlan, image: Image, directory: Path, source_directory: Path | None
) -> Recipe:
    """Return the recipe with rules for files that exist here, and without keys: digests verify packages."""
    archives = tuple(
        msgspec.structs.replace(archive, key="", trusted=True) for archive in plan.recipe.origin.archives
    )
    origin = msgspec.structs.replace(plan.recipe.origin, keyrings=(), archives=archives)
    recipe = msgspec.structs.replace(plan.recipe, origin=origin)
    if source_directory is not None:
        return msgspec.structs.replace(recipe, path=str(source_directory / "recipe.yaml"))
    rules = _file_rules(plan.entries, image, directory)
    return msgspec.structs.replace(recipe, path=str(directory / "recipe.yaml"), files=rules)


def _file_rules(entries: Sequence[ProvenanceEntry], image: Image, directory: Path) -> tuple[FileRule, ...]:
    """Extract the recipe's files from the image; return rules that put them where they were."""
    names = {
        entry.path.lstrip("/"): f"own{number:06}"
        for number, entry in enumerate(entries)
        if entry.kind == "file"
    }
    _extract_files(image, names, directory)
    rules = []
    for entry in entries:
        if entry.kind == "dir":
            rules.append(FileRule(to=entry.path, directory=True, mode=entry.mode, owner=entry.owner))
        elif entry.kind == "symlink":
            rules.append(FileRule(to=entry.path, link=entry.link, owner=entry.owner))
        elif entry.kind == "file":
            name = names[entry.path.lstrip("/")]
            if not (directory / name).is_file():
                raise TrustError(f"{entry.path} is in the provenance but not in the image")
            rules.append(FileRule(to=entry.path, source=name, mode=entry.mode, owner=entry.owner))
    return tuple(rules)


def _extract_files(image: Image, names: Mapping[str, str], directory: Path) -> None:
    """Write the files at the paths in ``names`` to ``directory``, under the names that it gives them."""
    if not names:
        return
    for layer in image.layers():  # a file of a later layer replaces that of an earlier one
        for entry, body in layer.entries():
            if entry.kind == "file" and entry.path in names:
                with (directory / names[entry.path]).open("wb") as file:
                    while data := body.read(_BLOCK):
                        file.write(data)


def find_changed_entry(plan: RebuildPlan, image: Image) -> FirstDifference | None:
    """Return the first of the recipe's files in ``image`` that differs from the provenance, if any.

    A rebuild that extracts them from the image cannot find this: it would reproduce the difference.
    """
    from pumice.evidence.first_difference import FirstDifference
    from pumice.image.layer_scan import scan_layer

    expected = {entry.path.lstrip("/"): entry.sha256 for entry in plan.entries if entry.kind == "file"}
    for number, layer in enumerate(image.layers(), 1):
        scan = scan_layer(layer, detailed=True)
        for entry, digests in zip(scan.entries, scan.digests, strict=True):
            if entry.kind == "file" and expected.get(entry.path, digests.sha256) != digests.sha256:
                return FirstDifference(
                    place=f"layer {number}",
                    layer=number,
                    path=f"/{entry.path}",
                    what="content, which the provenance names",
                    given=f"sha256:{digests.sha256}",
                    rebuilt=f"sha256:{expected[entry.path]}",
                )
    return None
