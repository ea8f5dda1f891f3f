"""Images in the store as App Container images.

An image that was copied or fetched from an App Container image has a mark with its image ID. Any other image,
also one whose annotations only claim an ID, is what `pumice convert` would write of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.appc.dependencies import Candidate
from pumice.appc.labels import find_value
from pumice.image import aci_reader, converted_images
from pumice.image.aci_rendering import RenderableImage
from pumice.image.aci_writer import AciOptions
from pumice.runtime.app_container.image_app import find_app_container_image

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from pumice.appc.image_manifest import ImageManifest
    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor
    from pumice.formats.tar import Body, Entry
    from pumice.image.layer import Layer
    from pumice.image.model import BlobSource, Image
    from pumice.progress import Progress
    from pumice.store.archive_marks import ArchiveMark
    from pumice.store.home import Home


class StoredImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image of one platform in the store under a name, and its manifest.

    Without a mark, it must be converted.
    """

    name: str
    image: Image
    manifest: ImageManifest
    mark: ArchiveMark | None = None


def read_stored(name: str, image: Image, home: Home) -> StoredImage:
    """Return what an image of one platform is for App Container, reading no layer.

    Raises PumiceError if App Container has no such name or platform.
    """
    origin = find_app_container_image(image)
    mark = home.archive_marks.get(image.root.digest)
    if origin is not None and mark is not None and mark.image_id == origin.image_id:
        return StoredImage(name=name, image=image, manifest=origin.manifest, mark=mark)
    if origin is not None:
        options = _make_options(origin.manifest)
    else:
        repository, _, version = name.rpartition(":")
        options = AciOptions(name=repository, version=version)
    manifest = converted_images.describe_image(image, options)
    return StoredImage(name=name, image=image, manifest=manifest)


def find_image_id(image: Image, reference: str, home: Home, progress: Progress) -> str:
    """Return the image ID of an image of one platform in any location; raises PumiceError.

    ``reference`` names it, with or without its version.
    """
    origin = find_app_container_image(image)
    if origin is not None and aci_reader.is_converted(image):
        return origin.image_id
    versions = (name for name in home.refs.names() if name.rpartition(":")[0] == reference)
    name = reference if ":" in reference.rpartition("/")[2] else next(versions, f"{reference}:")
    stored = read_stored(name, image, home)
    return make_renderable(stored, home, progress).candidate.image_id


def make_renderable(stored: StoredImage, home: Home, progress: Progress) -> RenderableImage:
    """Return an image as one that can be rendered, converted if necessary; raises PumiceError."""
    if stored.mark is not None:
        candidate = Candidate(stored.manifest, stored.mark.image_id, stored.mark.sizes, stored.name)
        layers = tuple(_StoredLayer(layer, home.blobs) for layer in stored.image.layers())
        return RenderableImage(candidate, layers)
    converted = converted_images.convert_image(
        *(stored.image, _make_options(stored.manifest), home.directory("tmp"), home.records, progress)
    )
    candidate = Candidate(converted.validated.manifest, converted.validated.image_id, (), stored.name)
    return RenderableImage(candidate, (converted.layer,))


def _make_options(manifest: ImageManifest) -> AciOptions:
    return AciOptions(name=manifest.name, version=find_value(manifest.labels, "version") or "")


class _StoredLayer:
    """A layer of an image in the store."""

    def __init__(self, layer: Layer, blobs: BlobSource) -> None:
        self._layer = layer
        self._blobs = blobs

    @property
    def descriptor(self) -> Descriptor:
        """The descriptor of the compressed layer."""
        return self._layer.descriptor

    @property
    def diff_id(self) -> Digest:
        """The digest of the layer's tar."""
        return self._layer.diff_id

    def open(self) -> BinaryIO:
        """Open the compressed layer."""
        return self._blobs.open(self.descriptor.digest)

    def entries(self) -> Iterator[tuple[Entry, Body]]:
        """Yield the entries, verified when all were read."""
        return self._layer.entries()
