"""What goes into effects and what comes out of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from pumice.formats.tar import Entry
from pumice.packing.effects.scripts.action import ScriptAction
from pumice.packing.tree import GeneratedEntry
from pumice.recipe.lock import FORMAT, Ids
from pumice.recipe.model import Base, Group, User

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.packing.tree import Tree


class EffectSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What of a recipe and its lock effects may depend on; nothing of the machine that builds.

    ``architecture`` is Debian's name; ``ids`` are those that the lock keeps from earlier builds;
    ``format`` is the lock's: an effect that changes a byte does so from a new format on.
    """

    architecture: str
    base: Base = "data"
    include: tuple[str, ...] = ()
    users: tuple[User, ...] = ()
    groups: tuple[Group, ...] = ()
    ids: Ids = Ids()
    format: int = FORMAT


class EffectInput(msgspec.Struct, frozen=True):
    """What an effect sees: the tree with what earlier effects made, and what scripts say.

    ``actions`` are the commands of each package's scripts, by package, in the order they would run.
    """

    tree: Tree
    settings: EffectSettings
    actions: dict[str, tuple[ScriptAction, ...]]


class EffectResult(msgspec.Struct, frozen=True, kw_only=True):
    """What one effect adds: entries, paths to hide, newly allocated ids, and what it could not do.

    ``report`` holds pairs of a package and the name of an action that its script would have taken.
    """

    generated: tuple[GeneratedEntry, ...] = ()
    removed: tuple[str, ...] = ()
    ids: Ids | None = None
    skipped_actions: tuple[tuple[str, str], ...] = ()


Effect = Callable[[EffectInput], EffectResult]


class AppliedEffects(msgspec.Struct, frozen=True, kw_only=True):
    """What all effects add to the packages' files.

    ``generated`` is sorted by path and free of directories that a package ships; what changes about
    those stands in ``directories``, by path. ``removed`` are package paths that must not appear.
    ``ids`` are all that were allocated, for the lock. ``report`` names, by package, the actions of
    its scripts that were not taken.
    """

    generated: tuple[GeneratedEntry, ...] = ()
    removed: tuple[str, ...] = ()
    directories: dict[str, Entry] = {}
    ids: Ids = Ids()
    skipped_actions: dict[str, tuple[str, ...]] = {}


def file_entry(
    path: str, content: bytes, origin: str, *, mode: int = 0o644, uid: int = 0, gid: int = 0
) -> GeneratedEntry:
    """Return a generated file; its time is 0."""
    entry = Entry(path, "file", mode, uid=uid, gid=gid, size=len(content))
    return GeneratedEntry(entry=entry, content=content, origin=origin)


def directory_entry(
    path: str, origin: str, *, mode: int = 0o755, uid: int = 0, gid: int = 0
) -> GeneratedEntry:
    """Return a generated directory; its time is 0."""
    return GeneratedEntry(entry=Entry(path, "dir", mode, uid=uid, gid=gid), origin=origin)


def link_entry(path: str, target: str, origin: str) -> GeneratedEntry:
    """Return a generated symbolic link with the text ``target``; its time is 0."""
    return GeneratedEntry(entry=Entry(path, "symlink", 0o777, link=target), origin=origin)


def parse_table(text: str) -> Iterable[list[str]]:
    """Yield the rows of a data table: one fact a line, fields between tabs, ``#`` starts a comment line."""
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            yield [field.strip() for field in line.split("\t")]


def read_data(name: str) -> str:
    """Return a data table that comes with this package, by file name."""
    from pathlib import Path

    return (Path(__file__).parent / "data" / name).read_text(encoding="utf-8")
