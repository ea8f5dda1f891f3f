"""Writes OCI image layouts in a directory (image-spec 1.1, image-layout.md).

A layout that Pumice writes holds one image: with two descriptors in ``index.json``, skopeo, buildah and
crane ask which one to use. So writing to a layout replaces the image in it and removes the blobs that
nothing refers to. A reader, or a machine after a power cut, sees the old image or the new one: the blobs
are written first, then ``index.json``, and the removal comes last.
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
from pumice.image.blob_copy import Blob, run_in_threads
from pumice.image.model import Image
from pumice.image.output import check_directory
from pumice.image.regular_file import is_regular, read_small
from pumice.image.stat_cache import LayoutStatCache
from pumice.image.transports.layout import (
    BLOBS,
    HEADER,
    INDEX,
    MAX_HEADER,
    LayoutBlobs,
    layout_content,
    layout_header,
)
from pumice.os_errors import IMAGE, translate_os_errors
from pumice.progress import Silent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor
    from pumice.image.model import BlobSource
    from pumice.image.stat_cache import Records
    from pumice.progress import Progress, Task

_TEMPORARY = ".pumice-"


def write_layout(
    image: Image,
    directory: Path,
    tag: str,
    *,
    records: Records | None,
    progress: Progress,
    name: str = "",
    referrers_in_index: bool = False,
) -> frozenset[Digest]:
    """Make ``directory`` a layout of only this image; return the digests of the blobs that it had.

    The other arguments are as in `layout_content`. The directory is created if it does not exist; otherwise
    it must be empty or a layout of at most one image. Blobs that are present and have their digest are not
    written again; ``records`` caches the digests. Raises ImageError; then the directory is unchanged.
    """
    content = layout_content(image, tag, name=name, referrers_in_index=referrers_in_index)
    with translate_os_errors(directory, IMAGE), _lock(directory) as writer:
        writer.check()
        present = writer.fill(content.blobs, content.image, progress, LayoutStatCache(directory, records))
        writer.publish(content.index)
        writer.sweep({digest.hex_of(descriptor.digest) for descriptor in content.blobs})
        writer.stat_cache.save()
    return present


def check_layout_directory(directory: Path) -> None:
    """Raise ImageError if `write_layout` could not write to ``directory``, as far as that is known before."""
    check_directory(directory)
    with translate_os_errors(directory, IMAGE):
        target = Path(ownership.resolve_links(directory))
        if target.exists():
            _Writer(target).check()


def attach_referrers(
    directory: Path, image: Image, attached: tuple[Descriptor, ...], blobs: BlobSource
) -> None:
    """Make ``attached``, read from ``blobs``, the referrers of an image in a layout directory.

    `layout.read_layout` returned ``image``. Other images of the layout are kept. Raises ImageError.
    """
    with translate_os_errors(directory, IMAGE), _lock(directory) as writer:
        _check_is_listed(directory, image)
        writer.check()
        referrer_index = oci.encode_document(oci.make_index(attached))
        writer.add_documents(attached, blobs)
        writer.add_blob(referrer_index)
        index_data = read_small(directory / INDEX, oci.MAX_DOCUMENT)
        if index_data is None:
            raise ImageError(f"the layout no longer has {INDEX}", where=str(directory))
        index = oci.read_index(index_data)
        if all(descriptor.digest != image.root.digest for descriptor in index.manifests):
            raise ImageError("the image in the layout has changed", where=str(directory), hint="try again")
        manifests = [
            _point_to_referrers(descriptor, digest.of(referrer_index), image)
            for descriptor in index.manifests
        ]
        writer.publish(oci.encode_document(msgspec.structs.replace(index, manifests=tuple(manifests))))


def _check_is_listed(directory: Path, image: Image) -> None:
    """Raise ImageError if ``index.json`` is itself the index of an image: it cannot list referrers."""
    data = read_small(directory / INDEX, oci.MAX_DOCUMENT)
    if data is not None and digest.of(data) == image.root.digest:
        raise ImageError(
            f"cannot attach anything to {INDEX}, which is the image's own index here",
            where=str(directory),
            hint="copy it to another layout first: pumice copy oci:DIR oci:OTHER:TAG",
        )


def _point_to_referrers(descriptor: Descriptor, referrer_index_digest: Digest, image: Image) -> Descriptor:
    if descriptor.digest != image.root.digest:
        return descriptor
    annotations = {**descriptor.annotations, oci.REFERRERS: referrer_index_digest}
    return msgspec.structs.replace(descriptor, annotations=annotations)


@contextmanager
def _lock(directory: Path) -> Iterator[_Writer]:
    """Create the directory if necessary and exclude other writers; after a failure, undo the changes."""
    directory = Path(ownership.resolve_links(directory))
    is_new = not directory.exists()
    try:
        ownership.make_directory(directory)
    except FileExistsError:
        if not directory.is_dir():
            raise
    lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        files.lock_open(lock)
        writer = _Writer(directory)
        try:
            yield writer
        except BaseException:
            writer.undo()
            if is_new:
                with suppress(OSError):
                    directory.rmdir()
            raise
    finally:
        os.close(lock)


class _Writer:
    """A layout directory that is being written; `undo` removes the added files."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._blobs = directory / BLOBS
        self._added: list[Path] = []
        self.stat_cache: LayoutStatCache

    def check(self) -> None:
        """Raise ImageError for a directory that is not a layout, or has several images."""
        self.check_links()
        if all(path.name.startswith(_TEMPORARY) for path in self._directory.iterdir()):
            return
        header = read_small(self._directory / HEADER, MAX_HEADER)
        if header is None:
            raise ImageError(
                "the directory is not empty and is not an OCI layout",
                where=str(self._directory),
                hint="choose a new or empty directory",
            )
        oci.read_layout_header(header)
        index = read_small(self._directory / INDEX, oci.MAX_DOCUMENT)
        count = len(referrers.split_index(oci.read_index(index))[0]) if index is not None else 0
        if count > 1:
            raise ImageError(
                f"the layout holds {count} images, which would be overwritten",
                where=str(self._directory),
                hint="Pumice writes one image to a layout: choose another directory",
            )

    def fill(
        self, blobs: tuple[Descriptor, ...], image: Image, progress: Progress, stat_cache: LayoutStatCache
    ) -> frozenset[Digest]:
        """Add the missing blobs and return the digests of the others.

        The largest blob is the first, so that all threads finish at about the same time.
        """
        self.stat_cache = stat_cache
        # The header goes first, so that a directory that an interrupted run leaves is recognized.
        self._put(self._directory / HEADER, layout_header())
        self._make_directories()
        missing = sorted(
            (descriptor for descriptor in blobs if not self._is_known(descriptor)),
            key=lambda descriptor: (-descriptor.size, descriptor.digest),
        )
        if missing:
            total = sum(descriptor.size for descriptor in missing)
            with progress.task(f"writing {self._directory}", total) as task:
                run_in_threads(lambda descriptor: self._add(descriptor, image, task), missing)
        return frozenset({descriptor.digest for descriptor in blobs if descriptor not in missing})

    def check_links(self) -> None:
        """Raise ImageError if a directory is a link: `sweep` could remove files that are not blobs."""
        for directory in (self._blobs.parent, self._blobs):
            if directory.is_symlink():
                raise ImageError(
                    "cannot write a layout through a symbolic link",
                    where=str(directory),
                    hint="choose a new or empty directory",
                )

    def _make_directories(self) -> None:
        self.check_links()
        for directory in (self._blobs.parent, self._blobs):
            if not directory.is_dir():
                ownership.make_directory(directory)
                self._added.append(directory)

    def _is_known(self, descriptor: Descriptor) -> bool:
        """Return whether the blob is present and unchanged since it was hashed."""
        hex_digits = digest.hex_of(descriptor.digest)
        try:
            status = (self._blobs / hex_digits).lstat()
        except OSError:
            return False
        return (
            status.st_size == descriptor.size
            and is_regular(status)
            and self.stat_cache.is_unchanged(hex_digits, status)
        )

    def _add(self, descriptor: Descriptor, image: Image, task: Task) -> None:
        name = digest.hex_of(descriptor.digest)
        path = self._blobs / name
        if not self._is_intact(path, descriptor):
            try:
                self._copy(Blob(descriptor, image.blobs), path, task)
            except TrustError:
                raise
            except PumiceError:
                if descriptor.urls:  # a layer that must not be distributed may be absent
                    return
                raise
        self.stat_cache.record(name, path.lstat())

    def _is_intact(self, path: Path, descriptor: Descriptor) -> bool:
        """Return whether the blob is present and has its digest."""
        try:
            if path.is_symlink() or path.stat().st_size != descriptor.size:
                return False
            Blob(descriptor, LayoutBlobs(self._directory)).copy(_discard)
        except (OSError, PumiceError):
            return False
        return True

    def _copy(self, blob: Blob, path: Path, task: Task) -> None:
        with self._replace(path) as temporary, temporary.open("xb", buffering=0) as file:

            def write(data: bytes) -> None:
                _write_all(file, data)
                task.advance(len(data))

            blob.copy(write)

    @contextmanager
    def _replace(self, path: Path) -> Iterator[Path]:
        """Yield a temporary path that replaces ``path`` when the context ends without an exception."""
        temporary = path.with_name(f"{_TEMPORARY}{os.urandom(8).hex()}")
        try:
            yield temporary
            if not os.path.lexists(path):
                self._added.append(path)
            temporary.replace(path)
        except BaseException:
            with suppress(OSError):
                temporary.unlink()
            raise

    def add_documents(self, manifests: tuple[Descriptor, ...], blobs: BlobSource) -> None:
        """Add the manifests and their blobs that are missing."""
        self._make_directories()
        for descriptor in manifests:
            data = Image(descriptor, blobs).document(descriptor)
            manifest = oci.read_manifest(data)
            descriptors = (descriptor, manifest.config, *manifest.layers)
            for blob in {blob.digest: blob for blob in descriptors}.values():
                path = self._blobs / digest.hex_of(blob.digest)
                if not self._is_intact(path, blob):
                    self._copy(Blob(blob, blobs), path, Silent().task(""))

    def add_blob(self, data: bytes) -> None:
        """Add a document."""
        self._put(self._blobs / digest.hex_of(digest.of(data)), data)

    def publish(self, index: bytes) -> None:
        """Write ``index.json``, which makes the image visible."""
        self._put(self._directory / INDEX, index)
        self._added.clear()

    def _put(self, path: Path, data: bytes) -> None:
        with suppress(OSError):
            if not path.is_symlink() and path.read_bytes() == data:
                return
        with self._replace(path) as temporary:
            temporary.write_bytes(data)

    def sweep(self, needed_names: set[str]) -> None:
        """Remove only unreferenced blobs and the temporary files of interrupted runs."""
        self.check_links()
        for path in [*self._blobs.iterdir(), *self._directory.iterdir()]:
            is_blob = path.parent == self._blobs and len(path.name) == 64
            if path.name.startswith(_TEMPORARY) or (is_blob and path.name not in needed_names):
                with suppress(OSError):
                    path.unlink()

    def undo(self) -> None:
        """Remove the added files."""
        for path in reversed(self._added):
            with suppress(OSError):
                if path.is_dir():
                    path.rmdir()
                else:
                    path.unlink()


def _write_all(file: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        written_size = file.write(view)
        if not written_size:
            raise OSError(errno.ENOSPC, "no space left")
        view = view[written_size:]


def _discard(data: bytes) -> None:
    """Discard the data: reading it is what checks it."""
