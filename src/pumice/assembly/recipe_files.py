"""The recipe's own files: read and hashed first, given owners once the image's users are known."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice import canonical
from pumice.errors import ImageError
from pumice.recipe.lock import FORMAT
from pumice.recipe.model import FileRule

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pumice.digest import Digest
    from pumice.packing.compose import LayerEntry
    from pumice.packing.recipe_entries import RecipeEntry
    from pumice.packing.tree import GeneratedEntry, Tree


class RecipeFiles(msgspec.Struct, frozen=True):
    """The recipe's ``files`` as they are on disk now."""

    rules: tuple[FileRule, ...]
    root: Path
    """The directory that sources are relative to."""
    digest: Digest
    """Of all rules and contents."""
    content_digests: dict[str, str]
    """SHA-256 (hex) by path in the image, empty for what is not a file."""
    format: int = FORMAT
    """The format of the lock."""


def read_recipe_files(rules: Sequence[FileRule], root: Path, lock_format: int = FORMAT) -> RecipeFiles:
    """Return the files that ``rules`` name below ``root``, hashed.

    Raises RecipeError or ImageError for a file that cannot be read.
    """
    content_digests: dict[str, str] = {}
    entries: list[object] = []
    for recipe_entry in _collect_entries(rules, root, lock_format):
        content_digests[recipe_entry.entry.path] = (
            _sha256(recipe_entry) if recipe_entry.entry.kind == "file" else ""
        )
        entries.append([recipe_entry.entry, content_digests[recipe_entry.entry.path]])
    rule_attributes = [(rule.to, rule.owner, rule.mode, rule.directory) for rule in rules]
    digest = canonical.digest_of([rule_attributes, entries])
    return RecipeFiles(tuple(rules), root, digest, content_digests, lock_format)


def _sha256(recipe_entry: RecipeEntry) -> str:
    if isinstance(recipe_entry.content, bytes):
        return hashlib.sha256(recipe_entry.content).hexdigest()
    try:
        with recipe_entry.content.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ImageError(
            f"cannot read {recipe_entry.content}: {error.strerror}", where=recipe_entry.location
        ) from None


def collect_items(recipe_files: RecipeFiles) -> list[RecipeEntry]:
    """Return the entries and contents of the files, owned by root until the image's users are known."""
    return list(_collect_entries(recipe_files.rules, recipe_files.root, recipe_files.format))


def _collect_entries(rules: Sequence[FileRule], root: Path, lock_format: int) -> Iterable[RecipeEntry]:
    if not rules:
        return ()
    from pumice.packing import recipe_entries  # heavy for a build with nothing to do and no files

    return recipe_entries.collect_entries(rules, root, lambda _: (0, 0), lock_format)


def resolve_entries(
    recipe_files: RecipeFiles,
    entries: Iterable[RecipeEntry],
    resolve_owner: Callable[[str], tuple[int, int]],
    tree: Tree,
) -> list[tuple[GeneratedEntry, LayerEntry]]:
    """Return the entries to add to ``tree`` for ``entries``, with numeric owners and resolved paths.

    Raises ImageError for an unknown owner, or a path below something that is not a directory.
    """
    from pumice.assembly.overlay import resolve_destination
    from pumice.packing.compose import LayerEntry
    from pumice.packing.tree import RECIPE_OWNER, GeneratedEntry

    explicit = {rule.to.strip("/") for rule in recipe_files.rules if rule.directory}
    resolved: dict[str, tuple[GeneratedEntry, LayerEntry]] = {}
    for recipe_entry in entries:
        with _locate_errors(recipe_entry):
            path = resolve_destination(recipe_entry.entry.path, tree)
            uid, gid = resolve_owner(recipe_entry.owner) if recipe_entry.owner else (0, 0)
            _check_directory(recipe_entry, path, tree)
        if recipe_entry.entry.kind == "dir" and recipe_entry.entry.path not in explicit and tree.get(path):
            continue  # a parent that no rule names leaves an existing directory as it is
        entry = msgspec.structs.replace(recipe_entry.entry, path=path, uid=uid, gid=gid)
        layer_entry = LayerEntry(
            entry=entry, content=recipe_entry.content, sha256=_recorded_digest(recipe_files, recipe_entry)
        )
        resolved[path] = GeneratedEntry(entry=entry, origin=RECIPE_OWNER), layer_entry
    return [resolved[path] for path in sorted(resolved)]


def _check_directory(recipe_entry: RecipeEntry, path: str, tree: Tree) -> None:
    node = tree.get(path)
    if node and node.entry.kind == "dir" and recipe_entry.entry.kind != "dir" and tree.children(path):
        raise ImageError(
            f"cannot put a {recipe_entry.entry.kind} at /{path}: "
            f"it is a directory of {node.owner or 'the image'} with something in it",
            hint="end 'to' with '/' to put it into the directory",
        )


@contextmanager
def _locate_errors(recipe_entry: RecipeEntry) -> Iterator[None]:
    """Add the location of the rule to an error."""
    try:
        yield
    except ImageError as error:
        raise ImageError(
            error.message, where=error.where or recipe_entry.location or None, hint=error.hint
        ) from None


def _recorded_digest(recipe_files: RecipeFiles, recipe_entry: RecipeEntry) -> str:
    if recipe_entry.entry.path not in recipe_files.content_digests:
        raise ImageError(
            f"/{recipe_entry.entry.path} appeared while the image was built",
            where=recipe_entry.location,
            hint="build again",
        )
    return recipe_files.content_digests[recipe_entry.entry.path]
