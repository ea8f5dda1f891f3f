"""Write tar archives of known members: reproducibly, and by several threads if the output is a file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import ImageError
from pumice.formats import tar
from pumice.image.blob_copy import BytesContent, Content, run_in_threads
from pumice.os_errors import IMAGE, translate_os_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.image.output import Output
    from pumice.progress import Progress, Task


class TarMember(msgspec.Struct, frozen=True):
    """One member of an archive to write; it belongs to root, its time is 0, and its mode is fixed."""

    path: str
    content: Content | None = None
    """None for a directory."""

    def header(self) -> bytes:
        """Return the header blocks."""
        if self.content is None:
            return tar.encode_header(tar.Entry(path=self.path, kind="dir", mode=0o755))
        return tar.encode_header(tar.Entry(path=self.path, kind="file", mode=0o644, size=self.content.size))


def text_member(path: str, data: bytes) -> TarMember:
    """Return the member for a small file."""
    return TarMember(path, BytesContent(data))


def write_archive(members: Sequence[TarMember], output: Output, progress: Progress) -> None:
    """Write an archive of ``members`` in their order; equal members give equal bytes.

    Raises ImageError if it cannot be written, and TrustError if a content does not have its digest.
    """
    total = sum(member.content.size for member in members if member.content is not None)
    with progress.task(f"writing {output}", total) as task:
        if output.is_regular:
            _write_anywhere(members, output, task)
        else:
            _write_in_order(members, output, task)


def _write_in_order(members: Sequence[TarMember], output: Output, task: Task) -> None:
    def write(data: bytes) -> None:
        with translate_os_errors(str(output), IMAGE):
            output.file.write(data)
        task.advance(len(data))

    for member in members:
        write(member.header())
        if member.content is not None:
            member.content.copy(write)
            write(bytes(tar.padding_size(member.content.size)))
    write(tar.END_OF_ARCHIVE)


def _write_anywhere(members: Sequence[TarMember], output: Output, task: Task) -> None:
    """Write each member at its position: all sizes are known, so any order of writing works."""
    file = output.file.fileno()
    jobs: list[tuple[int, Content]] = []
    position = 0
    for member in members:
        header = member.header()
        _put_at(file, position, header, output)
        position += len(header)
        if member.content is not None:
            jobs.append((position, member.content))
            position += member.content.size + tar.padding_size(member.content.size)
    with translate_os_errors(str(output), IMAGE):
        os.ftruncate(file, position + len(tar.END_OF_ARCHIVE))  # padding and the end mark are zeros

    def copy(job: tuple[int, Content]) -> None:
        offset, content = job

        def write(data: bytes) -> None:
            nonlocal offset
            _put_at(file, offset, data, output)
            offset += len(data)
            task.advance(len(data))

        content.copy(write)

    run_in_threads(copy, sorted(jobs, key=lambda job: (-job[1].size, job[0])))


def _put_at(file: int, position: int, data: bytes, output: Output) -> None:
    view = memoryview(data)
    while view:
        with translate_os_errors(str(output), IMAGE):
            count = os.pwrite(file, view, position)
        if count <= 0:
            raise ImageError("cannot write the rest of the file", where=str(output))
        view = view[count:]
        position += count
