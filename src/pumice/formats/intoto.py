"""in-toto statements (github.com/in-toto/attestation, Statement v1) and their SLSA provenance v1."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pumice import canonical
from pumice.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Sequence

MEDIA_TYPE = "application/vnd.in-toto+json"
STATEMENT = "https://in-toto.io/Statement/v1"
OLD_STATEMENT = "https://in-toto.io/Statement/v0.1"
"""What cosign still writes."""
PROVENANCE = "https://slsa.dev/provenance/v1"
SPDX = "https://spdx.dev/Document"
CYCLONEDX = "https://cyclonedx.org/bom"
MAX_STATEMENT = 64 << 20


class Subject(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a statement is about; ``digest`` is hexadecimal by algorithm."""

    digest: dict[str, str]
    name: str = ""


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """A claim about subjects; what ``predicate`` holds depends on its type."""

    type: str = msgspec.field(name="_type")
    subject: tuple[Subject, ...]
    predicate_type: str = msgspec.field(name="predicateType")
    predicate: dict[str, Any] = {}


def statement(subject: Sequence[Subject], predicate_type: str, predicate: object) -> bytes:
    """Return a statement in canonical JSON: equal claims are equal bytes."""
    return canonical.dumps(
        {
            "_type": STATEMENT,
            "subject": msgspec.to_builtins(subject),
            "predicateType": predicate_type,
            "predicate": predicate,
        }
    )


def read(data: bytes) -> Statement:
    """Read a statement; raises FormatError for anything else, and beyond 64 MiB."""
    if len(data) > MAX_STATEMENT:
        raise FormatError("the statement is larger than 64 MiB")
    try:
        found = msgspec.json.decode(data, type=Statement)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        text = str(error).replace("\n", " ")[:200]
        raise FormatError(f"this is no in-toto statement ({text})") from None
    if found.type not in (STATEMENT, OLD_STATEMENT):
        raise FormatError(f"this is no in-toto statement: its type is {found.type[:100]!r}")
    return found


def resource(
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
    made: dict[str, Any] = {
        "name": name,
        "uri": uri,
        "digest": digests,
        "mediaType": media_type,
        "content": base64.b64encode(content).decode() if content is not None else "",
        "downloadLocation": download,
        "annotations": annotations or {},
    }
    return {key: value for key, value in made.items() if value}
