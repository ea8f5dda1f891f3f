"""Package lists out of other people's documents and ours, in one form to compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from packageurl import PackageURL


class Listed(NamedTuple):
    """A package as a document names it; ``source`` is name and version of what it was built from."""

    name: str
    version: str
    architecture: str
    source: tuple[str, str]


def of_spdx(path: Path) -> dict[str, Listed]:
    """Return the binary packages of an SPDX document of ours or debsbom's, by ``SPDXID``."""
    document = json.loads(path.read_bytes())
    named = {one["SPDXID"]: (one["name"], one.get("versionInfo", "")) for one in document["packages"]}
    sources: dict[str, tuple[str, str]] = {}
    for one in document["relationships"]:
        if one["relationshipType"] == "GENERATED_FROM":
            sources[one["spdxElementId"]] = named[one["relatedSpdxElement"]]
        if one["relationshipType"] == "GENERATES":
            sources[one["relatedSpdxElement"]] = named[one["spdxElementId"]]
    found = {}
    for one in document["packages"]:
        url = _url(one)
        if url and url.type in ("deb", "apk") and _qualifier(url, "arch") != "source":
            assert (url.name, url.version) == (one["name"], one["versionInfo"])
            source = sources.get(one["SPDXID"], (url.name, url.version or ""))
            found[one["SPDXID"]] = Listed(url.name, url.version or "", _qualifier(url, "arch"), source)
    return found


def of_cyclonedx(path: Path) -> set[Listed]:
    """Return the binary packages of a CycloneDX document, with what their package URLs say of the source."""
    found = set()
    for one in json.loads(path.read_bytes())["components"]:
        url = PackageURL.from_string(one["purl"]) if one.get("purl") else None
        if url and url.type in ("deb", "apk") and _qualifier(url, "arch") != "source":
            assert (url.name, url.version) == (one["name"], one["version"])
            found.add(of_url(url))
    return found


def of_url(url: PackageURL) -> Listed:
    """Return what a package URL says, ``upstream`` included (the source package, where it differs)."""
    name, _, version = _qualifier(url, "upstream").partition("@")
    source = (name or url.name, version or url.version or "")
    return Listed(url.name, url.version or "", _qualifier(url, "arch"), source)


def edges(path: Path) -> set[tuple[str, str]]:
    """Return which package needs which, by name, in an SPDX document."""
    document = json.loads(path.read_bytes())
    listed = {id_: one.name for id_, one in of_spdx(path).items()}
    return {
        (listed[one["spdxElementId"]], listed[one["relatedSpdxElement"]])
        for one in document["relationships"]
        if one["relationshipType"] == "DEPENDS_ON"
        and {one["spdxElementId"], one["relatedSpdxElement"]} <= listed.keys()
    }


def suppliers(path: Path) -> dict[str, str]:
    """Return the supplier of each binary package of an SPDX document, by name."""
    listed = of_spdx(path)
    document = json.loads(path.read_bytes())
    return {
        one["name"]: one["supplier"].partition(": ")[2]
        for one in document["packages"]
        if one["SPDXID"] in listed
    }


def _url(package: dict[str, Any]) -> PackageURL | None:
    for reference in package.get("externalRefs", []):
        if reference["referenceType"] == "purl":
            return PackageURL.from_string(reference["referenceLocator"])
    return None


def _qualifier(url: PackageURL, name: str) -> str:
    qualifiers = url.qualifiers
    assert isinstance(qualifiers, dict)
    return str(qualifiers.get(name, ""))
