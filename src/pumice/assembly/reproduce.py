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
from pumice.assembly.connection import Connection
from pumice.errors import FormatError, TrustError
from pumice.evidence.provenance import BUILD_TYPE
from pumice.recipe import lock as locks
from pumice.recipe.model import FileRule, Recipe

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pumice.assembly.platform import Built
    from pumice.digest import Digest
    from pumice.evidence.firstdiff import Found
    from pumice.formats.intoto import Statement
    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.recipe.lock import Lock, LockedPackage
    from pumice.store.home import Home

_KINDS = ("file", "dir", "symlink", "hardlink")


class OwnFile(msgspec.Struct, frozen=True, kw_only=True):
    """One of the recipe's own entries; ``path`` begins with a slash, ``sha256`` is of a file."""

    path: str
    kind: str
    mode: int
    owner: str
    link: str = ""
    sha256: str = ""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What a provenance says was built, from what."""

    subject: Digest
    recipe: Recipe
    lock: Lock
    architecture: str
    epoch: int | None
    files: tuple[OwnFile, ...]
    pumice: str
    """The version that built it."""


def order(statement: Statement) -> Order:
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
        told = external["lock"]
        content = base64.b64decode(told["content"], validate=True)
        if hashlib.sha256(content).hexdigest() != told["digest"]["sha256"]:
            raise TrustError("the lock in the provenance does not have the digest that stands beside it")
        return Order(
            subject=statement.subjects[0].digest,
            recipe=msgspec.convert(external["effectiveRecipe"], Recipe),
            lock=locks.parse(content, "the provenance's lock"),
            architecture=msgspec.convert(external["architecture"], str),
            epoch=msgspec.convert(external.get("sourceDateEpoch"), int | None),
            files=tuple(_own_files(definition["resolvedDependencies"])),
            pumice=str(predicate["runDetails"]["builder"]["version"]["pumice"]),
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        what = f"{type(error).__name__}: {error}".replace("\n", " ")[:200]
        raise FormatError(f"the provenance lacks something that a rebuild needs ({what})") from None


def _own_files(dependencies: Sequence[Mapping[str, Any]]) -> list[OwnFile]:
    found = []
    for one in dependencies:
        told = one.get("annotations", {})
        if str(one.get("name", "")).startswith("/") and told.get("kind") in _KINDS:
            found.append(
                OwnFile(
                    path=one["name"],
                    kind=told["kind"],
                    mode=int(told["mode"], 8),
                    owner=str(told["owner"]),
                    link=str(told.get("link", "")),
                    sha256=str(one.get("digest", {}).get("sha256", "")),
                )
            )
    return found


def rebuild(
    ordered: Order,
    image: Image,
    home: Home,
    environ: Mapping[str, str],
    *,
    source: Path | None,
    bundle: Path | None,
    offline: bool,
    progress: Progress,
    look: Callable[[Built, Home], object],
) -> None:
    """Build what ``ordered`` says in an empty store, and let ``look`` see the result before it goes.

    The recipe's own files are taken from the folder ``source``, or else out of ``image`` itself.
    Packages come from ``home`` (their digests are checked), ``bundle`` or the mirrors. Raises PumiceError.
    """
    from pumice.assembly.image import processors
    from pumice.store.home import Home as Store

    if ordered.architecture not in ordered.lock.packages:
        raise FormatError(f"the provenance's lock has no packages for {ordered.architecture}")
    with tempfile.TemporaryDirectory(prefix="reproduce-", dir=home.directory("tmp")) as folder:
        recipe = _recipe(ordered, image, Path(folder), source)
        own = recipe_files.read(recipe.files, Path(recipe.path).parent, ordered.lock.format)
        inputs = platform.Inputs(
            recipe=recipe,
            packages=ordered.lock.packages[ordered.architecture],
            architecture=ordered.architecture,
            ids=ordered.lock.ids,
            format=ordered.lock.format,
            epoch=ordered.epoch,
        )
        with (
            Store(Path(folder, "store"), progress=progress) as clean,
            Connection(
                recipe, clean, environ, offline=offline, progress=progress, bundle=bundle
            ) as connection,
        ):

            def fetch(package: LockedPackage) -> Digest:
                return _from_store(package, home, clean) or connection.fetch(package, ordered.lock)

            built = platform.build(inputs, own, fetch, clean, processors=processors(), progress=progress)
            look(built, clean)


def _from_store(package: LockedPackage, home: Home, clean: Home) -> Digest | None:
    """Take a package that is in the usual store already; what it is, its digest says."""
    wanted = digest.from_hex(package.sha256)
    if home.blobs.size(wanted) != package.size:
        return None
    with home.blobs.open(wanted) as file, clean.blobs.writer() as writer:
        while data := file.read(1 << 20):
            writer.write(data)
        try:
            return writer.commit(wanted)
        except TrustError:
            return None  # damaged: a mirror has another


def _recipe(ordered: Order, image: Image, folder: Path, source: Path | None) -> Recipe:
    """Return the recipe with its files where they are now; keys are not needed, digests decide."""
    origin = msgspec.structs.replace(
        ordered.recipe.origin,
        keyrings=(),
        archives=tuple(
            msgspec.structs.replace(archive, key="", trusted=True)
            for archive in ordered.recipe.origin.archives
        ),
    )
    recipe = msgspec.structs.replace(ordered.recipe, origin=origin)
    if source is not None:
        return msgspec.structs.replace(recipe, path=str(source / "recipe.yaml"))
    rules = _rules(ordered.files, image, folder)
    return msgspec.structs.replace(recipe, path=str(folder / "recipe.yaml"), files=rules)


def _rules(files: Sequence[OwnFile], image: Image, folder: Path) -> tuple[FileRule, ...]:
    """Take the recipe's files out of the image and return rules that put them where they were."""
    wanted = {
        file.path.lstrip("/"): f"own{number:06}" for number, file in enumerate(files) if file.kind == "file"
    }
    _take_out(image, wanted, folder)
    rules = []
    for file in files:
        path = file.path.lstrip("/")
        if file.kind == "dir":
            rules.append(FileRule(to=file.path, directory=True, mode=file.mode, owner=file.owner))
        elif file.kind == "symlink":
            rules.append(FileRule(to=file.path, link=file.link, owner=file.owner))
        elif file.kind == "file":
            if not (folder / wanted[path]).is_file():
                raise TrustError(f"{file.path} is in the provenance and not in the image")
            rules.append(FileRule(to=file.path, source=wanted[path], mode=file.mode, owner=file.owner))
    return tuple(rules)


def _take_out(image: Image, wanted: Mapping[str, str], folder: Path) -> None:
    if not wanted:
        return
    for layer in image.layers():  # a later layer's file takes the place of an earlier one's
        for entry, body in layer.entries():
            if entry.kind == "file" and entry.path in wanted:
                with (folder / wanted[entry.path]).open("wb") as file:
                    while data := body.read(1 << 20):
                        file.write(data)


def check_own_files(ordered: Order, image: Image) -> Found | None:
    """Return the first of the recipe's files in ``image`` that is not what the provenance says.

    Files that a rebuild takes out of the image itself prove nothing about themselves.
    """
    from pumice.evidence import layers
    from pumice.evidence.firstdiff import Found

    told = {file.path.lstrip("/"): file.sha256 for file in ordered.files if file.kind == "file"}
    for number, layer in enumerate(image.layers(), 1):
        read = layers.read(layer)
        for entry, sums in zip(read.entries, read.sums, strict=True):
            if entry.kind == "file" and told.get(entry.path, sums[0]) != sums[0]:
                return Found(
                    place=f"layer {number}",
                    layer=number,
                    path=f"/{entry.path}",
                    what="content, which the provenance names",
                    given=f"sha256:{sums[0]}",
                    rebuilt=f"sha256:{told[entry.path]}",
                )
    return None
