"""What people call the artifacts that are attached to an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pumice.formats import oci

_KINDS = {
    "application/spdx+json": "SBOM (SPDX)",
    "application/vnd.cyclonedx+json": "SBOM (CycloneDX)",
    "application/vnd.dev.cosign.artifact.sig.v1+json": "signatures (cosign)",
    "application/vnd.dev.cosign.artifact.att.v1+json": "attestations (cosign)",
    "https://cyclonedx.org/bom": "SBOM (CycloneDX)",
    "https://slsa.dev/provenance/v1": "provenance (SLSA v1)",
    "https://spdx.dev/Document": "SBOM (SPDX)",
}
"""What people call types of artifacts, and of the statements in them."""

_CONTENTS = {
    "application/vnd.dev.cosign.simplesigning.v1+json": "signatures (cosign)",
    "application/vnd.dsse.envelope.v1+json": "attestations (cosign)",
}


def describe_artifact(manifest: oci.Manifest) -> str:
    """Return what an artifact is; without a type of its own, its config's counts (image-spec)."""
    kind = manifest.artifact_type or manifest.config.media_type
    predicate = manifest.annotations.get("in-toto.io/predicate-type", "")
    predicate = predicate or manifest.annotations.get("dev.sigstore.bundle.predicateType", "")
    if "sigstore.bundle" in kind:
        if predicate == "https://sigstore.dev/cosign/sign/v1":
            return "signature (sigstore bundle)"
        return f"attestation (sigstore bundle) of {_KINDS.get(predicate, predicate or 'something')}"
    for layer in manifest.layers:  # cosign's older manifests have the config of an image
        if layer.media_type in _CONTENTS:
            return _CONTENTS[layer.media_type]
    return _KINDS.get(kind) or _KINDS.get(predicate, f"artifact {kind}")


def is_signature(kind: str) -> bool:
    """Return whether a text of `describe_artifact` is that of signatures of the image."""
    return kind.startswith("signature")
