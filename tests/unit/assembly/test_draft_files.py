"""Files of drafted definitions that a person has edited are never written in part or with other text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pumice.assembly import draft_files
from pumice.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path

DRAFT = """package: hello

slices:
  libs:
    contents:
      /usr/lib/a:
"""


@pytest.mark.parametrize(
    ("added", "message"),
    [
        (b"# caf\xe9\n", "the definition is not UTF-8"),
        (b"# long\n" * 200_000, "the definition is larger than 1 MiB"),
    ],
)
@pytest.mark.parametrize("is_new", [True, False])
def test_a_file_that_cannot_be_read_stays_as_it_is(
    tmp_path: Path, added: bytes, message: str, *, is_new: bool
) -> None:
    draft_files.write_definitions(tmp_path, {"hello": DRAFT})
    path = tmp_path / "hello.yaml"
    edited = path.read_bytes() + added
    path.write_bytes(edited)
    new_draft = DRAFT + "      /usr/lib/b:\n" * is_new
    with pytest.raises(FormatError, match=message):
        draft_files.update_definitions(tmp_path, {"hello": new_draft}, ["hello"])
    assert path.read_bytes() == edited
