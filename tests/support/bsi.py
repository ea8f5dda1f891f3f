"""BSI TR-03183-2, version 2.1.0, field by field, on a CycloneDX document.

Tables 2 to 5 of the guideline with the mapping of its table 8.2, because there is no other checker of
CycloneDX for it. Components inside a component are its parts (3.2.1).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pumice.evidence.bsi import UNKNOWN

_LOGICAL = {"operating-system", "application", "data"}
"""The types of our components that only group others (3.2.2)."""
_HEX512 = re.compile(r"[0-9a-f]{128}")
_MAIL = re.compile(r"[^@\s<>]+@[^@\s<>]+")
_URI = re.compile(r"[a-z][a-z0-9+.-]*:\S+")
_TAXONOMY = {
    "bsi:component:executable": {"executable", "non-executable"},
    "bsi:component:archive": {"archive", "no archive"},
    "bsi:component:structured": {"structured", "unstructured"},
}


def find_violations(document: dict[str, Any]) -> list[str]:
    """Return every field that is missing or violates the guideline."""
    violations = list(_check_document(document))
    completeness = _stated_completeness(document)
    edges = {dependency["ref"]: dependency.get("dependsOn", []) for dependency in document["dependencies"]}
    for component in (document["metadata"]["component"], *document["components"]):
        name = f"{component['type']} {component['name']}"
        violations += [f"{name}: {text}" for text in _check_component(component)]
        ref = component.get("bom-ref", "")
        if ref not in edges or not set(edges[ref]) <= edges.keys():
            violations.append(f"{name}: dependencies")
        if ref not in completeness:
            violations.append(f"{name}: completeness of dependencies")
    return violations


def _check_document(document: dict[str, Any]) -> Iterator[str]:
    if document["specVersion"] not in {"1.6", "1.7"}:
        yield "format (4)"
    if not _is_reachable(document["metadata"].get("manufacturer")):
        yield "creator of the SBOM (5.2.1)"
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", document["metadata"].get("timestamp", "")):
        yield "timestamp (5.2.1)"
    if not document.get("serialNumber", "").startswith("urn:uuid:"):
        yield "SBOM-URI (5.2.3)"
    if document.get("vulnerabilities"):
        yield "there must be no vulnerabilities (3.1)"


def _check_component(component: dict[str, Any]) -> Iterator[str]:
    fields = {
        "creator": _is_reachable(component.get("manufacturer")),
        "name": component.get("name"),
        "version": component.get("version"),
        "distribution licenses": _has_license(component.get("licenses", []), "concluded"),
    }
    yield from (field for field, is_valid in fields.items() if not is_valid)
    if component["type"] not in _LOGICAL:
        yield from _check_file(component)
    if component["type"] == "library":
        yield from _check_package(component)


def _check_file(component: dict[str, Any]) -> Iterator[str]:
    """Yield the missing fields that a component needs if it exists as a file (tables 3 and 5)."""
    properties: dict[str, list[str]] = {}
    for prop in component.get("properties", []):
        properties.setdefault(prop["name"], []).append(prop["value"])
    filename = properties.get("bsi:component:filename", [])
    if len(filename) != 1 or not filename[0] or "/" in filename[0]:
        yield "filename"
    for name, values in _TAXONOMY.items():
        if len(properties.get(name, [])) != 1 or properties[name][0] not in values:
            yield name
    deployed = _references(component, "distribution")
    hashes = [prop for reference in deployed for prop in reference.get("hashes", [])]
    if not any(prop["alg"] == "SHA-512" and _HEX512.fullmatch(prop["content"]) for prop in hashes):
        yield "SHA-512 of the deployable form"
    if not any(_URI.fullmatch(reference["url"]) for reference in deployed):
        yield "URI of the deployable form"
    if not component.get("purl") and not component.get("cpe"):
        yield "other unique identifiers"


def _check_package(component: dict[str, Any]) -> Iterator[str]:
    if not any(
        _URI.fullmatch(reference["url"]) for reference in _references(component, "source-distribution")
    ):
        yield "source code URI"
    declared = component.get("evidence", {}).get("licenses", [])
    if component["licenses"][0]["expression"] != UNKNOWN and not _has_license(declared, "declared"):
        yield "original licenses"


def _is_reachable(organization: dict[str, Any] | None) -> bool:
    """Return whether there is either an email address or the URL of a site, not both (5.2.1, 5.2.2)."""
    mails = [contact.get("email", "") for contact in (organization or {}).get("contact", [])]
    sites = (organization or {}).get("url", [])
    if mails:
        return not sites and all(_MAIL.fullmatch(mail) for mail in mails)
    return bool(sites) and all(re.fullmatch(r"https?://\S+", site) for site in sites)


def _has_license(licenses: list[dict[str, Any]], acknowledgement: str) -> bool:
    return any(
        license_.get("acknowledgement") == acknowledgement
        and license_.get("expression", "") not in {"", "NONE", "NOASSERTION"}
        for license_ in licenses
    )


def _references(component: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [reference for reference in component.get("externalReferences", []) if reference["type"] == kind]


def _stated_completeness(document: dict[str, Any]) -> set[str]:
    return {
        ref
        for composition in document["compositions"]
        if composition["aggregate"] in {"complete", "incomplete", "unknown"}
        for ref in composition.get("dependencies", [])
    }
