"""Copying between this machine, pods and archives; see the package."""

from __future__ import annotations

import os
import posixpath
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from pumice.errors import PodError, PumiceError
from pumice.os_errors import Translation, translate_os_errors
from pumice.runtime.pods.copying.inside import InsideJob
from pumice.runtime.pods.copying.tree_reader import ReadRequest, write_tree
from pumice.runtime.pods.copying.tree_writer import WriteRequest, read_tree

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.runtime.pods.pod_store import PodState

_COPY = Translation(PodError, {}, prefix="cannot copy: ")


class Place(msgspec.Struct, frozen=True):
    """A path of this machine, or of the container of a pod. The path ``-`` of this machine is an archive."""

    path: str
    state: PodState | None = None

    @property
    def is_archive(self) -> bool:
        """Return whether it is standard input or output."""
        return self.state is None and self.path == "-"


class CopyOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to copy.

    ``owner`` is that of files in a container, or "keep" for the owners of the source. ``max_bytes`` limits
    the content, 0 is the default limit.
    """

    owner: tuple[int, int] | Literal["keep"] = "keep"
    overwrite: bool = False
    max_bytes: int = 0


def copy_files(source: Place, target: Place, options: CopyOptions) -> None:
    """Copy a file or a directory as cp(1) does; at least one place is that of a pod.

    An archive is a tar file on standard input or output. Raises PodError if something is missing or in the
    way, and FormatError if there is too much, or for a malformed archive.
    """
    if source.is_archive:
        _start_writing(source, target, options, os.dup(0)).wait()
        return
    if target.is_archive:
        _start_reading(source, options, os.dup(1)).wait()
        return
    reader, writer = os.pipe()
    reading = _start_reading(source, options, writer)
    writing = _start_writing(source, target, options, reader)
    # What runs in this process goes first: the other side waits for it.
    first, second = (writing, reading) if target.state is None else (reading, writing)
    errors = {}
    for job in (first, second):
        try:
            job.wait()
        except PumiceError as error:
            errors[job] = error
    # An archive that is cut off is a consequence of the error of its writer.
    for job in (reading, writing):
        if job in errors:
            raise errors[job]


def export_root(state: PodState, sink: int, *, marks_mounts: bool = False) -> None:
    """Write the root file system of a running pod as a tar archive; raises PodError.

    What is mounted in it is left out: /proc, /dev and /sys, volumes, and the files for name resolution.
    ``marks_mounts`` is as in `ReadRequest`.
    """
    request = ReadRequest(path="/", whole_root=True, marks_mounts=marks_mounts, max_bytes=1 << 62)
    InsideJob(state, lambda root: write_tree(root, request, sink), (sink,)).wait()


class _LocalJob:
    """A function that runs in this process when it is waited for, with the interface of `InsideJob`."""

    def __init__(self, path: str, function: Callable[[int], object], descriptor: int) -> None:
        self._path, self._function, self._descriptor = path, function, descriptor

    def wait(self) -> None:
        """Run the function; raises what it raises."""
        root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with translate_os_errors(self._path, _COPY):
                self._function(root)
        except BrokenPipeError:  # the other side has failed, and says why
            pass
        finally:
            os.close(root)
            os.close(self._descriptor)


def _start_reading(source: Place, options: CopyOptions, sink: int) -> InsideJob | _LocalJob:
    path = _absolute(source)
    request = ReadRequest(path=path, name=_base_name(path), max_bytes=options.max_bytes)
    return _start(source, lambda root: write_tree(root, request, sink), sink)


def _start_writing(
    source: Place, target: Place, options: CopyOptions, descriptor: int
) -> InsideJob | _LocalJob:
    request = WriteRequest(
        target=_absolute(target),
        contents=source.path.endswith("/.") or not _base_name(_absolute(source)),
        unpack=source.is_archive,
        owner=options.owner if target.state is not None else "caller",
        overwrite=options.overwrite,
        max_bytes=options.max_bytes,
    )
    return _start(target, lambda root: _read(root, request, descriptor), descriptor)


def _read(root: int, request: WriteRequest, descriptor: int) -> None:
    with open(descriptor, "rb", closefd=False) as file:
        read_tree(root, request, file)


def _start(place: Place, function: Callable[[int], object], descriptor: int) -> InsideJob | _LocalJob:
    if place.state is not None:
        return InsideJob(place.state, function, (descriptor,))
    return _LocalJob(place.path, function, descriptor)


def _absolute(place: Place) -> str:
    """Return the absolute path of a place; paths in a container are relative to its root, as with podman."""
    return posixpath.join("/" if place.state is not None else str(Path.cwd()), place.path)


def _base_name(path: str) -> str:
    """Return the last component of a path, ``""`` if that is a directory without a name of its own."""
    name = posixpath.basename(path.removesuffix("/.").rstrip("/"))
    return "" if name in (".", "..") else name
