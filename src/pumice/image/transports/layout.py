"""OCI image layouts in a folder (image-spec 1.1, image-layout.md), read and written.

A layout that Pumice writes holds one image: with two descriptors in ``index.json``, skopeo, buildah
and crane ask which one is meant. So writing into a layout takes the place of the image in it, and
blobs that nothing refers to any more go. The order is such that a reader, or a power cut, meets the
old image or the new one: blobs first, then ``index.json``, then the removal.
"""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from pumice import digest, files, ownership
from pumice.errors import ImageError, PumiceError, TrustError
from pumice.formats import oci
from pumice.image import referrers
from pumice.image.blob_copy import Blob, in_parallel
from pumice.image.model import Image, contents
from pumice.image.regular_file import is_plain, open_plain, read_small
from pumice.image.stat_cache import LayoutStatCache
from pumice.image.transports import cosign_layout, layout_index
from pumice.os_errors import IMAGE, translate_os_errors
from pumice.progress import Silent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor
    from pumice.image.model import BlobSource
    from pumice.image.stat_cache import Records
    from pumice.progress import Progress, Task

HEADER = "oci-layout"
INDEX = "index.json"
BLOBS = "blobs/sha256"
_TEMPORARY = ".pumice-"
_MAX_HEADER = 4096


# Reading ------------------------------------------------------------------------------------------


class LayoutBlobs:
    """The blobs of a layout folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / BLOBS

    def open(self, digest_: Digest) -> BinaryIO:
        """Open a blob; raises ImageError when it is not there. Whoever reads it checks it."""
        path = self._folder / digest.hex_of(digest_)
        file = open_plain(path)
        if file is None:
            raise ImageError(f"the layout has no blob {digest_}", where=str(self._folder.parent.parent))
        return file


def read(folder: Path, tag: str = "") -> Image:
    """Return the image called ``tag`` in a layout, or the only one; raises ImageError."""
    header, index = read_small(folder / HEADER, _MAX_HEADER), read_small(folder / INDEX, oci.MAX_DOCUMENT)
    if header is None or index is None:
        missing = HEADER if header is None else INDEX
        raise ImageError(f"this is no OCI layout: it has no {missing}", where=str(folder))
    oci.read_layout_header(header)
    found = layout_index.select(index, tag, str(folder), LayoutBlobs(folder))
    if cosign_layout.KIND in found.root.annotations:
        known = {one.digest for one in found.beside}
        found.beside += tuple(
            one for one in cosign_layout.unlisted(folder / BLOBS, found.root) if one.digest not in known
        )
    return found


# Writing ------------------------------------------------------------------------------------------


class Whole(msgspec.Struct, frozen=True):
    """All that a layout of one image consists of: its ``index.json``, the blobs, and where to read them."""

    index: bytes
    parts: tuple[Descriptor, ...]
    image: Image


def whole(image: Image, tag: str, *, name: str = "", listed: bool = False) -> Whole:
    """Return what a layout of ``image`` is: the same for the same image, evidence, name and tag.

    What is about the image is in an index that an annotation names; with ``listed`` it is in
    ``index.json`` itself, which oras and cosign want and skopeo, buildah and crane refuse.
    """
    root, about = image.root, referrers.gather(image)
    annotations = layout_index.naming(name, tag)
    parts, data = contents(image) + about.parts, []
    if about.artifacts and not listed:
        data.append(about.index())
        described = oci.make_descriptor(data[0], oci.INDEX)
        annotations[oci.REFERRERS] = described.digest
        parts = (*parts, described)
    pointer = oci.Descriptor(
        root.media_type, root.digest, root.size, annotations, artifact_type=root.artifact_type
    )
    index = oci.make_index(cosign_layout.marked(pointer, about.artifacts) if listed else (pointer,))
    once = tuple({part.digest: part for part in parts}.values())
    return Whole(oci.encode_document(index), once, Image(root, referrers.Over(data, image.blobs)))


def header() -> bytes:
    """Return the ``oci-layout`` file."""
    return oci.encode_document(oci.LayoutHeader(oci.LAYOUT_VERSION))


def write(
    image: Image,
    folder: Path,
    tag: str,
    *,
    records: Records | None,
    progress: Progress,
    name: str = "",
    listed: bool = False,
) -> None:
    """Make ``folder`` a layout of just this image, tagged ``tag``; ``name`` and ``listed`` as in `whole`.

    The folder is made when it does not exist; otherwise it must be empty or a layout of at most one
    image. Blobs that are there already are hashed, or known from ``records``, and not written again.
    Raises ImageError; then the folder is as it was.
    """
    made = whole(image, tag, name=name, listed=listed)
    with translate_os_errors(folder, IMAGE), _held(folder) as writer:
        writer.check()
        writer.fill(made.parts, made.image, progress, LayoutStatCache(folder, records))
        writer.publish(made.index)
        writer.sweep({digest.hex_of(descriptor.digest) for descriptor in made.parts})
        writer.stamps.save()


def attach(folder: Path, image: Image, about: tuple[Descriptor, ...], blobs: BlobSource) -> None:
    """Make ``about``, read from ``blobs``, all that refers to an image in a layout folder.

    ``image`` is as `read` returned it; whatever else the layout lists stays. Raises ImageError.
    """
    with translate_os_errors(folder, IMAGE), _held(folder) as writer:
        _check_is_listed(folder, image)
        writer.check()
        listed = oci.encode_document(oci.make_index(about))
        writer.add_documents(about, blobs)
        writer.add_blob(listed)
        old = read_small(folder / INDEX, oci.MAX_DOCUMENT)
        if old is None:
            raise ImageError(f"the layout has lost its {INDEX}", where=str(folder))
        before = oci.read_index(old)
        if not any(one.digest == image.root.digest for one in before.manifests):
            raise ImageError("the layout's image has changed meanwhile", where=str(folder), hint="try again")
        marked = [_marked(one, digest.of(listed), image) for one in before.manifests]
        writer.publish(oci.encode_document(msgspec.structs.replace(before, manifests=tuple(marked))))


def _check_is_listed(folder: Path, image: Image) -> None:
    """Refuse a layout that is the index of one image: what is about it cannot stand in it."""
    data = read_small(folder / INDEX, oci.MAX_DOCUMENT)
    if data is not None and digest.of(data) == image.root.digest:
        raise ImageError(
            f"cannot attach anything to {INDEX}, which is the image's own index here",
            where=str(folder),
            hint="copy it to another layout first: pumice copy oci:DIR oci:OTHER:TAG",
        )


def _marked(descriptor: Descriptor, listed: Digest, image: Image) -> Descriptor:
    if descriptor.digest != image.root.digest:
        return descriptor
    annotations = {**descriptor.annotations, oci.REFERRERS: listed}
    return msgspec.structs.replace(descriptor, annotations=annotations)


@contextmanager
def _held(folder: Path) -> Iterator[_Writer]:
    """Make the folder if need be and keep other writers out; undo what was added on failure."""
    folder = Path(ownership.resolve_links(folder))
    made = not folder.exists()
    try:
        ownership.make_directory(folder)
    except FileExistsError:
        if not folder.is_dir():
            raise
    lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        files.lock_open(lock)
        writer = _Writer(folder)
        try:
            yield writer
        except BaseException:
            writer.undo()
            if made:
                with suppress(OSError):
                    folder.rmdir()
            raise
    finally:
        os.close(lock)


class _Writer:
    """One layout folder while it is being written; ``added`` is what a failure takes away again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._blobs = folder / BLOBS
        self._added: list[Path] = []
        self.stamps: LayoutStatCache

    def check(self) -> None:
        """Refuse a folder that holds something else, or other images too."""
        self.check_links()
        if all(path.name.startswith(_TEMPORARY) for path in self._folder.iterdir()):
            return
        found = read_small(self._folder / HEADER, _MAX_HEADER)
        if found is None:
            raise ImageError(
                "the folder is not empty and no OCI layout",
                where=str(self._folder),
                hint="choose a new or an empty folder",
            )
        oci.read_layout_header(found)
        index = read_small(self._folder / INDEX, oci.MAX_DOCUMENT)
        count = len(referrers.split(oci.read_index(index))[0]) if index is not None else 0
        if count > 1:
            raise ImageError(
                f"the layout holds {count} images, which would be lost",
                where=str(self._folder),
                hint="a layout that Pumice writes holds one: choose another folder",
            )

    def fill(
        self, wanted: tuple[Descriptor, ...], image: Image, progress: Progress, stamps: LayoutStatCache
    ) -> None:
        """Add the blobs that are not there, the large ones first so that no thread is left alone."""
        self.stamps = stamps
        # The header goes first: a folder that an interrupted run leaves is known for what it is.
        self._put(self._folder / HEADER, header())
        self._make_folders()
        missing = sorted(
            (descriptor for descriptor in wanted if not self._is_known(descriptor)),
            key=lambda descriptor: (-descriptor.size, descriptor.digest),
        )
        if not missing:
            return
        total = sum(descriptor.size for descriptor in missing)
        with progress.task(f"writing {self._folder}", total) as task:
            in_parallel(lambda descriptor: self._add(descriptor, image, task), missing)

    def check_links(self) -> None:
        """Refuse a layout whose blobs are elsewhere: what is removed there may be no blobs of ours."""
        for folder in (self._blobs.parent, self._blobs):
            if folder.is_symlink():
                raise ImageError(
                    "cannot write a layout through a symbolic link",
                    where=str(folder),
                    hint="choose a new or an empty folder",
                )

    def _make_folders(self) -> None:
        self.check_links()
        for folder in (self._blobs.parent, self._blobs):
            if not folder.is_dir():
                ownership.make_directory(folder)
                self._added.append(folder)

    def _is_known(self, descriptor: Descriptor) -> bool:
        """Whether the blob is there and its stamp says that it is sound."""
        hex_digits = digest.hex_of(descriptor.digest)
        try:
            found = (self._blobs / hex_digits).lstat()
        except OSError:
            return False
        return (
            found.st_size == descriptor.size
            and is_plain(found)
            and self.stamps.is_unchanged(hex_digits, found)
        )

    def _add(self, descriptor: Descriptor, image: Image, task: Task) -> None:
        name = digest.hex_of(descriptor.digest)
        path = self._blobs / name
        if not self._is_sound(path, descriptor):
            try:
                self._copy(Blob(descriptor, image.blobs), path, task)
            except TrustError:
                raise
            except PumiceError:
                if descriptor.urls:  # a layer that must not be distributed need not be there
                    return
                raise
        self.stamps.record(name, path.lstat())

    def _is_sound(self, path: Path, descriptor: Descriptor) -> bool:
        """Whether the blob is there, by hashing it."""
        try:
            if path.is_symlink() or path.stat().st_size != descriptor.size:
                return False
            Blob(descriptor, LayoutBlobs(self._folder)).copy(_ignore)
        except (OSError, PumiceError):
            return False
        return True

    def _copy(self, blob: Blob, path: Path, task: Task) -> None:
        temporary = path.with_name(f"{_TEMPORARY}{os.urandom(8).hex()}")
        try:
            with temporary.open("xb", buffering=0) as file:

                def put(data: bytes) -> None:
                    _write_all(file, data)
                    task.advance(len(data))

                blob.copy(put)
            if not os.path.lexists(path):
                self._added.append(path)
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise

    def add_documents(self, manifests: tuple[Descriptor, ...], blobs: BlobSource) -> None:
        """Add manifests and what they list, unless they are there."""
        self._make_folders()
        for descriptor in manifests:
            data = Image(descriptor, blobs).document(descriptor)
            below = oci.read_manifest(data)
            parts = (descriptor, below.config, *below.layers)
            for one in {part.digest: part for part in parts}.values():
                path = self._blobs / digest.hex_of(one.digest)
                if not self._is_sound(path, one):
                    self._copy(Blob(one, blobs), path, Silent().task(""))

    def add_blob(self, data: bytes) -> None:
        """Add a document."""
        self._put(self._blobs / digest.hex_of(digest.of(data)), data)

    def publish(self, index: bytes) -> None:
        """Make the image the layout's own."""
        self._put(self._folder / INDEX, index)
        self._added.clear()

    def _put(self, path: Path, data: bytes) -> None:
        with suppress(OSError):
            if not path.is_symlink() and path.read_bytes() == data:
                return
        temporary = path.with_name(f"{_TEMPORARY}{os.urandom(8).hex()}")
        try:
            temporary.write_bytes(data)
            if not os.path.lexists(path):
                self._added.append(path)
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise

    def sweep(self, wanted: set[str]) -> None:
        """Remove blobs that nothing refers to, and what an interrupted run left; nothing else."""
        self.check_links()
        for path in [*self._blobs.iterdir(), *self._folder.iterdir()]:
            is_blob = path.parent == self._blobs and len(path.name) == 64
            if path.name.startswith(_TEMPORARY) or (is_blob and path.name not in wanted):
                with suppress(OSError):
                    path.unlink()

    def undo(self) -> None:
        """Take away what was added."""
        for path in reversed(self._added):
            with suppress(OSError):
                if path.is_dir():
                    path.rmdir()
                else:
                    path.unlink()


def _write_all(file: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        written = file.write(view)
        if not written:
            raise OSError(errno.ENOSPC, "no space left")
        view = view[written:]


def _ignore(data: bytes) -> None:
    """Take no notice: what counts is that reading it checked it."""
