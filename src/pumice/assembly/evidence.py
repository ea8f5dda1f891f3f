"""The evidence of a built image, SBOMs and provenance: written once, attached as referrers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.assembly.cache import Cache
from pumice.assembly.evidence_model import Evidence, EvidenceSources, python_version
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
    from pumice.store.home import Home

AttachedArtifacts = dict[str, tuple["Descriptor", ...]]
"""The digest of a manifest or index to the artifacts that have it as their subject."""


_CACHE = Cache("evidence", Evidence, lambda evidence: evidence.blobs)


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
