"""Writes the evidence of an image: SBOMs and provenance; imported only where something changed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from pumice import digest
from pumice.assembly.evidence_model import Evidence, python_version
from pumice.decoding import decode_msgpack
from pumice.errors import StoreError
from pumice.evidence import cyclonedx_document, provenance, spdx_document
from pumice.evidence.facts import Facts
from pumice.formats import cyclonedx, intoto, oci, platforms, spdx
from pumice.image import referrers
from pumice.recipe.lock import encode_lock

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.assembly.evidence_model import EvidenceSources
    from pumice.assembly.platform_model import PlatformImage
    from pumice.digest import Digest
    from pumice.recipe.model import Origin
    from pumice.store.home import Home

PREDICATE_TYPE = "in-toto.io/predicate-type"
"""The annotation of an artifact with the predicate type of its statement."""


def write_platform_evidence(
    sources: EvidenceSources, architecture: str, image: PlatformImage, home: Home
) -> Evidence:
    """Write the SBOMs and the provenance of one platform's image as artifacts; raises StoreError."""
    facts = _read_facts(image, home)
    urls = mirror_urls(sources.recipe.origin)
    sboms = [
        ("sbom.spdx.json", spdx.MEDIA_TYPE, spdx_document.format_spdx(facts, urls), intoto.SPDX),
        (
            "sbom.cdx.json",
            cyclonedx.MEDIA_TYPE,
            cyclonedx_document.format_cyclonedx(facts, urls),
            intoto.CYCLONEDX,
        ),
    ]
    attached = [
        _attach(image.manifest, data, media_type, "sbom", predicate_type, home)
        for _, media_type, data, predicate_type in sboms
    ]
    byproducts = [
        (name, media_type, data_digest)
        for (name, media_type, *_), (_, data_digest) in zip(sboms, attached, strict=True)
    ]
    inputs = msgspec.structs.replace(
        _provenance_inputs(sources),
        architecture=architecture,
        suites={package.name: package.suite for package in sources.lock.packages[architecture]},
    )
    statement = provenance.format_provenance(facts, inputs, urls, byproducts)
    return _collect([*attached, _attach_provenance(image.manifest, statement, home)])


def write_index_evidence(
    sources: EvidenceSources, index: oci.Descriptor, images: Mapping[str, PlatformImage], home: Home
) -> Evidence:
    """Write the provenance of an index as an artifact; ``images`` are by architecture."""
    manifests = [
        (architecture, platforms.format_platform(platforms.from_debian(architecture)), image.manifest)
        for architecture, image in images.items()
    ]
    subject = (f"{sources.recipe.name}:{sources.recipe.version}", index.digest)
    statement = provenance.format_index_provenance(subject, _provenance_inputs(sources), manifests)
    return _collect([_attach_provenance(index, statement, home)])


def _provenance_inputs(sources: EvidenceSources) -> provenance.Inputs:
    return provenance.Inputs(
        recipe_name=sources.recipe_name,
        recipe=sources.recipe_text.encode(),
        effective=sources.effective,
        lock=encode_lock(sources.lock),
        indexes=sources.lock.indexes,
        format=sources.lock.format,
        python=python_version(),
        epoch=sources.source_date_epoch,
    )


def _collect(attached: Sequence[tuple[oci.Descriptor, Digest]]) -> Evidence:
    blobs = [blob for artifact, data_digest in attached for blob in (artifact.digest, data_digest)]
    return Evidence(tuple(artifact for artifact, _ in attached), [*blobs, oci.EMPTY_CONFIG.digest])


def _read_facts(image: PlatformImage, home: Home) -> Facts:
    with home.blobs.open(image.manifest.digest) as file:
        sha512 = hashlib.sha512(file.read()).hexdigest()
    with home.blobs.open(image.facts) as file:
        try:
            facts = decode_msgpack(file.read(), Facts)
        except msgspec.MsgspecError:
            raise StoreError(
                "the facts of the image in the store are damaged",
                where=image.facts,
                hint="run 'pumice store verify'",
            ) from None
    return msgspec.structs.replace(facts, sha512=sha512)


def _attach_provenance(
    subject: oci.Descriptor, statement: bytes, home: Home
) -> tuple[oci.Descriptor, Digest]:
    return _attach(subject, statement, intoto.MEDIA_TYPE, "provenance", intoto.PROVENANCE, home)


def _attach(
    subject: oci.Descriptor, data: bytes, media_type: str, evidence_kind: str, predicate_type: str, home: Home
) -> tuple[oci.Descriptor, Digest]:
    """Write an artifact about ``subject``; return its descriptor and the digest of its data."""
    annotations = {oci.EVIDENCE: evidence_kind, PREDICATE_TYPE: predicate_type}
    artifact = referrers.put_artifact(subject, data, media_type, home.blobs, annotations=annotations)
    return artifact, digest.of(data)


def mirror_urls(origin: Origin) -> dict[str, str]:
    """Return the HTTP URLs that the recipe itself names, by archive; empty for those it leaves open."""
    urls = {archive.name: archive.url for archive in origin.archives}
    if origin.mirrors:
        urls["debian"] = origin.mirrors[0]
    if origin.security_mirrors:
        urls["debian-security"] = origin.security_mirrors[0]
    return {name: url for name, url in urls.items() if url.startswith(("https://", "http://"))}
