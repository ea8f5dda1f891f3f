"""The images of an App Container pod manifest: in files, in the store by their image ID, or discovered.

They are found as dependencies are, and another image behind a name is refused in the same way.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from pumice.appc.dependencies import Candidate
from pumice.appc.image_manifest import Dependency, ImageManifest
from pumice.appc.labels import Label, find_value
from pumice.errors import FormatError, ImageError, PumiceError, TrustError, UsageError
from pumice.formats import oci, platforms
from pumice.image import aci_cache
from pumice.image.aci_conversion import APPC_IMAGE_ID
from pumice.image.aci_platforms import find_architecture
from pumice.image.transports import store
from pumice.runtime.app_container import dependency_images
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


def find_image(app: InputApp, files: Sequence[AciFile], search: DependencySearch) -> tuple[str, Image] | None:
    """Return a reference to the image of an app, and the image, None for an app without an image ID.

    It is one of ``files``, or in the store, or else discovered by its name; without an ID, it is one of
    ``files``. Raises TrustError for another image with its name and labels, and ImageError if there is none.
    """
    refusals: list[TrustError] = []
    if file := _find_file(app, files, refusals):
        return file.path, file.image
    if not app.options.image_id:
        return None
    if name := _find_stored_name(app, search, refusals):
        return name, store.find_image(name, search.home)
    reason = "it is not in the store"
    if not refusals and app.image_name and search.discover is not None:
        reason = _discover(app, search)
        if name := _find_stored_name(app, search, refusals):
            return name, store.find_image(name, search.home)
    if refusals:
        raise refusals[0]
    image = app.image_name[:100] or f"{app.options.image_id[:23]}…"
    raise ImageError(
        f"cannot find the image {image} of the app {app.options.name!r}: {reason}",
        hint="pass its file with --aci, or copy it into the store: pumice copy aci:FILE store:NAME:VERSION",
    )


def _discover(app: InputApp, search: DependencySearch) -> str:
    """Fetch the image of an app into the store; return why that failed. Raises TrustError."""
    discover = search.discover
    try:
        if discover is not None:
            discover(_make_requirement(app))
    except TrustError as error:
        message = f"cannot use the image of the app {app.options.name!r}: {error.message}"
        raise TrustError(message, where=error.where, hint=error.hint) from None
    except PumiceError as error:
        return error.message
    return "another image was fetched"


def _make_requirement(app: InputApp) -> Dependency:
    labels = tuple(Label(name, value) for name, value in app.image_labels)
    return Dependency(image_name=app.image_name, image_id=app.options.image_id, labels=labels)


def _find_file(app: InputApp, files: Sequence[AciFile], refusals: list[TrustError]) -> AciFile | None:
    """Return the file of an app; one with its name and another image ID is refused."""
    image_id = app.options.image_id
    same_name = [file for file in files if app.reference in (file.name, file.reference)]
    if file := next((file for file in files if file.image_id == image_id), None):
        return file
    if not image_id:
        return next(iter(same_name), None)
    refusals += [_make_refusal(app, file.image_id, file.path) for file in same_name]
    return None


def _make_refusal(app: InputApp, image_id: str, where: str) -> TrustError:
    return TrustError(
        f"the image of the app {app.options.name!r} is {image_id[:23]}…, not {app.options.image_id[:23]}…",
        where=where,
        hint="pass the right file with --aci, or correct the ID in the pod manifest",
    )


def _find_stored_name(app: InputApp, search: DependencySearch, refusals: list[TrustError]) -> str:
    """Return a name in the store of the image of an app, "" for none; others of its name are refused."""
    home = search.home
    if name := find_stored(app.options.image_id, home, search.progress, app.image_name):
        return name
    if not app.image_name:
        return ""
    requirement = _make_requirement(app)
    machine = search.source.platform or platforms.from_machine(os.uname().machine)
    platform = (Label("arch", find_architecture(machine)), Label("os", machine.os))
    manifest = ImageManifest(name=app.image_name, labels=platform)
    pod = Candidate(manifest, "", (), f"the app {app.options.name!r}")
    for image in dependency_images.find_stored(requirement, pod, search):
        if image.renderable.candidate.image_id == requirement.image_id:
            return image.reference
        refusals.append(_make_refusal(app, image.renderable.candidate.image_id, image.reference))
    return ""


def find_stored(image_id: str, home: Home, progress: Progress, preferred_name: str = "") -> str:
    """Return a name in the store of the image with an image ID, "" for none.

    An image that only claims the ID in an annotation counts if converting it gives that ID.
    """
    refs = home.refs.all()
    for name in sorted(refs, key=lambda name: name.rpartition(":")[0] != preferred_name):
        try:
            with home.blobs.open(refs[name].digest) as file:
                data = file.read(oci.MAX_DOCUMENT)
            if oci.read_manifest(data).annotations.get(APPC_IMAGE_ID) != image_id:
                continue
            stored = read_stored(name, store.find_image(name, home), home)
            if make_renderable(stored, home, progress).candidate.image_id == image_id:
                return name
        except (FormatError, ImageError, UsageError):
            continue
    return ""
