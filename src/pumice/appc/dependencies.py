"""Dependencies of images: which image is meant, and in which order the images are unpacked (spec/aci.md).

For each image come its dependencies in their order, each with its own dependencies before it, then the image
itself; what comes later replaces what came before. A file must be in the whitelist of its own image and of
every image on the way to it, if they have one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.appc.image_manifest import Dependency, ImageManifest, is_same_image
from pumice.errors import FormatError, ImageError, TrustError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_MAX_VISITS = 500


class Candidate(msgspec.Struct, frozen=True):
    """An image that may be a dependency; ``sizes`` are those of its files in bytes, empty without a file."""

    manifest: ImageManifest
    image_id: str
    sizes: tuple[int, ...]
    where: str


class Whitelist(msgspec.Struct, frozen=True):
    """The paths that an image lets through, without a slash at the start, and the directories above them."""

    paths: frozenset[str]
    directories: frozenset[str]

    def allows(self, path: str, *, is_directory: bool) -> bool:
        """Return whether a path stays; the root always does."""
        return not path or path in self.paths or (is_directory and path in self.directories)


class Visit(msgspec.Struct, frozen=True):
    """An image whose files are unpacked, as far as every whitelist lets them through."""

    image: Candidate
    whitelists: tuple[Whitelist, ...]

    def allows(self, path: str, *, is_directory: bool) -> bool:
        """Return whether a path of the image stays."""
        return all(whitelist.allows(path, is_directory=is_directory) for whitelist in self.whitelists)


def plan_rendering(top: Candidate, candidates: Sequence[Candidate]) -> tuple[Visit, ...]:
    """Return the images to unpack for ``top``, in order.

    Raises ImageError for a dependency that no candidate is, TrustError for another image behind its name,
    and FormatError for images that depend on themselves or are visited too often.
    """
    visits: list[Visit] = []
    for visit in _walk(top, candidates, (), ()):
        visits.append(visit)
        if len(visits) > _MAX_VISITS:
            raise FormatError(f"more than {_MAX_VISITS} images would be unpacked", where=top.where)
    return tuple(visits)


def format_dependency(dependency: Dependency) -> str:
    """Return a dependency as ``NAME,LABEL=VALUE...``, cut to 200 characters."""
    labels = "".join(f",{label.name}={label.value}" for label in dependency.labels)
    return f"{dependency.image_name}{labels}"[:200]


def make_whitelist(manifest: ImageManifest) -> Whitelist | None:
    """Return the whitelist of an image, None if it lets everything through."""
    if not manifest.path_whitelist:
        return None
    paths = set()
    directories = set()
    for text in manifest.path_whitelist:
        path = "/".join(part for part in text.split("/") if part not in ("", "."))
        paths.add(path)
        while path := path.rpartition("/")[0]:
            directories.add(path)
    return Whitelist(frozenset(paths), frozenset(directories))


def _walk(
    image: Candidate,
    candidates: Sequence[Candidate],
    ancestors: tuple[str, ...],
    whitelists: tuple[Whitelist, ...],
) -> Iterator[Visit]:
    if image.image_id in ancestors:
        raise FormatError("the image depends on itself", where=image.where)
    own_whitelist = make_whitelist(image.manifest)
    if own_whitelist is not None and own_whitelist not in whitelists:
        whitelists = (*whitelists, own_whitelist)
    for dependency in image.manifest.dependencies:
        chosen = choose_dependency(dependency, candidates, image.where)
        yield from _walk(chosen, candidates, (*ancestors, image.image_id), whitelists)
    yield Visit(image, whitelists)


def choose_dependency(dependency: Dependency, candidates: Sequence[Candidate], where: str) -> Candidate:
    """Return the first candidate with the name, labels, ID and size of a dependency.

    Raises ImageError if there is none of that name, and TrustError if all of them are other images.
    """
    same_name = [
        candidate
        for candidate in candidates
        if is_same_image(candidate.manifest, dependency.image_name, dependency.labels)
    ]
    if not same_name:
        raise ImageError(
            f"the image depends on {format_dependency(dependency)}, which was not given",
            where=where,
            hint="pass its file with --dependency FILE",
        )
    right_images = [each for each in same_name if dependency.image_id in ("", each.image_id)]
    for candidate in right_images:
        if _has_size(candidate, dependency):
            return candidate
    name = dependency.image_name[:100]
    if not right_images:
        raise TrustError(
            f"the image {name} does not have the ID that the dependency requires",
            where=same_name[0].where,
            hint=f"{where} requires {dependency.image_id}",
        )
    if not any(candidate.sizes for candidate in right_images):
        raise TrustError(
            f"the dependency requires a size, and the image {name} in the store has none",
            where=right_images[0].where,
            hint=f"put its file next to the image: pumice convert {right_images[0].where} aci:FILE",
        )
    raise TrustError(
        f"the image {name} does not have the size that the dependency requires",
        where=right_images[0].where,
        hint=f"{where} requires {dependency.size} bytes",
    )


def _has_size(candidate: Candidate, dependency: Dependency) -> bool:
    """Return whether a candidate has the required size. If it has no file, a required ID suffices."""
    if not candidate.sizes:
        return bool(dependency.image_id) or not dependency.size
    return dependency.size in (0, *candidate.sizes)
