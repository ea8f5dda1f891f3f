"""in-toto statements: a claim (predicate) of some type about subjects identified by digest.

github.com/in-toto/attestation, spec/v1. Statements are encoded as compact JSON with sorted keys, so that
equal statements have equal bytes, and read as hostile JSON (`pumice.formats.strictjson`).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from pumice.digest import Digest, hex_of
from pumice.errors import FormatError, UsageError
from pumice.formats import strictjson

if TYPE_CHECKING:
    from collections.abc import Sequence

MEDIA_TYPE = "application/vnd.in-toto+json"
V1 = "https://in-toto.io/Statement/v1"
V01 = "https://in-toto.io/Statement/v0.1"
"""The version that cosign still writes."""

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
"""Short names of predicate types, as in cosign."""

MAX_STATEMENT = 96 << 20
"""Maximum size in bytes, enough for 100,000 files; in base64 it is the 128 MiB that cosign accepts."""

_DOCUMENT = "statement"
_HEX = re.compile("[0-9a-f]{64}")


TIMESTAMP = "dev.pumice.timestamp"
"""The annotation of a subject with the time of its signature, in seconds since the epoch."""


class Subject(msgspec.Struct, frozen=True):
    """A subject of a statement; ``name`` may be empty.

    ``timestamp`` is the time of the signature in seconds since the epoch, 0 if unknown.
    """

    name: str
    digest: Digest
    timestamp: int = 0


class Statement(msgspec.Struct, frozen=True):
    """A statement; ``json`` is its predicate, whose schema depends on the predicate type."""

    subjects: tuple[Subject, ...]
    predicate_type: str
    json: bytes = b"null"

    @property
    def predicate(self) -> Any:
        """The decoded predicate; raises FormatError if readers could disagree about it."""
        return strictjson.read_value(self.json, "predicate", limit=MAX_STATEMENT)


class _UndecodedStatement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A statement whose predicate is not decoded."""

    type: str = msgspec.field(name="_type")
    subject: list[Any]
    predicate_type: str = msgspec.field(name="predicateType")
    predicate: msgspec.Raw


_statement_decoder = msgspec.json.Decoder(_UndecodedStatement)


def encode_predicate(predicate: Any) -> bytes:
    """Return a predicate as JSON; equal predicates have equal bytes.

    `canonical` is not used because predicates of other tools may contain floating point numbers.
    """
    import json

    text = json.dumps(predicate, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return text.encode()


def encode_statement(statement: Statement) -> bytes:
    """Return the JSON of a statement; its predicate is inserted without decoding it."""
    subjects = [
        {"digest": {"sha256": hex_of(subject.digest)}}
        | ({"name": subject.name} if subject.name else {})
        | ({"annotations": {TIMESTAMP: subject.timestamp}} if subject.timestamp else {})
        for subject in statement.subjects
    ]
    return _encode_members(V1, subjects, statement.predicate_type, statement.json)


def _encode_members(kind: str, subjects: Sequence[Any], predicate_type: str, predicate: bytes) -> bytes:
    def text(value: object) -> bytes:
        return msgspec.json.encode(value, order="deterministic")

    return b'{"_type":%b,"predicate":%b,"predicateType":%b,"subject":%b}' % (
        *(text(kind), predicate, text(predicate_type)),
        text(subjects),
    )


def read_statement(data: bytes) -> Statement:
    """Return the statement in ``data``, without subjects that have no SHA-256; raises FormatError."""
    try:
        kind, subject_list, predicate_type, predicate = _read_canonical(data) or _read_any(data)
    except FormatError as error:
        raise FormatError(f"the document is not an in-toto statement: {error.message}") from None
    if kind not in (V1, V01):
        raise FormatError(f"the document is not an in-toto statement: its type is {kind[:80]!r}")
    subjects = [subject for subject_value in subject_list if (subject := _parse_subject(subject_value))]
    return Statement(tuple(subjects), predicate_type, predicate)


def _read_canonical(data: bytes) -> tuple[str, list[Any], str, bytes] | None:
    """Return the parts of a statement in the form of `encode_statement`, None for any other form.

    That form cannot have duplicate keys.
    """
    if len(data) > MAX_STATEMENT:
        return None
    try:
        statement = _statement_decoder.decode(data)
        encoded = _encode_members(
            statement.type, statement.subject, statement.predicate_type, bytes(statement.predicate)
        )
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return (
        (statement.type, statement.subject, statement.predicate_type, bytes(statement.predicate))
        if encoded == data
        else None
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
        raise FormatError(f"the {_DOCUMENT} contains an invalid number") from None


def parse_predicate_type(name: str) -> str:
    """Return the URI of a predicate type, which ``name`` is or is short for; raises UsageError otherwise."""
    uri = PREDICATES.get(name, name)
    if ":" not in uri or not uri.isprintable() or " " in uri:
        names = ", ".join(PREDICATES)
        raise UsageError(f"{name[:80]!r} is not a predicate type", hint=f"use a URI or one of {names}")
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
    """Return a ResourceDescriptor without empty fields (spec/v1, resource_descriptor.md).

    Digests are in hexadecimal.
    """
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


def _parse_subject(value: object) -> Subject | None:
    digests = value.get("digest") if isinstance(value, dict) else None
    hex_digits = digests.get("sha256") if isinstance(digests, dict) else None
    if not isinstance(value, dict) or not isinstance(hex_digits, str) or not _HEX.fullmatch(hex_digits):
        return None
    name = value.get("name")
    timestamp = strictjson.get_seconds(value.get("annotations"), TIMESTAMP)
    return Subject(name if isinstance(name, str) else "", "sha256:" + hex_digits, timestamp)
