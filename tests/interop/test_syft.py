"""syft, which only scans the image, finds the packages of our documents."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from packageurl import PackageURL

from tests.support import handmade, inventory, real
from tests.support.handmade import ImageContents, file, folder
from tests.support.inventory import ListedPackage
from tests.support.peers import need
from tests.support.specimens import write_specimen
from tests.support.world import World

pytestmark = pytest.mark.peer("syft")

BASE = {"base-files", "base-passwd", "libc-bin", "openssl"}
"""Packages of which an image may have single files only, so they are not in the record of dpkg."""
"""They are in images without being installed: dpkg does not list what only their data was taken of."""

STATUS = (
    "Package: libssl3\nStatus: install ok installed\nMaintainer: M <m@example.com>\nArchitecture: amd64\n"
    "Source: openssl (3.0.17-1)\nVersion: 3.0.17-1+b1\nDescription: s\n"
)
RELEASE = (
    'ID=debian\nVERSION_ID="12"\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\n'
)
ALPINE = 'ID=alpine\nVERSION_ID=3.19.1\nPRETTY_NAME="Alpine Linux v3.19"\n'
INSTALLED = (
    "C:Q1abcdefghijklmnopqrstuvwxyz0=\nP:musl\nV:1.2.4_git20230717-r4\nA:x86_64\nS:1\nI:2\nT:the c library\n"
    "U:https://musl.example\nL:MIT\no:musl\nm:M <m@example.com>\nt:1\nc:0\nF:lib\nR:ld-musl-x86_64.so.1\n\n"
    "C:Q1abcdefghijklmnopqrstuvwxyz1=\nP:ssl_client\nV:1.36.1-r15\nA:x86_64\nS:1\nI:2\nT:client\n"
    "U:https://busybox.example\nL:GPL-2.0-only\no:busybox\nm:M <m@example.com>\nt:1\nc:0\nD:musl\n\n"
)
FOREIGN = {
    "dpkg": [file("etc/os-release", RELEASE.encode()), file("var/lib/dpkg/status", STATUS.encode())],
    "distroless": [
        folder("var/lib/dpkg/status.d"),  # syft finds files only in directories that a layer contains
        file("etc/os-release", RELEASE.encode()),
        file("var/lib/dpkg/status.d/libssl3", STATUS.replace("Status: install ok installed\n", "").encode()),
    ],
    "apk": [
        file("etc/os-release", ALPINE.encode()),
        file("lib/apk/db/installed", INSTALLED.encode()),
        file("lib/ld-musl-x86_64.so.1", b"x", 0o755),
    ],
}


def syft(location: str, folder: Path) -> list[dict[str, Any]]:
    """Return the artifacts that syft finds in an image, without network access."""
    environ = {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false", "HOME": str(folder)}
    process = subprocess.run(
        [need("syft"), "scan", location, "-o", "syft-json", "-q"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    artifacts: list[dict[str, Any]] = json.loads(process.stdout)["artifacts"]
    return artifacts


def distributed(artifacts: list[dict[str, Any]]) -> set[ListedPackage]:
    """Return the packages of the distribution among syft's artifacts, read from their package URLs."""
    distribution_artifacts = (artifact for artifact in artifacts if artifact["type"] in ("deb", "apk"))
    return {
        inventory.from_package_url(PackageURL.from_string(artifact["purl"]))
        for artifact in distribution_artifacts
    }


@pytest.mark.parametrize("kind", ["oci-dir", "oci-archive"])
def test_syft_lists_the_packages_of_our_documents(tmp_path: Path, kind: str) -> None:
    world = World(tmp_path)
    world.build("-o", "oci:image", "-o", "oci-archive:image.tar")
    file_name = {"oci-dir": "image", "oci-archive": "image.tar"}[kind]
    syft_packages = distributed(syft(f"{kind}:{world.project / file_name}", tmp_path))
    for form, name in (("spdx", "ours.spdx.json"), ("cyclonedx", "ours.cdx.json")):
        (world.project / name).write_bytes(world.run("sbom", "oci:image", "--format", form).stdout_bytes)
    our_packages = set(inventory.read_spdx(world.project / "ours.spdx.json").values())
    assert syft_packages == {package for package in our_packages if package.name not in BASE}
    assert syft_packages
    assert inventory.read_cyclonedx(world.project / "ours.cdx.json") == our_packages


@pytest.mark.mirror
def test_syft_lists_the_packages_of_a_real_image_and_their_contents(
    tmp_path: Path, shared_home: Path
) -> None:
    recipe = real.recipe(tmp_path, ["python3-requests", "ca-certificates"], "archs: [amd64]")
    real.must(shared_home, "build", recipe, "-o", "oci:image", cwd=tmp_path)
    artifacts = syft(f"oci-dir:{tmp_path}/image", tmp_path)
    document = tmp_path / "ours.spdx.json"
    document.write_text(real.must(shared_home, "sbom", "oci:image", cwd=tmp_path))
    our_packages = {package for package in inventory.read_spdx(document).values() if package.name not in BASE}
    assert distributed(artifacts) == our_packages
    owned = _owners(json.loads(document.read_bytes()))
    python_packages = [artifact for artifact in artifacts if artifact["type"] == "python"]
    assert {artifact["name"] for artifact in python_packages} >= {"requests", "urllib3"}
    for artifact in python_packages:  # Debian packages that we list contain everything that pip would list
        for location in artifact["locations"]:
            assert owned[f".{location['path']}"].startswith("python3"), artifact["name"]


def _owners(document: dict[str, Any]) -> dict[str, str]:
    names = {package["SPDXID"]: package["name"] for package in document["packages"]}
    files = {file["SPDXID"]: file["fileName"] for file in document["files"]}
    return {
        files[relationship["relatedSpdxElement"]]: names[relationship["spdxElementId"]]
        for relationship in document["relationships"]
        if relationship["relationshipType"] == "CONTAINS" and relationship["relatedSpdxElement"] in files
    }


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_scan_of_a_foreign_image_agrees_with_syft(tmp_path: Path, kind: str) -> None:
    location = write_specimen(handmade.image(ImageContents([FOREIGN[kind]])), f"oci:{tmp_path}/image")
    artifacts = syft(f"oci-dir:{tmp_path}/image", tmp_path)
    document = tmp_path / "ours.cdx.json"
    document.write_text(real.must(tmp_path / "home", "sbom", location, "--format", "cyclonedx"))
    our_packages = inventory.read_cyclonedx(document)
    assert distributed(artifacts) == our_packages
    assert our_packages
    theirs = {
        artifact["name"]: sorted(license_entry["spdxExpression"] for license_entry in artifact["licenses"])
        for artifact in artifacts
    }
    if kind == "apk":
        assert theirs == {"musl": ["MIT"], "ssl_client": ["GPL-2.0-only"]}
        our_components = {
            artifact["name"]: artifact for artifact in json.loads(document.read_bytes())["components"]
        }
        assert our_components["musl"]["licenses"][0]["expression"] == "MIT"
