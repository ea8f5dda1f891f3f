"""Sigstore bundles 0.3 whose key is known beforehand (sigstore/protobuf-specs, sigstore_bundle.proto).

Only what a long-lived key needs: the envelope and a hint to the key. Bundles with a certificate are
recognised, so that it can be said why they do not count.
"""

from __future__ import annotations

import base64
import re
from typing import Any

import msgspec

from pumice import canonical
from pumice.errors import FormatError
from pumice.formats import dsse, strictjson
from pumice.formats.dsse import Envelope

BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"
SIGN = "https://sigstore.dev/cosign/sign/v1"
"""The predicate type of a statement that is a plain signature of an image."""

CONTENT = "dev.sigstore.bundle.content"
PREDICATE_TYPE = "dev.sigstore.bundle.predicateType"
"""Annotations of the manifest that a bundle is attached by."""

_DOCUMENT = "sigstore bundle"
_MEDIA_TYPE = re.compile(
    r"application/vnd\.dev\.sigstore\.bundle(\.v0\.\d+)?\+json(;version=0\.\d+)?", re.ASCII
)


class Bundle(msgspec.Struct, frozen=True):
    """A bundle. ``hint`` names the key and proves nothing; ``keyless`` ones are signed by a certificate."""

    envelope: Envelope
    hint: str = ""
    is_keyless: bool = False


def make_key_hint(der: bytes) -> str:
    """Return the hint for a public key in DER (SubjectPublicKeyInfo), as cosign makes it."""
    import hashlib

    return base64.b64encode(hashlib.sha256(der).digest()).decode()


def encode_bundle(bundle: Bundle) -> bytes:
    """Return the JSON of a bundle."""
    return canonical.dumps(
        {
            "mediaType": BUNDLE,
            "verificationMaterial": {"publicKey": {"hint": bundle.hint}},
            "dsseEnvelope": dsse.envelope_to_json(bundle.envelope),
        }
    )


def is_bundle(media_type: str) -> bool:
    """Say whether a media type is that of a bundle, of whatever version 0."""
    return _MEDIA_TYPE.fullmatch(media_type) is not None


def read_bundle(data: bytes) -> Bundle:
    """Read a bundle; raises FormatError, also for those that sign a blob's hash instead of a statement."""
    document = strictjson.read_object(data, _DOCUMENT, limit=dsse.MAX_ENVELOPE)
    kind = strictjson.get_text(document, "mediaType", _DOCUMENT)
    if not is_bundle(kind):
        raise FormatError(f"the {_DOCUMENT} has the unknown type {kind[:80]!r}")
    if "dsseEnvelope" not in document:
        raise FormatError(f"the {_DOCUMENT} holds no signed statement")
    material: dict[str, Any] = {}
    if document.get("verificationMaterial") is not None:
        material = strictjson.get_object(document, "verificationMaterial", _DOCUMENT)
    key = material.get("publicKey")
    return Bundle(
        dsse.envelope_from_json(strictjson.get_object(document, "dsseEnvelope", _DOCUMENT)),
        strictjson.get_text(key, "hint", _DOCUMENT, "") if isinstance(key, dict) else "",
        "certificate" in material or "x509CertificateChain" in material,
    )
