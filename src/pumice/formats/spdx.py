"""SPDX 2.3 documents in JSON (spdx.org/specifications, chapters 6 to 11), built from plain dicts.

Only the parts that the document of an image needs. Documents are validated in tests, by the published
schema and by other tools.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from typing import TYPE_CHECKING, Any

import msgspec

from pumice.decoding import decode_json
from pumice.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

MEDIA_TYPE = "application/spdx+json"
NO_ASSERTION = "NOASSERTION"

Element = dict[str, Any]


class _Checksum(msgspec.Struct, frozen=True):
    algorithm: str = ""
    value: str = msgspec.field(default="", name="checksumValue")


class _Reference(msgspec.Struct, frozen=True):
    kind: str = msgspec.field(default="", name="referenceType")
    locator: str = msgspec.field(default="", name="referenceLocator")


class _Package(msgspec.Struct, frozen=True):
    checksums: tuple[_Checksum, ...] = ()
    references: tuple[_Reference, ...] = msgspec.field(default=(), name="externalRefs")


class _Document(msgspec.Struct, frozen=True):
    packages: tuple[_Package, ...] = ()


_NAMESPACE = uuid.UUID("6f0d6e5c-2a0e-5d0e-9f0b-7d1d7f1d6c11")
"""The UUID namespace for document identities."""
_SHA256 = re.compile("[0-9a-f]{64}")
_NOT_ID_CHARACTER = re.compile(r"[^A-Za-z0-9.-]")
_PERSON = re.compile(r"\s*(?P<name>[^<]*?)\s*(?:<(?P<mail>[^<>]*)>)?\s*")
_ORGANIZATION = re.compile(
    r"(?i)\b(team|maintainers?|group|developers?|project|packagers|list|debian [a-z]+ (team|group)|linux)\b"
)


def make_element_id(*components: str) -> str:
    """Return the ``SPDXRef-`` for ``components``; characters that are not allowed become ``.`` and a code."""
    return "SPDXRef-" + "-".join(
        _NOT_ID_CHARACTER.sub(lambda match: f".{ord(match[0]):x}", component) for component in components
    )


def format_actor(text: str) -> str:
    """Return ``Name <mail>`` as a supplier: an organization if the name suggests so, or a person (7.5)."""
    match = _PERSON.fullmatch(text.replace("\n", " ")[:300])
    name = match["name"].strip("\"' ") if match else text[:300]
    mail = (match["mail"] or "") if match else ""
    if not name and not mail:
        return NO_ASSERTION
    kind = "Organization" if _ORGANIZATION.search(name) or not mail else "Person"
    name = name.replace("(", "[").replace(")", "]") or mail
    return f"{kind}: {name} ({mail})" if "@" in mail else f"{kind}: {name}"


def make_checksums(**digests: str) -> list[Element]:
    """Return checksums by algorithm, in lower-case hexadecimal; empty ones are omitted (7.10)."""
    return [{"algorithm": name.upper(), "checksumValue": value} for name, value in digests.items() if value]


def read_sha256_by_purl(data: bytes) -> dict[str, str]:
    """Return the SHA-256 digests of the packages of a document, in hexadecimal, by package URL (7.10, 7.21).

    Raises FormatError for what is not such a document.
    """
    try:
        document = decode_json(data, _Document)
    except msgspec.MsgspecError as error:
        raise FormatError(f"cannot read the SPDX document: {error}") from None
    return {
        reference.locator: checksum.value
        for package in document.packages
        for checksum in package.checksums
        if checksum.algorithm == "SHA256" and _SHA256.fullmatch(checksum.value)
        for reference in package.references
        if reference.kind == "purl"
    }


def make_package(
    id_: str,
    name: str,
    version: str,
    *,
    purpose: str,
    supplier: str = NO_ASSERTION,
    download: str = NO_ASSERTION,
    license_declared: str = NO_ASSERTION,
    **optional: object,
) -> Element:
    """Return a package (chapter 7); ``optional`` are further fields, omitted if empty."""
    package: Element = {
        "SPDXID": id_,
        "name": name,
        "versionInfo": version,
        "supplier": supplier,
        "downloadLocation": download or NO_ASSERTION,
        "filesAnalyzed": False,
        "primaryPackagePurpose": purpose,
        "licenseConcluded": NO_ASSERTION,
        "licenseDeclared": license_declared,
        "copyrightText": NO_ASSERTION,
    }
    package.update((key, value) for key, value in optional.items() if value)
    return package


def make_external_reference(category: str, kind: str, locator: str) -> Element:
    """Return an external reference (7.21)."""
    return {"referenceCategory": category, "referenceType": kind, "referenceLocator": locator}


def make_verification_code(sha1s: Iterable[str]) -> Element:
    """Return the package verification code for the SHA-1 of its files (7.9)."""
    value = hashlib.sha1("".join(sorted(sha1s)).encode(), usedforsecurity=False).hexdigest()
    return {"packageVerificationCodeValue": value}


def make_relationship(element: str, kind: str, related_element: str, comment: str = "") -> Element:
    """Return a relationship (chapter 11)."""
    relationship = {"spdxElementId": element, "relationshipType": kind, "relatedSpdxElement": related_element}
    return relationship | {"comment": comment} if comment else relationship


def encode_document(
    name: str,
    *,
    created: str,
    creators: Sequence[str],
    comment: str,
    packages: Sequence[Element],
    files: Sequence[Element],
    relationships: Sequence[Element],
    texts: Mapping[str, str],
    describes: str,
) -> bytes:
    """Return the document; its namespace is derived from the rest, so equal content has equal bytes."""
    content: Element = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": "",
        "creationInfo": {"created": created, "creators": list(creators), "comment": comment},
        "documentDescribes": [describes],
        "packages": packages,
        "files": files,
        "relationships": [make_relationship("SPDXRef-DOCUMENT", "DESCRIBES", describes), *relationships],
    }
    if texts:
        content["hasExtractedLicensingInfos"] = [
            {"licenseId": id_, "extractedText": text, "name": id_.removeprefix("LicenseRef-")}
            for id_, text in sorted(texts.items())
        ]
    digest = hashlib.sha256(msgspec.json.encode(content)).hexdigest()
    document_name = _NOT_ID_CHARACTER.sub("-", name)
    content["documentNamespace"] = (
        f"https://spdx.org/spdxdocs/pumice-{document_name}-{uuid.uuid5(_NAMESPACE, digest)}"
    )
    return msgspec.json.encode(content) + b"\n"
