"""Simple signing payloads, which older cosign versions sign and containers' policy.json requires.

containers/image, containers-signature(5); sigstore/cosign, specs/SIGNATURE_SPEC.md.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice import canonical
from pumice.digest import Digest, check
from pumice.errors import FormatError
from pumice.formats import strictjson

if TYPE_CHECKING:
    from collections.abc import Sequence

PAYLOAD = "application/vnd.dev.cosign.simplesigning.v1+json"
SIGNATURE = "dev.cosignproject.cosign/signature"
"""The annotation of a layer with the base64 signature over its bytes."""
CERTIFICATE = "dev.sigstore.cosign/certificate"

MAX_PAYLOAD = 1 << 20
_TYPE = "cosign container image signature"
_TYPES = frozenset({_TYPE, "atomic container signature"})
_DOCUMENT = "signature payload"


class Payload(msgspec.Struct, frozen=True):
    """The signed statement that the image ``digest`` is ``reference``, which may be empty.

    ``timestamp`` is the time of the signature in seconds since the epoch, 0 if unknown.
    """

    reference: str
    digest: Digest
    timestamp: int = 0


def encode_payload(payload: Payload) -> bytes:
    """Return the bytes to sign."""
    return canonical.dumps(
        {
            "critical": {
                "identity": {"docker-reference": payload.reference},
                "image": {"docker-manifest-digest": payload.digest},
                "type": _TYPE,
            },
            "optional": {"timestamp": payload.timestamp} if payload.timestamp else None,
        }
    )


def encode_artifact_config(digests: Sequence[str]) -> bytes:
    """Return the config that cosign gives to its artifacts: that of an image with these layers only."""
    rootfs = {"type": "layers", "diff_ids": list(digests)}
    return canonical.dumps({"architecture": "", "os": "", "config": {}, "rootfs": rootfs})


def read_payload(data: bytes) -> Payload:
    """Return the payload in ``data``; raises FormatError if malformed or with unknown critical fields."""
    document = strictjson.read_object(data, _DOCUMENT, limit=MAX_PAYLOAD)
    critical = strictjson.get_object(document, "critical", _DOCUMENT)
    if unknown := set(critical) - {"identity", "image", "type"}:
        raise FormatError(f"the {_DOCUMENT} has the unknown critical field {min(unknown)[:40]!r}")
    kind = strictjson.get_text(critical, "type", _DOCUMENT)
    if kind not in _TYPES:
        raise FormatError(f"the {_DOCUMENT} has unsupported type {kind[:80]!r}")
    identity = strictjson.get_object(critical, "identity", _DOCUMENT)
    image = strictjson.get_object(critical, "image", _DOCUMENT)
    return Payload(
        strictjson.get_text(identity, "docker-reference", _DOCUMENT),
        check(strictjson.get_text(image, "docker-manifest-digest", _DOCUMENT)),
        strictjson.get_seconds(document.get("optional"), "timestamp"),
    )
