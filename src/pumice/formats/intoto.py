"""in-toto statements: a claim (predicate) of some type about things known by digest.

github.com/in-toto/attestation, spec/v1. What is written is compact JSON with sorted keys, so that equal
statements are equal bytes; what is read is held to what strangers could do with JSON.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from pumice.digest import Digest, hex_of
from pumice.errors import FormatError
from pumice.formats import strictjson

if TYPE_CHECKING:
    from collections.abc import Sequence

MEDIA_TYPE = "application/vnd.in-toto+json"
V1 = "https://in-toto.io/Statement/v1"
V01 = "https://in-toto.io/Statement/v0.1"
"""What cosign writes to this day."""

PROVENANCE = "https://slsa.dev/provenance/v1"
SPDX = "https://spdx.dev/Document"
CYCLONEDX = "https://cyclonedx.org/bom"
PREDICATES = {
    "slsaprovenance": PROVENANCE,
    "slsaprovenance1": PROVENANCE,
    "slsaprovenance02": "https://slsa.dev/provenance/v0.2",
    "spdx": SPDX,
    "spdxjson": SPDX,
    "cyclonedx": CYCLONEDX,
    "openvex": "https://openvex.dev/ns",
    "vuln": "https://cosign.sigstore.dev/attestation/vuln/v1",
    "link": "https://in-toto.io/Link/v1",
    "custom": "https://cosign.sigstore.dev/attestation/v1",
}
"""Short names of predicate types, as cosign has them."""

MAX_STATEMENT = 96 << 20
"""Bytes: more than 100,000 files; in base64 they are the 128 MiB that cosign reads."""

_DOCUMENT = "statement"
_HEX = re.compile("[0-9a-f]{64}")


TIMESTAMP = "dev.pumice.timestamp"
"""The annotation of a subject that says when it was signed, in seconds since the epoch."""


class Subject(msgspec.Struct, frozen=True):
    """What a statement is about; ``name`` may be empty.

    ``timestamp`` is when that was signed, in seconds since the epoch; 0 if the statement does not say.
    """

    name: str
    digest: Digest
    timestamp: int = 0


class Statement(msgspec.Struct, frozen=True):
    """A statement; ``json`` is its predicate as JSON of the predicate type's own shape."""

    subjects: tuple[Subject, ...]
    predicate_type: str
    json: bytes = b"null"

    @property
    def predicate(self) -> Any:
        """The predicate itself; raises FormatError where two readers could see two of them."""
        return strictjson.read_value(self.json, "predicate", limit=MAX_STATEMENT)


class _Parts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A statement whose predicate is not looked at."""

    type: str = msgspec.field(name="_type")
    subject: list[Any]
    predicate_type: str = msgspec.field(name="predicateType")
    predicate: msgspec.Raw


_parts_decoder = msgspec.json.Decoder(_Parts)


def encode_predicate(predicate: Any) -> bytes:
    """Return a predicate as JSON: equal ones give equal bytes.

    Not by `canonical`, because a predicate of others may hold floating point.
    """
    import json

    text = json.dumps(predicate, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def encode_statement(statement: Statement) -> bytes:
    """Return the JSON of a statement. Its predicate is put in as it is: a large one is not read for that."""
    subjects = [
        {"digest": {"sha256": hex_of(subject.digest)}}
        | ({"name": subject.name} if subject.name else {})
        | ({"annotations": {TIMESTAMP: subject.timestamp}} if subject.timestamp else {})
        for subject in statement.subjects
    ]
    return _encode_parts(V1, subjects, statement.predicate_type, statement.json)


def _encode_parts(kind: str, subjects: Sequence[Any], predicate_type: str, predicate: bytes) -> bytes:
    def text(value: object) -> bytes:
        return msgspec.json.encode(value, order="deterministic")

    return b'{"_type":%b,"predicate":%b,"predicateType":%b,"subject":%b}' % (
        *(text(kind), predicate, text(predicate_type)),
        text(subjects),
    )


def read_statement(data: bytes) -> Statement:
    """Read a statement; subjects without a SHA-256 are left out. Raises FormatError."""
    try:
        kind, subject_list, predicate_type, predicate = _read_canonical(data) or _read_any(data)
    except FormatError as error:
        raise FormatError(f"this is no in-toto statement: {error.message}") from None
    if kind not in (V1, V01):
        raise FormatError(f"this is no in-toto statement: it is of the type {kind[:80]!r}")
    subjects = [subject for item in subject_list if (subject := _parse_subject(item))]
    return Statement(tuple(subjects), predicate_type, predicate)


def _read_canonical(data: bytes) -> tuple[str, list[Any], str, bytes] | None:
    """Take apart what looks exactly as `encode` writes it, so that no key of it can stand there twice."""
    if len(data) > MAX_STATEMENT:
        return None
    try:
        parts = _parts_decoder.decode(data)
        encoded = _encode_parts(parts.type, parts.subject, parts.predicate_type, bytes(parts.predicate))
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return (
        (parts.type, parts.subject, parts.predicate_type, bytes(parts.predicate)) if encoded == data else None
    )


def _read_any(data: bytes) -> tuple[str, list[Any], str, bytes]:
    document = strictjson.read_object(data, _DOCUMENT, limit=MAX_STATEMENT)
    subject_list = document.get("subject")
    if not isinstance(subject_list, list):
        raise FormatError(f"the {_DOCUMENT} has no subjects")
    kind = strictjson.get_text(document, "_type", _DOCUMENT)
    predicate_type = strictjson.get_text(document, "predicateType", _DOCUMENT)
    try:
        return kind, subject_list, predicate_type, encode_predicate(document.get("predicate"))
    except ValueError:
        raise FormatError(f"the {_DOCUMENT} holds a number that is none") from None


def parse_predicate_type(name: str) -> str:
    """Return the URI for a short name, or ``name`` if it is a URI; raises FormatError otherwise."""
    uri = PREDICATES.get(name, name)
    if ":" not in uri or not uri.isprintable() or " " in uri:
        names = ", ".join(PREDICATES)
        raise FormatError(f"{name[:80]!r} is no predicate type", hint=f"write a URI or one of {names}")
    return uri


def make_resource_descriptor(
    name: str = "",
    *,
    uri: str = "",
    sha256: str = "",
    sha512: str = "",
    media_type: str = "",
    content: bytes | None = None,
    download: str = "",
    annotations: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a ResourceDescriptor; what is empty is left out. Digests are hexadecimal."""
    import base64

    digests = {key: value for key, value in (("sha256", sha256), ("sha512", sha512)) if value}
    descriptor: dict[str, Any] = {
        "name": name,
        "uri": uri,
        "digest": digests,
        "mediaType": media_type,
        "content": base64.b64encode(content).decode() if content is not None else "",
        "downloadLocation": download,
        "annotations": annotations or {},
    }
    return {key: value for key, value in descriptor.items() if value}


def _parse_subject(item: object) -> Subject | None:
    digests = item.get("digest") if isinstance(item, dict) else None
    hex_digits = digests.get("sha256") if isinstance(digests, dict) else None
    if not isinstance(item, dict) or not isinstance(hex_digits, str) or not _HEX.fullmatch(hex_digits):
        return None
    name = item.get("name")
    timestamp = strictjson.get_seconds(item.get("annotations"), TIMESTAMP)
    return Subject(name if isinstance(name, str) else "", "sha256:" + hex_digits, timestamp)
