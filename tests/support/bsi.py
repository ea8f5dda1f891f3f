"""BSI TR-03183-2, version 2.1.0, field by field, on a CycloneDX document.

Tables 2 to 5 of the guideline with the mapping of its table 8.2. No checker that can be had here reads
CycloneDX for it, so this is one. Components inside of a component are its parts (3.2.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pumice.evidence.bsi import UNKNOWN

_LOGICAL = {"operating-system", "application", "data"}
"""What of our components only groups others (3.2.2)."""
_HEX512 = re.compile(r"[0-9a-f]{128}")
_MAIL = re.compile(r"[^@\s<>]+@[^@\s<>]+")
_URI = re.compile(r"[a-z][a-z0-9+.-]*:\S+")
_TAXONOMY = {
    "bsi:component:executable": {"executable", "non-executable"},
    "bsi:component:archive": {"archive", "no archive"},
    "bsi:component:structured": {"structured", "unstructured"},
}


def complaints(document: dict[str, Any]) -> list[str]:
    """Return every field that is missing or is not what the guideline wants."""
    found = list(_of_document(document))
    completeness = _stated(document)
    edges = {one["ref"]: one.get("dependsOn", []) for one in document["dependencies"]}
    for one in (document["metadata"]["component"], *document["components"]):
        name = f"{one['type']} {one['name']}"
        found += [f"{name}: {text}" for text in _of_component(one)]
        ref = one.get("bom-ref", "")
        if ref not in edges or not set(edges[ref]) <= edges.keys():
            found.append(f"{name}: dependencies")
        if ref not in completeness:
            found.append(f"{name}: completeness of dependencies")
    return found


def _of_document(document: dict[str, Any]) -> Iterator[str]:
    if document["specVersion"] not in {"1.6", "1.7"}:
        yield "format (4)"
    if not _reachable(document["metadata"].get("manufacturer")):
        yield "creator of the SBOM (5.2.1)"
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document["metadata"].get("timestamp", "")):
        yield "timestamp (5.2.1)"
    if not document.get("serialNumber", "").startswith("urn:uuid:"):
        yield "SBOM-URI (5.2.3)"
    if document.get("vulnerabilities"):
        yield "there must be no vulnerabilities (3.1)"


def _of_component(one: dict[str, Any]) -> Iterator[str]:
    said = {
        "creator": _reachable(one.get("manufacturer")),
        "name": one.get("name"),
        "version": one.get("version"),
        "distribution licenses": _licensed(one.get("licenses", []), "concluded"),
    }
    yield from (field for field, good in said.items() if not good)
    if one["type"] not in _LOGICAL:
        yield from _of_file(one)
    if one["type"] == "library":
        yield from _of_package(one)


def _of_file(one: dict[str, Any]) -> Iterator[str]:
    """What a component that exists as a file has to say beyond (tables 3 and 5)."""
    told: dict[str, list[str]] = {}
    for item in one.get("properties", []):
        told.setdefault(item["name"], []).append(item["value"])
    filename = told.get("bsi:component:filename", [])
    if len(filename) != 1 or not filename[0] or "/" in filename[0]:
        yield "filename"
    for name, values in _TAXONOMY.items():
        if len(told.get(name, [])) != 1 or told[name][0] not in values:
            yield name
    deployed = _references(one, "distribution")
    hashes = [item for reference in deployed for item in reference.get("hashes", [])]
    if not any(item["alg"] == "SHA-512" and _HEX512.fullmatch(item["content"]) for item in hashes):
        yield "SHA-512 of the deployable form"
    if not any(_URI.fullmatch(reference["url"]) for reference in deployed):
        yield "URI of the deployable form"
    if not one.get("purl") and not one.get("cpe"):
        yield "other unique identifiers"


def _of_package(one: dict[str, Any]) -> Iterator[str]:
    if not any(_URI.fullmatch(reference["url"]) for reference in _references(one, "source-distribution")):
        yield "source code URI"
    declared = one.get("evidence", {}).get("licenses", [])
    if one["licenses"][0]["expression"] != UNKNOWN and not _licensed(declared, "declared"):
        yield "original licenses"


def _reachable(who: dict[str, Any] | None) -> bool:
    """Whether somebody has a mail address, or else an address of a site, and not both (5.2.1, 5.2.2)."""
    mails = [one.get("email", "") for one in (who or {}).get("contact", [])]
    sites = (who or {}).get("url", [])
    if mails:
        return not sites and all(_MAIL.fullmatch(mail) for mail in mails)
    return bool(sites) and all(re.fullmatch(r"https?://\S+", site) for site in sites)


def _licensed(listed: list[dict[str, Any]], acknowledgement: str) -> bool:
    return any(
        one.get("acknowledgement") == acknowledgement
        and one.get("expression", "") not in {"", "NONE", "NOASSERTION"}
        for one in listed
    )


def _references(one: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [reference for reference in one.get("externalReferences", []) if reference["type"] == kind]


def _stated(document: dict[str, Any]) -> set[str]:
    return {
        ref
        for one in document["compositions"]
        if one["aggregate"] in {"complete", "incomplete", "unknown"}
        for ref in one.get("dependencies", [])
    }
