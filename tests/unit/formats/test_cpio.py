"""Archives in the newc format, as the kernel's buffer-format.rst describes it."""

from __future__ import annotations

import pytest

from pumice.formats import cpio


def test_a_header_has_fields_of_eight_digits() -> None:
    header = cpio.encode_header(cpio.Entry("bin/sh", 0o100755, uid=1, gid=2, size=3, number=4))
    fields = [int(header[6 + 8 * index : 14 + 8 * index], 16) for index in range(13)]
    assert header[:6] == b"070701"
    assert fields == [4, 0o100755, 1, 2, 1, 0, 3, 0, 0, 0, 0, len("bin/sh") + 1, 0]
    assert header[110:117] == b"bin/sh\0"


@pytest.mark.parametrize("length", range(1, 9))
def test_headers_and_contents_fill_words(length: int) -> None:
    assert len(cpio.encode_header(cpio.Entry("x" * length, 0o40755))) % 4 == 0
    assert (length + len(cpio.padding(length))) % 4 == 0


def test_the_end_has_a_name_of_its_own() -> None:
    assert b"TRAILER!!!\0" in cpio.encode_end()


def test_a_size_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        cpio.encode_header(cpio.Entry("x", 0, size=1 << 32))
