"""SPDX and CycloneDX: complete, deterministic, and independent of where the image was built."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import msgspec
import pytest

from pumice.evidence import cyclonedx_document, spdx_document
from pumice.evidence.facts import Facts, select_layer
from tests.support import evidence


def spdx(facts: Facts, **places: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(spdx_document.format_spdx(facts, places))
    return document


def cyclonedx(facts: Facts, **places: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(cyclonedx_document.format_cyclonedx(facts, places))
    return document


def _related(document: dict[str, Any], kind: str) -> set[tuple[str, str]]:
    return {
        (one["spdxElementId"], one["relatedSpdxElement"])
        for one in document["relationships"]
        if one["relationshipType"] == kind
    }


def test_spdx_has_everything_and_everything_belongs_somewhere() -> None:
    facts = evidence.facts()
    document = spdx(facts)
    packages = {one["SPDXID"]: one for one in document["packages"]}
    image = f"SPDXRef-Image-{facts.digest[7:19]}"
    root = packages[image]
    assert root["checksums"] == [{"algorithm": "SHA256", "checksumValue": facts.digest[7:]}]
    assert document["creationInfo"]["created"] == facts.created
    library = packages["SPDXRef-Package-deb-libstdc.2b.2b6-amd64"]
    assert library["sourceInfo"] == "built package from: gcc-12 12.2.0-14+deb12u1"
    assert library["supplier"] == "Organization: Debian GCC Maintainers (gcc@example.com)"
    assert library["downloadLocation"] == "NOASSERTION"
    base = "pkg:deb/debian/libstdc%2B%2B6@1:12.2.0-14%2Bdeb12u1"
    assert [one["referenceLocator"] for one in library["externalRefs"]] == [
        base + "?arch=amd64&distro=debian-12&upstream=gcc-12%4012.2.0-14%2Bdeb12u1",
        base + "?arch=amd64&distro=bookworm&upstream=gcc-12%4012.2.0-14%2Bdeb12u1",
        "cpe:2.3:a:gcc-12:gcc-12:12.2.0:*:*:*:*:*:*:*",
    ]
    assert (
        packages["SPDXRef-Package-deb-package001-amd64"]["supplier"] == "Person: Jane Doe (jane@example.com)"
    )
    contains = _related(document, "CONTAINS")
    files = {one["SPDXID"] for one in document["files"]}
    assert len(files) == 30
    assert files == {other for _, other in contains if other in files}
    assert {other for one, other in contains if one == image} >= {
        id_ for id_ in packages if "Source" not in id_ and id_ != image
    }
    assert ("SPDXRef-Package-deb-package001-amd64", library["SPDXID"]) in _related(document, "DEPENDS_ON")
    sources = {id_ for id_ in packages if "Source" in id_}
    assert {other for _, other in _related(document, "GENERATED_FROM")} == sources
    assert document["hasExtractedLicensingInfos"][0]["extractedText"] == "Do what is odd."


def test_cyclonedx_has_everything_and_says_that_it_is_complete() -> None:
    facts = evidence.facts()
    document = cyclonedx(facts)
    by_name = {one["name"]: one for one in document["components"]}
    library = by_name["libstdc++6"]
    properties = {one["name"]: one["value"] for one in library["properties"]}
    assert properties["aquasecurity:trivy:SrcName"] == "gcc-12"
    assert properties["aquasecurity:trivy:SrcVersion"] == "12.2.0"
    assert properties["aquasecurity:trivy:SrcRelease"] == "14+deb12u1"
    assert [one["alg"] for one in library["hashes"]] == ["SHA-256", "SHA-512"]
    expression = facts.packages[0].license
    assert library["licenses"] == [{"expression": expression, "acknowledgement": "concluded"}]
    assert library["evidence"]["licenses"] == [{"expression": expression, "acknowledgement": "declared"}]
    files = sum(len(one.get("components", ())) for one in document["components"])
    files += sum(one["type"] == "file" and one["name"].startswith("/") for one in document["components"])
    assert files == len(facts.files)
    assert document["compositions"][0]["aggregate"] == "complete"
    refs = {one["ref"] for one in document["dependencies"]}
    assert {other for one in document["dependencies"] for other in one["dependsOn"]} <= refs
    assert by_name["debian"]["type"] == "operating-system"


def test_a_scan_does_not_claim_to_be_complete() -> None:
    facts = msgspec.structs.replace(evidence.facts(), complete=False)
    assert cyclonedx(facts)["compositions"][0]["aggregate"] == "unknown"
    assert cyclonedx(facts)["metadata"]["lifecycles"] == [{"phase": "post-build"}]
    assert "known by its files only" in spdx(facts)["creationInfo"]["comment"]


def test_a_mirror_that_the_recipe_names_is_the_download_location() -> None:
    mirror = "https://mirror.example/debian/"
    (library,) = (
        one
        for one in spdx(evidence.facts(), debian=mirror)["packages"]
        if one["name"] == "package001" and "sourceInfo" in one
    )
    assert library["downloadLocation"] == "https://mirror.example/debian/pool/main/package001_1.0-1_amd64.deb"
    (same,) = (
        one for one in cyclonedx(evidence.facts(), debian=mirror)["components"] if one["name"] == "package001"
    )
    (deployed,) = (one for one in same["externalReferences"] if one["type"] == "distribution")
    assert deployed["url"] == library["downloadLocation"]


def test_identity_follows_content() -> None:
    one, other = evidence.facts(), msgspec.structs.replace(evidence.facts(), version="2.0")
    assert spdx_document.format_spdx(one) == spdx_document.format_spdx(evidence.facts())
    assert spdx(one)["documentNamespace"] != spdx(other)["documentNamespace"]
    assert cyclonedx_document.format_cyclonedx(one) == cyclonedx_document.format_cyclonedx(evidence.facts())
    assert cyclonedx(one)["serialNumber"] != cyclonedx(other)["serialNumber"]


def test_nothing_depends_on_the_hash_seed() -> None:
    program = (
        "import hashlib\n"
        "from pumice.evidence import cyclonedx_document as c, spdx_document as s\n"
        "from tests.support import evidence as e\n"
        "print(hashlib.sha256(c.format_cyclonedx(e.facts()) + s.format_spdx(e.facts())).hexdigest())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin"},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4711")
    }
    assert len(seen) == 1


def test_one_layer_is_a_document_of_its_own() -> None:
    part = select_layer(evidence.facts(), 1)
    document = spdx(part)
    assert len(document["files"]) == 15
    assert sum("Layer" in one["SPDXID"] for one in document["packages"]) == 1
    assert cyclonedx(part)["compositions"][0]["aggregate"] == "unknown"


@pytest.mark.parametrize("text", ["ftp://x", "https://a b", 'https://a"b', "javascript:1", "", "https://<x>"])
def test_homepage_that_is_not_a_url_is_omitted(text: str) -> None:
    facts = msgspec.structs.replace(
        evidence.facts(), packages=(evidence.package("x", homepage=text),), files=()
    )
    assert all("homepage" not in one for one in spdx(facts)["packages"])
    assert all(
        reference["type"] != "website"
        for one in cyclonedx(facts)["components"]
        for reference in one.get("externalReferences", ())
    )
