"""The evidence of a built image, SBOMs and provenance: written once, attached as referrers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pumice.assembly.cache import Cache
from pumice.formats import oci
from pumice.store.blobs import write_blob
from pumice.version import __version__

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.assembly.layer_assembly import LayerContents
    from pumice.assembly.platform_model import PlatformImage, PlatformInputs
    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor
    from pumice.omission.model import OmittedPackage
    from pumice.packing.compose import ComposedLayer
    from pumice.recipe.lock import Lock
    from pumice.recipe.model import Recipe
    from pumice.store.home import Home

_MAX_RECIPE = 1 << 20

AttachedArtifacts = dict[str, tuple["Descriptor", ...]]
"""The digest of a manifest or index to the artifacts that have it as their subject."""


class Evidence(msgspec.Struct, frozen=True):
    """The artifacts about one manifest, and the digests of all the blobs that they consist of."""

    artifacts: tuple[oci.Descriptor, ...]
    blobs: list[str]


_CACHE = Cache("evidence", Evidence, lambda evidence: evidence.blobs)


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


def write_image_facts(
    inputs: PlatformInputs,
    contents: LayerContents,
    layers: Sequence[ComposedLayer],
    documents: tuple[Descriptor, Descriptor],
    created: int,
    os_release: str,
    *,
    omitted: Sequence[OmittedPackage] = (),
    home: Home,
) -> Digest:
    """Write the facts of an image as a blob, while everything about it is in memory; return its digest.

    ``documents`` are the manifest and the config; ``created`` is in seconds since 1970.
    """
    from pumice.evidence import build_facts
    from pumice.formats import platforms
    from pumice.packing.config import standard_annotations, timestamp

    manifest, config = documents
    facts = build_facts.gather_facts(
        inputs.recipe,
        build_facts.ImageDescription(
            manifest=manifest,
            config=config,
            platform=platforms.from_debian(inputs.architecture),
            system=build_facts.read_system(os_release.encode(), inputs.recipe.origin.debian),
            created=timestamp(created),
            annotations=standard_annotations(inputs.recipe, created),
        ),
        inputs.packages,
        contents.segments,
        layers,
        _origins(contents),
        recipe_entries=[layer_entry.entry for layer_entry in contents.recipe_entries],
        records=home.records,
        omitted=omitted,
    )
    return write_blob(msgspec.msgpack.encode(facts), home.blobs)


def _origins(contents: LayerContents) -> dict[str, str]:
    """Return the origins of the files that are in no package and not in the recipe."""
    origins = {item.entry.path: item.origin for item in contents.generated}
    if contents.command_output:
        from pumice.evidence.facts import GENERATED

        origins |= {item.entry.path: GENERATED for item in contents.command_output.items}
    return origins


def attach_evidence(
    sources: EvidenceSources, root: Descriptor, images: Mapping[str, PlatformImage], home: Home
) -> AttachedArtifacts:
    """Return the evidence of each platform's image and of their index, written now or before.

    ``images`` are by architecture. If nothing changed it takes one look-up for each. Raises StoreError.
    """
    attached = {
        image.manifest.digest: _platform_artifacts(sources, architecture, image, home)
        for architecture, image in images.items()
    }
    if root.digest not in attached:
        attached[root.digest] = _index_artifacts(sources, root, images, home)
    return attached


def is_build_evidence(descriptor: Descriptor) -> bool:
    """Whether a build attached this artifact, so that the next build of the same image replaces it."""
    return oci.EVIDENCE in descriptor.annotations


def _platform_artifacts(
    sources: EvidenceSources, architecture: str, image: PlatformImage, home: Home
) -> tuple[Descriptor, ...]:
    key = _key(sources, architecture, image.manifest.digest, image.facts, sources.files_digest)

    def write() -> Evidence:
        from pumice.assembly.evidence_writer import write_platform_evidence

        return write_platform_evidence(sources, architecture, image, home)

    return _CACHE.get_or_compute(home, key, write, keep=[image.manifest.digest]).artifacts


def _index_artifacts(
    sources: EvidenceSources, index: Descriptor, images: Mapping[str, PlatformImage], home: Home
) -> tuple[Descriptor, ...]:
    key = _key(sources, list(images), index.digest)

    def write() -> Evidence:
        from pumice.assembly.evidence_writer import write_index_evidence

        return write_index_evidence(sources, index, images, home)

    return _CACHE.get_or_compute(home, key, write, keep=[index.digest]).artifacts


def _key(sources: EvidenceSources, *subject: object) -> Digest:
    return _CACHE.key(
        *(__version__, python_version(), subject, sources.recipe_name, sources.recipe_text),
        *(sources.effective, sources.lock, sources.source_date_epoch),
    )


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
    import sys

    return ".".join(map(str, sys.version_info[:3]))
