"""DSSE envelopes, whose signatures cover the payload and its type (secure-systems-lab/dsse, 1.0)."""

from __future__ import annotations

import base64
import binascii
from typing import Any

import msgspec

from pumice import canonical
from pumice.errors import FormatError
from pumice.formats import strictjson

IN_TOTO = "application/vnd.in-toto+json"
ENVELOPE = "application/vnd.dsse.envelope.v1+json"
MAX_ENVELOPE = 129 << 20
"""Maximum size in bytes: the largest statement in base64, and its envelope."""
MAX_SIGNATURES = 64
_DOCUMENT = "signed envelope"


class Signature(msgspec.Struct, frozen=True):
    """One signature over the pre-authentication encoding; ``keyid`` is an unauthenticated hint."""

    value: bytes
    keyid: str = ""


class Envelope(msgspec.Struct, frozen=True):
    """A payload, its type, and the signatures over both."""

    payload_type: str
    payload: bytes
    signatures: tuple[Signature, ...]

    def signed_bytes(self) -> bytes:
        """Return the bytes that the signatures cover."""
        return encode_pae(self.payload_type, self.payload)


def encode_pae(payload_type: str, payload: bytes) -> bytes:
    """Return the pre-authentication encoding that is signed (protocol.md, "Signature Definition")."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def envelope_to_json(envelope: Envelope) -> dict[str, Any]:
    """Return an envelope as a JSON object (envelope.md)."""
    return {
        "payload": base64.b64encode(envelope.payload).decode(),
        "payloadType": envelope.payload_type,
        "signatures": [
            {"sig": base64.b64encode(signature.value).decode()}
            | ({"keyid": signature.keyid} if signature.keyid else {})
            for signature in envelope.signatures
        ],
    }


def encode_envelope(envelope: Envelope) -> bytes:
    """Return the JSON of an envelope."""
    return canonical.dumps(envelope_to_json(envelope))


def read_envelope(data: bytes, *, payload_type: str = IN_TOTO) -> Envelope:
    """Return the envelope in ``data``; raises FormatError if malformed or of another payload type."""
    return envelope_from_json(
        strictjson.read_object(data, _DOCUMENT, limit=MAX_ENVELOPE), payload_type=payload_type
    )


def envelope_from_json(document: dict[str, Any], *, payload_type: str = IN_TOTO) -> Envelope:
    """Return the envelope in a JSON object; raises FormatError if malformed or of another payload type."""
    kind = strictjson.get_text(document, "payloadType", _DOCUMENT)
    if kind != payload_type:
        raise FormatError(f"the {_DOCUMENT} has payload type {kind[:80]!r}, expected {payload_type!r}")
    signatures = document.get("signatures")
    if not isinstance(signatures, list) or not 0 < len(signatures) <= MAX_SIGNATURES:
        raise FormatError(f"the {_DOCUMENT} must have 1 to {MAX_SIGNATURES} signatures")
    return Envelope(
        kind,
        decode_base64(strictjson.get_text(document, "payload", _DOCUMENT), _DOCUMENT),
        tuple(_parse_signature(signature) for signature in signatures),
    )


def decode_base64(text: str, description: str) -> bytes:
    """Return the bytes of standard or URL-safe base64, as protocol.md allows both.

    Raises FormatError with ``description`` as the name of the document.
    """
    try:
        if "-" in text or "_" in text:
            text = text.replace("-", "+").replace("_", "/")
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise FormatError(f"the {description} contains invalid base64") from None


def _parse_signature(document: object) -> Signature:
    if not isinstance(document, dict):
        raise FormatError(f"the {_DOCUMENT} has a signature that is not an object")
    value = decode_base64(strictjson.get_text(document, "sig", _DOCUMENT), _DOCUMENT)
    return Signature(value, strictjson.get_text(document, "keyid", _DOCUMENT, ""))
