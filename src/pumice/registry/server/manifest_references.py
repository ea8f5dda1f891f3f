"""Which digests a manifest of any kind mentions, for storage, the collection and the check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pumice.decoding import decode_json
from pumice.registry.server import grammar

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Subject(msgspec.Struct):
    digest: str = ""


class _WithSubject(msgspec.Struct):
    subject: _Subject | None = None


def subject_of(body: bytes) -> str | None:
    """Return the digest of a manifest's subject; None if it has none, or none that can be stored."""
    try:
        document = decode_json(body, _WithSubject)
    except (msgspec.MsgspecError, RecursionError):
        return None
    if document.subject is None or not grammar.DIGEST.fullmatch(document.subject.digest):
        return None
    return document.subject.digest


def referenced_digests(body: bytes) -> Iterator[str]:
    """Yield every digest that a document refers to, except its subject: rather too many than too few.

    It ignores media types, so that unknown kinds of manifests keep their content as well: ``digest`` of
    a descriptor at any depth, and ``blobSum`` of Docker's schema 1.
    """
    try:
        document = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        return
    if isinstance(document, dict):
        document.pop("subject", None)
    pending: list[Any] = [document]
    while pending:
        value = pending.pop()
        if isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, dict):
            for key in ("digest", "blobSum"):
                if isinstance(digest := value.get(key), str) and grammar.DIGEST.fullmatch(digest):
                    yield digest
            pending.extend(value.values())
