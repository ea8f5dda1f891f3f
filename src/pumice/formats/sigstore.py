"""Sigstore bundles 0.3 signed by a long-lived key (sigstore/protobuf-specs, sigstore_bundle.proto).

Only the envelope and the key hint are read. Bundles with a certificate are recognized, so that an error can
say why they are not accepted here.
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
"""The predicate type of a statement that only signs an image."""

CONTENT = "dev.sigstore.bundle.content"
PREDICATE_TYPE = "dev.sigstore.bundle.predicateType"
"""Annotations of the manifest of an attached bundle."""

_DOCUMENT = "sigstore bundle"
_MEDIA_TYPE = re.compile(
    r"application/vnd\.dev\.sigstore\.bundle(\.v0\.\d+)?\+json(;version=0\.\d+)?", re.ASCII
)


class Bundle(msgspec.Struct, frozen=True):
    """A bundle; ``hint`` is an unauthenticated key hint, and keyless bundles have a certificate."""

    envelope: Envelope
    hint: str = ""
    is_keyless: bool = False


def make_key_hint(der: bytes) -> str:
    """Return the hint for a public key in DER (SubjectPublicKeyInfo), as cosign computes it."""
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
    """Return whether a media type is that of a bundle of any version 0.x."""
    return _MEDIA_TYPE.fullmatch(media_type) is not None


def read_bundle(data: bytes) -> Bundle:
    """Return the bundle in ``data``; raises FormatError if malformed or without a DSSE envelope."""
    document = strictjson.read_object(data, _DOCUMENT, limit=dsse.MAX_ENVELOPE)
    kind = strictjson.get_text(document, "mediaType", _DOCUMENT)
    if not is_bundle(kind):
        raise FormatError(f"the {_DOCUMENT} has unsupported media type {kind[:80]!r}")
    if "dsseEnvelope" not in document:
        raise FormatError(f"the {_DOCUMENT} has no DSSE envelope")
    material: dict[str, Any] = {}
    if document.get("verificationMaterial") is not None:
        material = strictjson.get_object(document, "verificationMaterial", _DOCUMENT)
    key = material.get("publicKey")
    return Bundle(
        dsse.envelope_from_json(strictjson.get_object(document, "dsseEnvelope", _DOCUMENT)),
        strictjson.get_text(key, "hint", _DOCUMENT, "") if isinstance(key, dict) else "",
        "certificate" in material or "x509CertificateChain" in material,
    )
