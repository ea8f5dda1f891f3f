"""Find the images that an App Container image depends on, and admit each of them.

A dependency is looked for among the files of the command line, then in the directory of the image, then in
the store; if none of them has its name, it is discovered. Another image behind its name is refused.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.appc.dependencies import Candidate, choose_dependency, format_dependency
from pumice.appc.image_manifest import is_same_image
from pumice.appc.labels import find_value
from pumice.errors import FormatError, ImageError, PumiceError, TrustError, UsageError
from pumice.formats import platforms
from pumice.image import aci_cache, aci_rendering
from pumice.image.aci_rendering import RenderableImage
from pumice.image.transports import store
from pumice.image.transports.locations import ACI, with_scheme
from pumice.runtime.app_container.stored_images import make_renderable, read_stored
from pumice.trust import admission, version_order

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pumice.appc.image_manifest import Dependency, ImageManifest
    from pumice.image.aci_reader import ReadAci
    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.runtime.run_options import ImageOptions
    from pumice.store.home import Home

_MAX_DEPENDENCIES = 64
_MAX_FILES = 1000
"""Files in the directory of an image whose manifests are read."""
_PLATFORM = ("os", "arch")


class DependencySearch(msgspec.Struct, frozen=True, kw_only=True):
    """Where dependencies are looked for, and how they are admitted.

    ``files`` come before those in the directory of the image. ``discover`` fetches an image into the store;
    without it, no network is used.
    """

    home: Home
    progress: Progress
    source: ImageOptions
    files: tuple[Path, ...] = ()
    discover: Callable[[Dependency], object] | None = None


class DependencyImage(msgspec.Struct, frozen=True):
    """An image that may be a dependency: as it is rendered, as it is admitted, and what it is called."""

    renderable: RenderableImage
    image: Image
    reference: str

    @property
    def manifest(self) -> ImageManifest:
        """The manifest of the image."""
        return self.renderable.candidate.manifest


def complete_image(read: ReadAci, search: DependencySearch) -> Image:
    """Return an image with everything that it depends on, as the content of its own file.

    So the signature of the file counts for it, and the dependencies have been admitted. Raises PumiceError.
    """
    manifest = read.validated.manifest
    for warning in read.validated.warnings:
        search.progress.warn(f"{read.archive.path}: {warning}")
    if not (manifest.dependencies or manifest.path_whitelist):
        return read.image()
    top = aci_rendering.make_renderable(read)
    dependencies = [
        dependency_image.renderable for dependency_image in _find_dependencies(top.candidate, search)
    ]
    rendered = aci_rendering.render_images(top, dependencies, search.home.records)
    return rendered.image.inside(read.archive)


def _find_dependencies(top: Candidate, search: DependencySearch) -> list[DependencyImage]:
    """Return all images that an image depends on, directly or not."""
    admitted: list[DependencyImage] = []
    pending = [(dependency, top) for dependency in top.manifest.dependencies]
    while pending:
        dependency, parent = pending.pop(0)
        if choose_first(dependency, admitted, parent, []) is not None:
            continue
        if len(admitted) >= _MAX_DEPENDENCIES:
            raise FormatError(f"the image depends on more than {_MAX_DEPENDENCIES} images", where=top.where)
        dependency_image = _find_dependency(dependency, parent, top, search)
        _admit(dependency_image, dependency, search)
        admitted.append(dependency_image)
        candidate = dependency_image.renderable.candidate
        pending += [(each, candidate) for each in candidate.manifest.dependencies]
    return admitted


def _find_dependency(
    dependency: Dependency, parent: Candidate, top: Candidate, search: DependencySearch
) -> DependencyImage:
    refusals: list[TrustError] = []
    folder = Path(top.where).parent
    for candidates in (
        _find_files(search.files, dependency, top, search),
        _find_files(_list_folder(folder), dependency, top, search),
        find_stored(dependency, top, search),
    ):
        if dependency_image := choose_first(dependency, candidates, parent, refusals):
            return dependency_image
    if refusals:
        raise refusals[0]
    reason = ""
    if search.discover is not None:
        try:
            search.discover(dependency)
        except TrustError as error:
            raise _name_dependency(error, dependency) from None
        except PumiceError as error:
            reason = f" ({error.message})"
        if dependency_image := choose_first(
            dependency, find_stored(dependency, top, search), parent, refusals
        ):
            return dependency_image
    if refusals:
        raise refusals[0]
    raise ImageError(
        f"cannot find {format_dependency(dependency)}, which the image depends on{reason}",
        where=parent.where,
        hint=f"put its file into {folder}, or into the store: pumice copy aci:FILE store:NAME:VERSION",
    )


def choose_first(
    dependency: Dependency,
    candidates: Iterable[DependencyImage],
    parent: Candidate,
    refusals: list[TrustError],
) -> DependencyImage | None:
    """Return the first right one of candidates, None without one; other images of its name are refused.

    Candidates after it are not made, because converting one takes as long as reading it.
    """
    for dependency_image in candidates:
        try:
            choose_dependency(dependency, [dependency_image.renderable.candidate], parent.where)
        except TrustError as error:
            refusals.append(error)
        except ImageError:  # it has another name
            continue
        else:
            return dependency_image
    return None


def _find_files(
    paths: Iterable[Path], dependency: Dependency, top: Candidate, search: DependencySearch
) -> Iterator[DependencyImage]:
    records = search.home.records
    for path in paths:
        manifest = aci_cache.find_manifest(path, records)
        if manifest is not None and str(path) != top.where and _is_meant(manifest, dependency, top):
            read = aci_cache.open_aci(path, records, search.progress)
            yield DependencyImage(
                aci_rendering.make_renderable(read), read.image(), with_scheme(ACI, str(path))
            )


def _list_folder(folder: Path) -> list[Path]:
    """Return the images in a directory, sorted by name."""
    try:
        return sorted(path for path in folder.iterdir() if path.name.endswith(".aci"))[:_MAX_FILES]
    except OSError:
        return []


def find_stored(
    dependency: Dependency, top: Candidate, search: DependencySearch
) -> Iterator[DependencyImage]:
    """Yield the images in the store under the name of a dependency, the last version first."""
    home = search.home
    machine = search.source.platform or platforms.from_machine(os.uname().machine)
    parts = (name.rpartition(":") for name in home.refs.all())
    versions = [version for name, _, version in parts if name == dependency.image_name]
    for version in version_order.sort_newest_first(versions):
        name = f"{dependency.image_name}:{version}"
        try:
            image = store.find_image(name, home)
            stored = read_stored(name, image.select(machine), home)
        except (ImageError, FormatError, UsageError):
            continue
        if _is_meant(stored.manifest, dependency, top):
            renderable = make_renderable(stored, home, search.progress)
            yield DependencyImage(renderable, image, name)


def _is_meant(manifest: ImageManifest, dependency: Dependency, top: Candidate) -> bool:
    """Return whether an image has the name and labels of a dependency, and is for the platform of the top."""
    required = {label.name for label in dependency.labels}
    for label in _PLATFORM:
        own, other = find_value(manifest.labels, label), find_value(top.manifest.labels, label)
        if label not in required and own and other and own != other:
            return False
    return is_same_image(manifest, dependency.image_name, dependency.labels)


def _admit(dependency_image: DependencyImage, dependency: Dependency, search: DependencySearch) -> None:
    """Raise TrustError unless the image may be used under the name of the dependency."""
    source = search.source
    version = find_value(dependency_image.manifest.labels, "version")
    request = admission.AdmissionRequest(
        reference=dependency_image.reference,
        name=f"{dependency.image_name}:{version}" if version else dependency.image_name,
        # An image ID pins the image, so it may be older than others.
        allow_older=source.allow_older or bool(dependency.image_id),
    )
    try:
        admission.admit(
            *(dependency_image.image, "run", search.home, request),
            environ=os.environ,
            progress=search.progress,
            insecure=source.is_insecure,
            confirm=source.confirm,
        )
    except TrustError as error:
        raise _name_dependency(error, dependency) from None


def _name_dependency(error: TrustError, dependency: Dependency) -> TrustError:
    message = f"cannot use the dependency {format_dependency(dependency)}: {error.message}"
    return TrustError(message, where=error.where, hint=error.hint)
