"""Marks for images that came from an archive of another format."""

from __future__ import annotations

from pathlib import Path

import pytest

from pumice import files, ownership
from pumice.store.archive_marks import ArchiveMark, ArchiveMarks, ArchiveSigner

DIGEST = "sha256:" + "a" * 64
SIGNED = ArchiveMark(
    image_id="sha512-1", url="https://example.com/a.aci", signers=(ArchiveSigner("f" * 64, 7),)
)
LOCAL = ArchiveMark(image_id="sha512-1", sizes=(10,))


@pytest.fixture
def root(tmp_path: Path) -> str:
    (tmp_path / "locks").mkdir()
    return str(tmp_path)


def test_a_mark_keeps_what_earlier_copies_of_the_image_had(root: str) -> None:
    marks = ArchiveMarks(root)
    marks.add(DIGEST, SIGNED)
    marks.add(DIGEST, LOCAL)
    marks.add(DIGEST, ArchiveMark(image_id="sha512-1", sizes=(20,)))
    assert marks.get(DIGEST) == ArchiveMark(
        image_id="sha512-1", url=SIGNED.url, sizes=(20, 10), signers=SIGNED.signers
    )


def test_a_mark_of_another_archive_replaces_the_mark(root: str) -> None:
    marks = ArchiveMarks(root)
    marks.add(DIGEST, SIGNED)
    other = ArchiveMark(image_id="sha512-2", sizes=(10,))
    marks.add(DIGEST, other)
    assert marks.get(DIGEST) == other


def test_what_another_command_adds_at_the_same_time_is_kept(root: str) -> None:
    class Interleaved(files.OsFileSystem):
        """Lets another command add its mark when this one has begun."""

        def make_directory(self, path: str, mode: int = ownership.SHARED_MODE) -> None:
            ArchiveMarks(root).add(DIGEST, SIGNED)
            super().make_directory(path, mode)

    ArchiveMarks(root, Interleaved()).add(DIGEST, LOCAL)
    mark = ArchiveMarks(root).get(DIGEST)
    assert mark is not None
    assert (mark.signers, mark.sizes) == (SIGNED.signers, (10,))


def test_a_damaged_mark_is_none(root: str) -> None:
    marks = ArchiveMarks(root)
    marks.add(DIGEST, LOCAL)
    Path(root, "archives", "a" * 64).write_bytes(b"{")
    assert marks.get(DIGEST) is None
