"""What kept byte code is found under: all that the interpreter's result depends on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pumice.assembly import bytecode_cache
from pumice.assembly.layer_assembly import LayerContents
from pumice.assembly.platform_model import PlatformInputs
from pumice.assembly.recipe_files import read_recipe_files
from pumice.formats.tar import Entry
from pumice.packing.compose import LayerEntry
from pumice.packing.tree import GeneratedEntry, Node
from pumice.recipe.lock import Ids
from pumice.recipe.model import Origin, Recipe

if TYPE_CHECKING:
    from pumice.digest import Digest

INPUTS = PlatformInputs(
    recipe=Recipe(name="example.com/x", version="1", origin=Origin(debian="bookworm")),
    files=read_recipe_files((), Path()),
    packages=(),
    architecture="amd64",
    ids=Ids(),
    format=2,
)


def key(*entries: Entry, own: str = "", generated: bytes = b"") -> Digest:
    plan = LayerContents(
        groups=(),
        base_packages=(),
        segments={},
        generated=[
            GeneratedEntry(entry=Entry("usr/made.py", "file", 0o644), content=generated, origin="test")
        ],
        recipe_entries=[LayerEntry(entry=Entry("app/own.txt", "file", 0o644), sha256=own)],
        nodes={entry.path: Node(entry) for entry in (*SOURCES, *entries)},
    )
    return bytecode_cache._bytecode_key(
        plan, INPUTS, sorted(path for path in plan.nodes if path.endswith(".py"))
    )


SOURCES = (
    Entry("usr/made.py", "file", 0o644),
    Entry("app/own.txt", "file", 0o644),
    Entry("app/link.py", "symlink", 0o777, link="own.txt"),
)


@pytest.mark.parametrize(
    "other",
    [
        {"own": "another source, that a link leads to"},
        {"generated": b"another source that an effect makes"},
    ],
)
def test_every_source_changes_the_key(other: dict[str, Any]) -> None:
    assert key(**other) != key()


def test_an_existing_bytecode_directory_changes_the_key() -> None:
    assert key(Entry("app/__pycache__", "dir", 0o755)) != key()


def test_other_files_do_not_change_the_key() -> None:
    assert key(Entry("app/data", "dir", 0o755)) == key()
