"""The recipe's own files: read, hashed, and given owners once the image's users are known."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice import canonical
from pumice.errors import ImageError
from pumice.packing import recipe_entries
from pumice.recipe.lock import FORMAT
from pumice.recipe.model import FileRule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pumice.digest import Digest
    from pumice.packing.compose import LayerEntry
    from pumice.packing.recipe_entries import RecipeEntry
    from pumice.packing.tree import GeneratedEntry, Tree


class UserFiles(msgspec.Struct, frozen=True):
    """What a recipe's ``files`` stand for right now; ``digest`` covers rules and contents.

    ``format`` is the lock's.
    """

    rules: tuple[FileRule, ...]
    root: Path
    digest: Digest
    sums: dict[str, str]
    format: int = FORMAT


def read(rules: Sequence[FileRule], root: Path, lock_format: int = FORMAT) -> UserFiles:
    """Collect and hash the files; raises RecipeError or ImageError for what cannot be read."""
    sums: dict[str, str] = {}
    facts: list[object] = []
    for item in recipe_entries.collect_entries(rules, root, lambda _: (0, 0), lock_format):
        sums[item.entry.path] = _sha256(item) if item.entry.kind == "file" else ""
        facts.append([item.entry, sums[item.entry.path]])
    asked = [(rule.to, rule.owner, rule.mode, rule.directory) for rule in rules]
    digest = canonical.digest_of([asked, facts])
    return UserFiles(tuple(rules), root, digest, sums, lock_format)


def _sha256(item: RecipeEntry) -> str:
    if isinstance(item.content, bytes):
        return hashlib.sha256(item.content).hexdigest()
    try:
        with item.content.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ImageError(f"cannot read {item.content}: {error.strerror}", where=item.location) from None


def collect(given: UserFiles) -> list[RecipeEntry]:
    """Return what the files stand for, owned by root as long as nobody knows the image's users."""
    return list(recipe_entries.collect_entries(given.rules, given.root, lambda _: (0, 0), given.format))


def place(
    given: UserFiles, items: Iterable[RecipeEntry], owners: Callable[[str], tuple[int, int]], tree: Tree
) -> list[tuple[GeneratedEntry, LayerEntry]]:
    """Return the entries to add for ``items``, with owners, at the places that they have in ``tree``.

    Raises ImageError for an unknown owner, or a place that is under no directory.
    """
    from pumice.assembly.overlay import settle
    from pumice.packing.compose import LayerEntry
    from pumice.packing.tree import RECIPE_OWNER, GeneratedEntry

    explicit = {rule.to.strip("/") for rule in given.rules if rule.directory}
    placed: dict[str, tuple[GeneratedEntry, LayerEntry]] = {}
    for item in items:
        with _at(item):
            path = settle(item.entry.path, tree)
            uid, gid = owners(item.owner) if item.owner else (0, 0)
            _check_directory(item, path, tree)
        if item.entry.kind == "dir" and item.entry.path not in explicit and tree.get(path):
            continue  # a folder that is only on the way changes nothing that is there already
        entry = msgspec.structs.replace(item.entry, path=path, uid=uid, gid=gid)
        made = LayerEntry(entry=entry, content=item.content, sha256=_sum(given, item))
        placed[path] = GeneratedEntry(entry=entry, origin=RECIPE_OWNER), made
    return [placed[path] for path in sorted(placed)]


def _check_directory(item: RecipeEntry, path: str, tree: Tree) -> None:
    node = tree.get(path)
    if node and node.entry.kind == "dir" and item.entry.kind != "dir" and tree.children(path):
        raise ImageError(
            f"cannot put a {item.entry.kind} at /{path}: it is a directory of {node.owner or 'the image'} "
            "with something in it",
            hint="end 'to' with '/' to put it into the directory",
        )


@contextmanager
def _at(item: RecipeEntry) -> Iterator[None]:
    """Say of an error which rule it is about."""
    try:
        yield
    except ImageError as error:
        raise ImageError(error.message, where=error.where or item.location or None, hint=error.hint) from None


def _sum(given: UserFiles, item: RecipeEntry) -> str:
    if item.entry.path not in given.sums:
        raise ImageError(
            f"/{item.entry.path} appeared while the image was built", where=item.location, hint="build again"
        )
    return given.sums[item.entry.path]
