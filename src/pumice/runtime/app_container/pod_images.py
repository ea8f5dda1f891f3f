"""The images of an App Container pod manifest: files, or images in the store by their image ID."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.appc.labels import find_value
from pumice.errors import FormatError, ImageError, UsageError
from pumice.formats import oci
from pumice.image import aci_cache
from pumice.image.aci_conversion import APPC_IMAGE_ID
from pumice.image.transports import store
from pumice.runtime.app_container.dependency_images import complete_image
from pumice.runtime.app_container.stored_images import make_renderable, read_stored

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.runtime.app_container.dependency_images import DependencySearch
    from pumice.runtime.pod_inputs.model import InputApp
    from pumice.store.home import Home


class AciFile(msgspec.Struct, frozen=True):
    """An App Container image in a file, with what it depends on."""

    path: str
    name: str
    version: str
    image_id: str
    image: Image

    @property
    def reference(self) -> str:
        """Return the name with the version, as a reference."""
        return f"{self.name}:{self.version}"


def open_files(search: DependencySearch) -> list[AciFile]:
    """Return the images in the files of a search, with what they depend on; raises PumiceError."""
    opened = []
    for path in search.files:
        read = aci_cache.open_aci(path, search.home.records, search.progress)
        manifest = read.validated.manifest
        opened.append(
            AciFile(
                str(path),
                manifest.name,
                find_value(manifest.labels, "version") or "",
                read.validated.image_id,
                complete_image(read, search),
            )
        )
    return opened


def find_file(app: InputApp, candidates: Sequence[AciFile]) -> AciFile | None:
    """Return the file with the image ID of an app; raises ImageError for another image with its name."""
    image_id = app.options.image_id
    for candidate in candidates:
        if image_id and candidate.image_id == image_id:
            return candidate
    for candidate in candidates:
        if app.reference in (candidate.name, candidate.reference):
            raise ImageError(
                f"the image of the app {app.options.name!r} is {candidate.image_id[:23]}…, "
                f"not {image_id[:23]}…",
                where=candidate.path,
                hint="pass another file with --aci, or correct the ID in the pod manifest",
            )
    return None


def find_stored(image_id: str, home: Home, progress: Progress) -> str:
    """Return a name in the store of the image with an image ID; raises ImageError.

    An image that only claims the ID in an annotation counts if converting it gives that ID.
    """
    for name, descriptor in home.refs.all().items():
        try:
            with home.blobs.open(descriptor.digest) as file:
                data = file.read(oci.MAX_DOCUMENT)
            if oci.read_manifest(data).annotations.get(APPC_IMAGE_ID) != image_id:
                continue
            stored = read_stored(name, store.find_image(name, home), home)
            if make_renderable(stored, home, progress).candidate.image_id == image_id:
                return name
        except (FormatError, ImageError, UsageError):
            continue
    raise ImageError(
        f"there is no image {image_id[:23]}… in the store",
        hint="pass its file with --aci, or copy it into the store: pumice copy aci:FILE store:",
    )
