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


class RecipeFiles(msgspec.Struct, frozen=True):
    """What a recipe's ``files`` stand for right now; ``digest`` covers rules and contents.

    ``format`` is the lock's.
    """

    rules: tuple[FileRule, ...]
    root: Path
    digest: Digest
    digests: dict[str, str]
    format: int = FORMAT


def read_recipe_files(rules: Sequence[FileRule], root: Path, lock_format: int = FORMAT) -> RecipeFiles:
    """Collect and hash the files; raises RecipeError or ImageError for what cannot be read."""
    digests: dict[str, str] = {}
    entry_digests: list[object] = []
    for item in recipe_entries.collect_entries(rules, root, lambda _: (0, 0), lock_format):
        digests[item.entry.path] = _sha256(item) if item.entry.kind == "file" else ""
        entry_digests.append([item.entry, digests[item.entry.path]])
    rule_attributes = [(rule.to, rule.owner, rule.mode, rule.directory) for rule in rules]
    digest = canonical.digest_of([rule_attributes, entry_digests])
    return RecipeFiles(tuple(rules), root, digest, digests, lock_format)


def _sha256(item: RecipeEntry) -> str:
    if isinstance(item.content, bytes):
        return hashlib.sha256(item.content).hexdigest()
    try:
        with item.content.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ImageError(f"cannot read {item.content}: {error.strerror}", where=item.location) from None


def collect_items(files_read: RecipeFiles) -> list[RecipeEntry]:
    """Return what the files stand for, owned by root as long as nobody knows the image's users."""
    return list(
        recipe_entries.collect_entries(files_read.rules, files_read.root, lambda _: (0, 0), files_read.format)
    )


def resolve_entries(
    recipe_files: RecipeFiles,
    items: Iterable[RecipeEntry],
    owners: Callable[[str], tuple[int, int]],
    tree: Tree,
) -> list[tuple[GeneratedEntry, LayerEntry]]:
    """Return the entries to add for ``items``, with owners, at the places that they have in ``tree``.

    Raises ImageError for an unknown owner, or a place that is under no directory.
    """
    from pumice.assembly.overlay import resolve_destination
    from pumice.packing.compose import LayerEntry
    from pumice.packing.tree import RECIPE_OWNER, GeneratedEntry

    explicit = {rule.to.strip("/") for rule in recipe_files.rules if rule.directory}
    placed: dict[str, tuple[GeneratedEntry, LayerEntry]] = {}
    for item in items:
        with _locate_errors(item):
            path = resolve_destination(item.entry.path, tree)
            uid, gid = owners(item.owner) if item.owner else (0, 0)
            _check_directory(item, path, tree)
        if item.entry.kind == "dir" and item.entry.path not in explicit and tree.get(path):
            continue  # a folder that is only on the way changes nothing that is there already
        entry = msgspec.structs.replace(item.entry, path=path, uid=uid, gid=gid)
        layer_entry = LayerEntry(
            entry=entry, content=item.content, sha256=_recorded_digest(recipe_files, item)
        )
        placed[path] = GeneratedEntry(entry=entry, origin=RECIPE_OWNER), layer_entry
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
def _locate_errors(item: RecipeEntry) -> Iterator[None]:
    """Say of an error which rule it is about."""
    try:
        yield
    except ImageError as error:
        raise ImageError(error.message, where=error.where or item.location or None, hint=error.hint) from None


def _recorded_digest(recipe_files: RecipeFiles, item: RecipeEntry) -> str:
    if item.entry.path not in recipe_files.digests:
        raise ImageError(
            f"/{item.entry.path} appeared while the image was built", where=item.location, hint="build again"
        )
    return recipe_files.digests[item.entry.path]
