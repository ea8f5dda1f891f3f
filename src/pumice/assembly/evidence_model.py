"""What evidence is about, and what is written of it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import msgspec

from pumice.formats import oci

if TYPE_CHECKING:
    from pumice.digest import Digest
    from pumice.recipe.lock import Lock
    from pumice.recipe.model import Recipe

_MAX_RECIPE = 1 << 20


class Evidence(msgspec.Struct, frozen=True):
    """The artifacts about one manifest, and the digests of all the blobs that they consist of."""

    artifacts: tuple[oci.Descriptor, ...]
    blobs: list[str]


class EvidenceSources(msgspec.Struct, frozen=True, kw_only=True):
    """What evidence states about a build, apart from the image itself."""

    recipe: Recipe
    recipe_text: str
    """The recipe file as it is, empty if it cannot be read as text."""
    effective: dict[str, Any]
    """The recipe as `effective_values` returns it."""
    lock: Lock
    files_digest: Digest
    """Covers the recipe's own files."""
    source_date_epoch: int | None

    @classmethod
    def of(
        cls,
        recipe: Recipe,
        lock: Lock,
        files_digest: Digest,
        source_date_epoch: int | None,
        recipe_text: str | None = None,
    ) -> EvidenceSources:
        """Return the sources for a build, reading the recipe file unless ``recipe_text`` is its text."""
        return cls(
            recipe=recipe,
            recipe_text=_read_text(recipe.path) if recipe_text is None else recipe_text,
            effective=effective_values(recipe),
            lock=lock,
            files_digest=files_digest,
            source_date_epoch=source_date_epoch,
        )

    @property
    def recipe_name(self) -> str:
        """The name of the recipe file, without directories."""
        return self.recipe.path.rpartition("/")[2]


def _read_text(path: str) -> str:
    try:
        with open(path, "rb") as file:
            return file.read(_MAX_RECIPE).decode()
    except (OSError, UnicodeDecodeError):
        return ""


def effective_values(recipe: Recipe) -> dict[str, Any]:
    """Return a recipe as plain values, without its tests and the paths and lines of this machine."""
    values: dict[str, Any] = msgspec.to_builtins(recipe)
    values.pop("tests", None)
    values.pop("path", None)
    values.pop("tags", None)  # they follow from the version
    located = ("packages", "files", "permissions", "exclude", "generate")
    for rule in (item for key in located for item in values.get(key, ())):
        rule.pop("where", None)
    return values


def python_version() -> str:
    """Return the version of the Python that runs this code, such as ``3.11.2``."""
    return ".".join(map(str, sys.version_info[:3]))
