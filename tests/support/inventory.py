"""Package lists from SBOMs of Pumice and other tools, in a common form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from packageurl import PackageURL


class ListedPackage(NamedTuple):
    """A package in a document; ``source`` is the name and version of its source package."""

    name: str
    version: str
    architecture: str
    source: tuple[str, str]


def read_spdx(path: Path) -> dict[str, ListedPackage]:
    """Return the binary packages of an SPDX document of Pumice or debsbom, by ``SPDXID``."""
    document = json.loads(path.read_bytes())
    names_and_versions = {
        package["SPDXID"]: (package["name"], package.get("versionInfo", ""))
        for package in document["packages"]
    }
    sources: dict[str, tuple[str, str]] = {}
    for relationship in document["relationships"]:
        if relationship["relationshipType"] == "GENERATED_FROM":
            sources[relationship["spdxElementId"]] = names_and_versions[relationship["relatedSpdxElement"]]
        if relationship["relationshipType"] == "GENERATES":
            sources[relationship["relatedSpdxElement"]] = names_and_versions[relationship["spdxElementId"]]
    packages = {}
    for package in document["packages"]:
        url = _url(package)
        if url and url.type in ("deb", "apk") and _qualifier(url, "arch") != "source":
            assert (url.name, url.version) == (package["name"], package["versionInfo"])
            source = sources.get(package["SPDXID"], (url.name, url.version or ""))
            packages[package["SPDXID"]] = ListedPackage(
                url.name, url.version or "", _qualifier(url, "arch"), source
            )
    return packages


def read_cyclonedx(path: Path) -> set[ListedPackage]:
    """Return the binary packages of a CycloneDX document, with the source package from the package URL."""
    packages = set()
    for component in json.loads(path.read_bytes())["components"]:
        url = PackageURL.from_string(component["purl"]) if component.get("purl") else None
        if url and url.type in ("deb", "apk") and _qualifier(url, "arch") != "source":
            assert (url.name, url.version) == (component["name"], component["version"])
            packages.add(from_package_url(url))
    return packages


def from_package_url(url: PackageURL) -> ListedPackage:
    """Return the package of a package URL, with the source package from ``upstream`` if it is set."""
    name, _, version = _qualifier(url, "upstream").partition("@")
    source = (name or url.name, version or url.version or "")
    return ListedPackage(url.name, url.version or "", _qualifier(url, "arch"), source)


def read_dependencies(path: Path) -> set[tuple[str, str]]:
    """Return the dependencies in an SPDX document as pairs of package names."""
    document = json.loads(path.read_bytes())
    names_by_id = {id_: package.name for id_, package in read_spdx(path).items()}
    return {
        (names_by_id[relationship["spdxElementId"]], names_by_id[relationship["relatedSpdxElement"]])
        for relationship in document["relationships"]
        if relationship["relationshipType"] == "DEPENDS_ON"
        and {relationship["spdxElementId"], relationship["relatedSpdxElement"]} <= names_by_id.keys()
    }


def read_suppliers(path: Path) -> dict[str, str]:
    """Return the supplier of each binary package of an SPDX document, by name."""
    packages_by_id = read_spdx(path)
    document = json.loads(path.read_bytes())
    return {
        package["name"]: package["supplier"].partition(": ")[2]
        for package in document["packages"]
        if package["SPDXID"] in packages_by_id
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
