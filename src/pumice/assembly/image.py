"""A recipe and its lock to an image with all its architectures: the whole of ``pumice build``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice import files
from pumice.assembly import evidence, platform, recipe_files
from pumice.errors import UsageError
from pumice.recipe.lock import Ids, Lock, dump

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from pumice.assembly.evidence import AttachedArtifacts
    from pumice.assembly.platform import PlatformImage
    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor
    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.recipe.lock import LockedPackage
    from pumice.recipe.model import Recipe
    from pumice.store.home import Home

    Fetch = Callable[[LockedPackage], Digest]

_MOST_PROCESSORS = 6


class BuiltImage(msgspec.Struct, frozen=True):
    """An image: what points to it, and how each architecture came to be."""

    root: Descriptor
    platforms: dict[str, PlatformImage]
    evidence: AttachedArtifacts = {}

    def open(self, home: Home) -> Image:
        """Return the image, readable from the store, with its evidence and what else is about it there."""
        from pumice.assembly.evidence import is_build_evidence
        from pumice.image.model import Image

        def about(digest: Digest) -> list[Descriptor]:
            known = [one for one in home.referrers.get(digest) if not is_build_evidence(one)]
            return [*known, *self.evidence.get(digest, ())]

        return Image(self.root, home.blobs, about)

    def save(self, name: str, home: Home) -> None:
        """Let ``name`` stand for the image in the store, with its evidence."""
        from pumice.assembly.evidence import is_build_evidence

        for digest, artifacts in self.evidence.items():
            home.referrers.add(digest, artifacts, is_replaced=is_build_evidence)
        home.refs.set(name, self.root)


def source_date_epoch(environ: Mapping[str, str]) -> int | None:
    """Return ``SOURCE_DATE_EPOCH`` (reproducible-builds.org) if it is set; raises UsageError."""
    text = environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 11:
        raise UsageError(
            f"SOURCE_DATE_EPOCH is {text[:40]!r}", hint="it must be a number of seconds since 1970"
        )
    return int(text)


def default_processors() -> int:
    """Return how many packages to cut at a time; it decides no byte of the result.

    Each takes about 12 MB, most of it xz's dictionary; more of them would gain little, since the
    largest package alone takes longest.
    """
    return max(1, min(os.cpu_count() or 1, _MOST_PROCESSORS))


def build_image(
    recipe: Recipe,
    lock: Lock,
    architectures: Sequence[str],
    fetch: Fetch,
    home: Home,
    *,
    moment: int | None,
    progress: Progress,
    locked: bool = False,
) -> BuiltImage:
    """Make the image of ``recipe`` as ``lock`` says; several architectures give an index.

    Evidence is attached for the lock with the ids that were allocated, which `keep_ids` writes, or with
    ``locked`` for the lock as it is. Raises PumiceError; what is finished by then stays in the store
    for the next time.
    """
    own = recipe_files.read_recipe_files(recipe.files, Path(recipe.path).parent, lock.format)
    built: dict[str, PlatformImage] = {}
    ids = lock.ids
    for architecture in architectures:
        inputs = platform.PlatformInputs(
            recipe=recipe,
            packages=lock.packages[architecture],
            architecture=architecture,
            ids=ids,
            format=lock.format,
            source_date_epoch=moment,
        )
        built[architecture] = platform.build_platform(
            inputs, own, fetch, home, processors=default_processors(), progress=progress
        )
        ids = _merge_ids(ids, built[architecture].ids)  # a name has one number on all architectures
    root = _write_root(recipe, list(built.values()), home)
    for descriptor in (root, *(one.manifest for one in built.values())):
        home.build_marks.add(descriptor.digest)
    final = lock if locked else with_allocated_ids(lock, built.values())
    attached = evidence.attach_evidence(recipe, final, own, root, built, moment, home)
    return BuiltImage(root, built, attached)


def _write_root(recipe: Recipe, built: Sequence[PlatformImage], home: Home) -> Descriptor:
    if len(built) == 1:
        return built[0].manifest
    from pumice.assembly import layer_assembly

    newest = max(one.created for one in built)
    return layer_assembly.write_index(recipe, [one.manifest for one in built], newest, home.blobs)


def save_allocated_ids(lock: Lock, path: Path, finished: BuiltImage) -> None:
    """Write the ids that were allocated into the lock, so that later builds keep them."""
    final = with_allocated_ids(lock, finished.platforms.values())
    if final.ids != lock.ids:
        files.replace(path, dump(final))


def with_allocated_ids(lock: Lock, built: Iterable[PlatformImage]) -> Lock:
    """Return the lock with the ids that builds allocated."""
    ids = lock.ids
    for one in built:
        ids = _merge_ids(ids, one.ids)
    return msgspec.structs.replace(lock, ids=ids)


def _merge_ids(ids: Ids, more: Ids) -> Ids:
    return Ids(more.users | ids.users, more.groups | ids.groups)
