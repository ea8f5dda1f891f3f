"""Computes what an image can go without, and builds the smaller recipe to prove it."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice import files
from pumice.assembly import locking
from pumice.assembly.image_checks import open_checked_image
from pumice.assembly.recipe_build import BuildSettings, build_recipe
from pumice.errors import FormatError, ImageError, TrustError
from pumice.formats import deb822
from pumice.image.inventory import read_inventory
from pumice.image.layer_scan import STATUS
from pumice.omission.graph import make_graph
from pumice.progress import WithoutNotes
from pumice.recipe.load import load_recipe
from pumice.slimming.plan import PackageFile, SlimPlan, find_removable, is_excludable, plan_exclusions
from pumice.slimming.reach import EntryPoints, find_reach, is_passive
from pumice.slimming.recipe_text import format_recipe

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from pumice.assembly.recipe_build import RecipeBuild
    from pumice.formats.intoto import Statement
    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.recipe.model import Recipe
    from pumice.store.home import Home

_MAX_STATUS = 64 << 20


class SlimmedImage(msgspec.Struct, frozen=True):
    """What an image can go without; ``reached`` are the paths that stay, each with the reason.

    ``files`` are those of packages.
    """

    plan: SlimPlan
    reached: dict[str, str]
    files: tuple[PackageFile, ...]

    def unreached(self) -> Iterator[tuple[str, int]]:
        """Yield the path and size of each file of a package that nothing reaches."""
        for file in self.files:
            if file.path not in self.reached and is_excludable(file.path):
                yield file.path, file.size


def analyze_image(
    image: Image,
    entry_points: EntryPoints,
    untouched: Collection[str],
    home: Home,
    progress: Progress,
    *,
    recommends: bool = False,
) -> SlimmedImage:
    """Return what an image of one platform can go without.

    ``untouched`` are packages that stay as they are. Without names in ``entry_points``, the packages that
    no other depends on count as named. Raises the errors of reading and unpacking the image.
    """
    inventory = read_inventory(image, home.records)
    owners = {file.path: file.package for file in inventory.files if file.package and file.kind != "dir"}
    files = tuple(
        PackageFile(file.path, file.package, file.size if file.kind == "file" else 0)
        for file in inventory.files
        if file.path in owners
    )
    with open_checked_image(image, home, progress) as checked_image:
        status = checked_image.read_text(f"/{STATUS}", _MAX_STATUS).encode()
        fields = {item.get("Package", ""): item for item in deb822.read_paragraphs(status, latin1=True)}
        roots = entry_points.named or _find_roots(fields)
        entry_points = msgspec.structs.replace(entry_points, named=frozenset(roots) & fields.keys())
        reached = find_reach(checked_image, owners, entry_points)
    reached |= {file.path: "its package is a slice" for file in files if file.package in untouched}
    used = {owners[path] for path in reached if path in owners and not is_passive(path)}
    stay = {*entry_points.named, *untouched}
    removable = find_removable(fields, stay, used, recommends=recommends) & set(owners.values())
    plan = plan_exclusions(files, reached, removable, total=inventory.size)
    return SlimmedImage(plan, reached, files)


def _find_roots(fields: Mapping[str, Mapping[str, str]]) -> set[str]:
    """Return the packages that no other package depends on."""
    graph = make_graph(fields, (), recommends=False)
    return set(fields) - {name for names in graph.strong.values() for name in names}


def list_named(recipe: Recipe) -> frozenset[str]:
    """Return the packages that a recipe names."""
    requested = {request.name for request in recipe.packages if request.name and not request.exclude}
    return frozenset(requested | set(recipe.keep))


def list_sliced(recipe: Recipe) -> frozenset[str]:
    """Return the packages of a recipe's slices, which stay as they are."""
    return frozenset(name.partition("_")[0] for name in recipe.selected_slices)


def build_slim(
    recipe_path: Path,
    plan: SlimPlan,
    settings: BuildSettings,
    home: Home,
    *,
    arguments: Mapping[str, str],
    progress: Progress,
) -> RecipeBuild:
    """Build the recipe at ``recipe_path`` without what ``plan`` lists; its lock stays as it is.

    The lock of the smaller recipe pins the same versions.
    """
    with tempfile.TemporaryDirectory(prefix="slim-", dir=home.directory("tmp")) as directory:
        path = Path(directory) / "recipe.yaml"
        path.write_text(format_recipe(str(recipe_path.resolve()), plan, "a trial"), encoding="utf-8")
        lock_path = locking.lock_path(recipe_path)
        if lock_path.exists():
            shutil.copyfile(lock_path, locking.lock_path(path))
        recipe = load_recipe(path, arguments)
        # Notes would be about the temporary recipe and its lock.
        return build_recipe(recipe, settings, home, environ=os.environ, progress=WithoutNotes(progress))


def write_slim_recipe(path: Path, recipe_path: Path, plan: SlimPlan) -> None:
    """Write the recipe that extends the one at ``recipe_path`` and goes without what ``plan`` lists."""
    base = os.path.relpath(recipe_path.resolve(), path.resolve().parent)
    text = format_recipe(
        base, plan, "Written by 'pumice slim': what nothing in the image reaches is left out."
    )
    files.replace(path, text.encode())


def restore_recipe(image: Image, path: Path) -> None:
    """Write the recipe of an image of one platform, from its provenance, to ``path``.

    Raises ImageError for an image without a provenance of Pumice, and if there is another file at ``path``.
    """
    from pumice.evidence import attached_documents

    statement = attached_documents.read_provenance(image)
    if statement is None:
        hint = "only images that Pumice built have one; name the recipe instead of the image"
        raise ImageError("the image has no provenance with its recipe", where=image.root.digest, hint=hint)
    text = _read_recipe(statement)
    if path.exists() and path.read_bytes() != text:
        raise ImageError("the file exists, and is not the recipe of the image", where=str(path))
    files.replace(path, text)


def _read_recipe(statement: Statement) -> bytes:
    try:
        parameter = statement.predicate["buildDefinition"]["externalParameters"]["recipe"]
        text = base64.b64decode(parameter["content"], validate=True)
        expected = parameter["digest"]["sha256"]
    except (KeyError, TypeError, ValueError):
        raise FormatError("the provenance does not contain the recipe") from None
    if hashlib.sha256(text).hexdigest() != expected:
        raise TrustError("the recipe in the provenance does not match its digest")
    return text
