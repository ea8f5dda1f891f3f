"""in-toto statements: a claim (predicate) of some type about things known by digest.

in-toto/attestation, spec/v1.
"""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from pumice.digest import Digest, hex_of
from pumice.errors import FormatError
from pumice.formats import strictjson

V1 = "https://in-toto.io/Statement/v1"
V01 = "https://in-toto.io/Statement/v0.1"
"""What cosign writes to this day."""

_WHAT = "statement"
_HEX = re.compile("[0-9a-f]{64}")
_MAX = 64 << 20

PREDICATES = {
    "slsaprovenance": "https://slsa.dev/provenance/v1",
    "slsaprovenance1": "https://slsa.dev/provenance/v1",
    "slsaprovenance02": "https://slsa.dev/provenance/v0.2",
    "spdx": "https://spdx.dev/Document",
    "spdxjson": "https://spdx.dev/Document",
    "cyclonedx": "https://cyclonedx.org/bom",
    "openvex": "https://openvex.dev/ns",
    "vuln": "https://cosign.sigstore.dev/attestation/vuln/v1",
    "link": "https://in-toto.io/Link/v1",
    "custom": "https://cosign.sigstore.dev/attestation/v1",
}
"""Short names of predicate types, as cosign has them."""


class Subject(msgspec.Struct, frozen=True):
    """What a statement is about; ``name`` may be empty."""

    name: str
    digest: Digest


class Statement(msgspec.Struct, frozen=True):
    """A statement; ``predicate`` is JSON of the predicate type's own shape."""

    subjects: tuple[Subject, ...]
    predicate_type: str
    predicate: Any = None


def encode(statement: Statement) -> bytes:
    """Return the JSON of a statement: equal statements give equal bytes.

    Not by `canonical`, because a predicate of others may hold floating point.
    """
    document = {
        "_type": V1,
        "subject": [
            {"digest": {"sha256": hex_of(subject.digest)}} | ({"name": subject.name} if subject.name else {})
            for subject in statement.subjects
        ],
        "predicateType": statement.predicate_type,
        "predicate": statement.predicate,
    }
    return json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def read(data: bytes) -> Statement:
    """Read a statement; subjects without a SHA-256 are left out. Raises FormatError."""
    document = strictjson.mapping(data, _WHAT, limit=_MAX)
    kind = strictjson.text(document, "_type", _WHAT)
    if kind not in (V1, V01):
        raise FormatError(f"the {_WHAT} is of the unknown type {kind[:80]!r}")
    listed = document.get("subject")
    if not isinstance(listed, list):
        raise FormatError(f"the {_WHAT} has no subjects")
    subjects = [subject for item in listed if (subject := _subject(item))]
    return Statement(
        tuple(subjects), strictjson.text(document, "predicateType", _WHAT), document.get("predicate")
    )


def predicate_type(name: str) -> str:
    """Return the URI for a short name, or ``name`` if it is a URI; raises FormatError otherwise."""
    known = PREDICATES.get(name, name)
    if ":" not in known or not known.isprintable() or " " in known:
        names = ", ".join(PREDICATES)
        raise FormatError(f"{name[:80]!r} is no predicate type", hint=f"write a URI or one of {names}")
    return known


def _subject(item: object) -> Subject | None:
    digests = item.get("digest") if isinstance(item, dict) else None
    hex_digits = digests.get("sha256") if isinstance(digests, dict) else None
    if not isinstance(item, dict) or not isinstance(hex_digits, str) or not _HEX.fullmatch(hex_digits):
        return None
    name = item.get("name")
    return Subject(name if isinstance(name, str) else "", "sha256:" + hex_digits)
