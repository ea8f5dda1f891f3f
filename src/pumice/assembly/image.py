"""``pumice build``: from a recipe and its lock to an image with all its platforms and their evidence."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice import files
from pumice.assembly import evidence
from pumice.assembly.evidence_model import EvidenceSources
from pumice.assembly.platform import build_platform
from pumice.assembly.platform_model import PlatformInputs
from pumice.assembly.recipe_files import read_recipe_files
from pumice.errors import ImageError, StoreError
from pumice.recipe.lock import Ids, Lock, encode_lock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.assembly.context import BuildContext
    from pumice.assembly.evidence import AttachedArtifacts
    from pumice.assembly.platform_model import PlatformImage
    from pumice.assembly.recipe_files import RecipeFiles
    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor
    from pumice.image.model import Image
    from pumice.recipe.model import Recipe
    from pumice.store.blobs import Blobs
    from pumice.store.home import Home


class BuiltImage(msgspec.Struct, frozen=True):
    """A built image: its root descriptor, the image of each Debian architecture, and its evidence.

    ``root`` describes the manifest of the only platform or the index of several.
    """

    root: Descriptor
    platforms: dict[str, PlatformImage]
    evidence: AttachedArtifacts = {}

    def open(self, home: Home) -> Image:
        """Return the image, readable from the store, with its evidence and its other referrers there."""
        from pumice.image.model import Image

        def list_referrers(subject: Digest) -> list[Descriptor]:
            others = [item for item in home.referrers.get(subject) if not evidence.is_build_evidence(item)]
            return [*others, *self.evidence.get(subject, ())]

        return Image(self.root, home.blobs, list_referrers)

    def save(self, name: str, home: Home) -> None:
        """Point the reference ``name`` of the store to the image, with its evidence."""
        for subject, artifacts in self.evidence.items():
            home.referrers.add(subject, artifacts, is_replaced=evidence.is_build_evidence)
        if not self._has_name(
            name, home
        ):  # a build without changes writes nothing, also in a read-only store
            home.refs.set(name, self.root)

    def _has_name(self, name: str, home: Home) -> bool:
        try:
            return home.refs.get(name) == self.root
        except StoreError:  # damaged, so it is written again
            return False


def build_image(
    recipe: Recipe,
    lock: Lock,
    architectures: Sequence[str],
    context: BuildContext,
    *,
    locked: bool = False,
    recipe_text: str | None = None,
) -> BuiltImage:
    """Build the image of ``recipe`` from ``lock``; with several architectures it is an index.

    Its evidence names the lock with the ids that were allocated, as `save_build_record` writes it, or
    with ``locked`` the lock as it is; and ``recipe_text`` as the text of the recipe file, which is read if it
    is None. Raises PumiceError; finished parts stay in the store for the next build.
    """
    _check_format(recipe, lock)
    recipe_files = read_recipe_files(recipe.files, Path(recipe.path).parent, lock.format)
    images: dict[str, PlatformImage] = {}
    ids = lock.ids
    for architecture in architectures:
        inputs = platform_inputs(recipe, lock, architecture, recipe_files, ids)
        images[architecture] = build_platform(inputs, context)
        ids = _merge_ids(ids, images[architecture].ids)  # a name has one id on all architectures
    root = _write_root(recipe, list(images.values()), context.home.blobs)
    for descriptor in (root, *(image.manifest for image in images.values())):
        context.home.build_marks.add(descriptor.digest)
    sources = EvidenceSources.of(
        recipe,
        lock if locked else with_build_record(lock, images),
        recipe_files.digest,
        context.source_date_epoch,
        recipe_text,
    )
    return BuiltImage(root, images, evidence.attach_evidence(sources, root, images, context.home))


def platform_inputs(
    recipe: Recipe, lock: Lock, architecture: str, files: RecipeFiles, ids: Ids
) -> PlatformInputs:
    """Return the inputs of the image for one architecture of a lock."""
    return PlatformInputs(
        recipe=recipe,
        files=files,
        packages=lock.packages[architecture],
        architecture=architecture,
        ids=ids,
        format=lock.format,
        omittable=lock.omittable.get(architecture, ()),
        without=lock.without.get(architecture, ()),
        slices=lock.slices,
    )


def _check_format(recipe: Recipe, lock: Lock) -> None:
    if recipe.permissions and lock.format < 2:
        raise ImageError(
            f"'permissions' needs a lock of format 2, and this one has format {lock.format}",
            where=recipe.permissions[0].where or None,
            hint=f"run 'pumice lock --upgrade {recipe.path}'",
        )


def _write_root(recipe: Recipe, images: Sequence[PlatformImage], blobs: Blobs) -> Descriptor:
    if len(images) == 1:
        return images[0].manifest
    from pumice.assembly.manifests import write_index

    newest = max(image.created for image in images)
    return write_index(recipe, [image.manifest for image in images], newest, blobs)


def save_build_record(lock: Lock, path: Path, image: BuiltImage) -> None:
    """Write into the lock file the ids that a build allocated, for later builds, and what it left out."""
    complete_lock = with_build_record(lock, image.platforms)
    if complete_lock != lock:
        files.replace(path, encode_lock(complete_lock))


def with_build_record(lock: Lock, images: Mapping[str, PlatformImage]) -> Lock:
    """Return the lock with what the builds of ``images``, by architecture, allocated and left out."""
    ids = lock.ids
    omitted = dict(lock.omitted)
    for architecture, image in images.items():
        ids = _merge_ids(ids, image.ids)
        omitted[architecture] = tuple(sorted(image.omission.names))
    return msgspec.structs.replace(
        lock, ids=ids, omitted={name: packages for name, packages in omitted.items() if packages}
    )


def _merge_ids(ids: Ids, new_ids: Ids) -> Ids:
    return Ids(new_ids.users | ids.users, new_ids.groups | ids.groups)
