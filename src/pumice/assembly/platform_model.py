"""What decides the image of one platform, and what it is once it is assembled."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.checks.finding import Finding
from pumice.formats import oci
from pumice.omission.model import Decision
from pumice.packing.layer_plan import LayerDigests
from pumice.recipe.lock import Ids, LockedPackage
from pumice.recipe.model import Recipe

if TYPE_CHECKING:
    from pumice.assembly.recipe_files import RecipeFiles


class GeneratedPaths(msgspec.Struct, frozen=True):
    """What the commands of ``generate`` wrote: paths that are in the image, and paths that were dropped."""

    kept: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


class ExcludedFiles(msgspec.Struct, frozen=True, kw_only=True):
    """How many files of a package a pattern of ``exclude`` left out, and their size in bytes."""

    pattern: str
    package: str
    files: int
    size: int


class PlatformInputs(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that decides the image of one platform, except ``SOURCE_DATE_EPOCH``.

    ``architecture`` is Debian's name; ``format`` is the format of the lock.
    """

    recipe: Recipe
    files: RecipeFiles
    packages: tuple[LockedPackage, ...]
    architecture: str
    ids: Ids
    format: int
    omittable: tuple[str, ...] = ()
    """The install tools, and dependencies on them, that the image leaves out where nothing uses them."""
    without: tuple[str, ...] = ()
    """The packages that the recipe gives up."""
    slices: str = ""
    """Digest of the release of slices; empty without slices."""


class PlatformImage(msgspec.Struct, frozen=True, kw_only=True):
    """The image of one platform, and what is worth reporting about its assembly."""

    manifest: oci.Descriptor
    config: oci.Descriptor
    created: int
    """Seconds since 1970."""
    ids: Ids
    """The user and group ids of the lock, with those that were allocated."""
    layers: tuple[tuple[str, LayerDigests], ...]
    """Title and layer, lowest first."""
    skipped_actions: dict[str, tuple[str, ...]]
    """By package: what its maintainer scripts would do and effects do not."""
    notes: tuple[str, ...] = ()
    generated: GeneratedPaths = GeneratedPaths()
    not_reproducible: tuple[str, ...] = ()
    """Paths of files that package scripts do not write the same twice."""
    omission: Decision = Decision()
    """The packages that are left out, and why others are not."""
    excluded: tuple[ExcludedFiles, ...] = ()
    findings: tuple[Finding, ...] = ()
    """What `pumice.checks` found in the image."""
    facts: str
    """Digest of the blob with `pumice.evidence.facts.Facts`, from which evidence is written."""
