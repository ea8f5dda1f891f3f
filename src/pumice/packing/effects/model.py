"""Inputs and results of effects, and helpers to create entries and read data tables."""

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
    """The parts of a recipe and its lock that effects may depend on.

    ``architecture`` is Debian's name, ``ids`` are the ids that the lock records from earlier builds,
    and ``format`` is the format of the lock: a change of an effect's output needs a new format.
    """

    architecture: str
    base: Base = "data"
    include: tuple[str, ...] = ()
    users: tuple[User, ...] = ()
    groups: tuple[Group, ...] = ()
    ids: Ids = Ids()
    format: int = FORMAT


class EffectInput(msgspec.Struct, frozen=True):
    """The input of an effect.

    ``tree`` includes the results of earlier effects. ``actions`` are the commands of each package's
    scripts, by package name, in the order in which they would run.
    """

    tree: Tree
    settings: EffectSettings
    actions: dict[str, tuple[ScriptAction, ...]]


class EffectResult(msgspec.Struct, frozen=True, kw_only=True):
    """The result of one effect.

    ``generated`` are entries to add, ``removed_paths`` paths to hide, and ``ids`` all allocated ids if the
    effect allocates some. ``skipped_actions`` are pairs of a package and the name of an action of its
    scripts that the effect could not carry out.
    """

    generated: tuple[GeneratedEntry, ...] = ()
    removed_paths: tuple[str, ...] = ()
    ids: Ids | None = None
    skipped_actions: tuple[tuple[str, str], ...] = ()


Effect = Callable[[EffectInput], EffectResult]


class AppliedEffects(msgspec.Struct, frozen=True, kw_only=True):
    """The combined result of all effects.

    ``generated`` is sorted by path and excludes directories that a package ships; changes of those
    are in ``directories``, by path. ``removed_paths`` are package paths that the image must not have.
    ``ids`` are all allocated ids, for the lock. ``skipped_actions`` are, by package name, the actions
    of its scripts that were not carried out.
    """

    generated: tuple[GeneratedEntry, ...] = ()
    removed_paths: tuple[str, ...] = ()
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
    """Yield the rows of a data table: fields are separated by tabs, ``#`` starts a comment line."""
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            yield [field.strip() for field in line.split("\t")]


def read_data(name: str) -> str:
    """Return the text of a data table in this package, by file name."""
    from pathlib import Path

    return (Path(__file__).parent / "data" / name).read_text(encoding="utf-8")
