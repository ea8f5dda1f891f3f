"""Tar archives of known parts: written reproducibly, and by several threads where that helps."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import ImageError
from pumice.formats import tar
from pumice.image.blob_copy import Content, Literal, in_parallel
from pumice.os_errors import IMAGE, translate_os_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.image.output import Output
    from pumice.progress import Progress, Task


class Part(msgspec.Struct, frozen=True):
    """One member of an archive on its way out: always root's, from 1970, with the same mode."""

    path: str
    content: Content | None = None
    """None for a folder."""

    def head(self) -> bytes:
        """Return the header blocks."""
        if self.content is None:
            return tar.encode_header(tar.Entry(path=self.path, kind="dir", mode=0o755))
        return tar.encode_header(tar.Entry(path=self.path, kind="file", mode=0o644, size=self.content.size))


def text(path: str, data: bytes) -> Part:
    """Return a small file."""
    return Part(path, Literal(data))


def write(parts: Sequence[Part], output: Output, progress: Progress) -> None:
    """Write an archive of ``parts`` in their order; equal parts give equal bytes.

    Raises ImageError when that is not possible and TrustError when a content is not what it should be.
    """
    total = sum(part.content.size for part in parts if part.content is not None)
    with progress.task(f"writing {output}", total) as task:
        if output.is_regular:
            _write_anywhere(parts, output, task)
        else:
            _write_in_order(parts, output, task)


def _write_in_order(parts: Sequence[Part], output: Output, task: Task) -> None:
    def put(data: bytes) -> None:
        with translate_os_errors(str(output), IMAGE):
            output.file.write(data)
        task.advance(len(data))

    for part in parts:
        put(part.head())
        if part.content is not None:
            part.content.copy(put)
            put(bytes(tar.padding_size(part.content.size)))
    put(tar.END_OF_ARCHIVE)


def _write_anywhere(parts: Sequence[Part], output: Output, task: Task) -> None:
    """Put every part where it belongs: all sizes are known, so the order of writing is free."""
    file = output.file.fileno()
    jobs: list[tuple[int, Content]] = []
    position = 0
    for part in parts:
        head = part.head()
        _put_at(file, position, head, output)
        position += len(head)
        if part.content is not None:
            jobs.append((position, part.content))
            position += part.content.size + tar.padding_size(part.content.size)
    with translate_os_errors(str(output), IMAGE):
        os.ftruncate(file, position + len(tar.END_OF_ARCHIVE))  # padding and the end mark are zeros

    def copy(job: tuple[int, Content]) -> None:
        offset, content = job

        def put(data: bytes) -> None:
            nonlocal offset
            _put_at(file, offset, data, output)
            offset += len(data)
            task.advance(len(data))

        content.copy(put)

    in_parallel(copy, sorted(jobs, key=lambda job: (-job[1].size, job[0])))


def _put_at(file: int, position: int, data: bytes, output: Output) -> None:
    view = memoryview(data)
    while view:
        with translate_os_errors(str(output), IMAGE):
            written = os.pwrite(file, view, position)
        if written <= 0:
            raise ImageError("the file cannot be written any further", where=str(output))
        view = view[written:]
        position += written
