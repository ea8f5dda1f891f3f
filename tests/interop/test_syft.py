"""syft, which knows nothing of how an image came to be, finds the packages that our documents list."""

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

BASE = {"base-files", "base-passwd"}
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
        folder("var/lib/dpkg/status.d"),  # syft looks for files in folders that a layer names
        file("etc/os-release", RELEASE.encode()),
        file("var/lib/dpkg/status.d/libssl3", STATUS.replace("Status: install ok installed\n", "").encode()),
    ],
    "apk": [
        file("etc/os-release", ALPINE.encode()),
        file("lib/apk/db/installed", INSTALLED.encode()),
        file("lib/ld-musl-x86_64.so.1", b"x", 0o755),
    ],
}


def syft(place: str, folder: Path) -> list[dict[str, Any]]:
    """Return what syft lists in an image, by its own format; it looks for nothing on any network."""
    environ = {**os.environ, "SYFT_CHECK_FOR_APP_UPDATE": "false", "HOME": str(folder)}
    done = subprocess.run(
        [need("syft"), "scan", place, "-o", "syft-json", "-q"],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)["artifacts"]
    return found


def distributed(artifacts: list[dict[str, Any]]) -> set[ListedPackage]:
    """Return the distribution's packages that syft lists, by their package URLs."""
    kept = (one for one in artifacts if one["type"] in ("deb", "apk"))
    return {inventory.from_package_url(PackageURL.from_string(one["purl"])) for one in kept}


@pytest.mark.parametrize("kind", ["oci-dir", "oci-archive"])
def test_it_lists_what_our_documents_list(tmp_path: Path, kind: str) -> None:
    world = World(tmp_path)
    world.build("-o", "oci:image", "-o", "oci-archive:image.tar")
    place = {"oci-dir": "image", "oci-archive": "image.tar"}[kind]
    found = distributed(syft(f"{kind}:{world.project / place}", tmp_path))
    for form, name in (("spdx", "ours.spdx.json"), ("cyclonedx", "ours.cdx.json")):
        (world.project / name).write_bytes(world.run("sbom", "oci:image", "--format", form).stdout_bytes)
    ours = set(inventory.read_spdx(world.project / "ours.spdx.json").values())
    assert found == {one for one in ours if one.name not in BASE}
    assert found
    assert inventory.read_cyclonedx(world.project / "ours.cdx.json") == ours


@pytest.mark.mirror
def test_it_lists_the_packages_of_a_real_image_and_what_is_in_them(tmp_path: Path, shared_home: Path) -> None:
    recipe = real.recipe(tmp_path, ["python3-requests", "ca-certificates"], "archs: [amd64]")
    real.must(shared_home, "build", recipe, "-o", "oci:image", cwd=tmp_path)
    artifacts = syft(f"oci-dir:{tmp_path}/image", tmp_path)
    document = tmp_path / "ours.spdx.json"
    document.write_text(real.must(shared_home, "sbom", "oci:image", cwd=tmp_path))
    ours = {one for one in inventory.read_spdx(document).values() if one.name not in BASE}
    assert distributed(artifacts) == ours
    owned = _owners(json.loads(document.read_bytes()))
    packages = [one for one in artifacts if one["type"] == "python"]
    assert {one["name"] for one in packages} >= {"requests", "urllib3"}
    for one in packages:  # what pip would know of is a file of a package that we list
        for place in one["locations"]:
            assert owned[f".{place['path']}"].startswith("python3"), one["name"]


def _owners(document: dict[str, Any]) -> dict[str, str]:
    names = {one["SPDXID"]: one["name"] for one in document["packages"]}
    files = {one["SPDXID"]: one["fileName"] for one in document["files"]}
    return {
        files[one["relatedSpdxElement"]]: names[one["spdxElementId"]]
        for one in document["relationships"]
        if one["relationshipType"] == "CONTAINS" and one["relatedSpdxElement"] in files
    }


@pytest.mark.parametrize("kind", FOREIGN)
def test_we_find_what_it_finds_in_images_of_others(tmp_path: Path, kind: str) -> None:
    place = write_specimen(handmade.image(ImageContents([FOREIGN[kind]])), f"oci:{tmp_path}/image")
    artifacts = syft(f"oci-dir:{tmp_path}/image", tmp_path)
    document = tmp_path / "ours.cdx.json"
    document.write_text(real.must(tmp_path / "home", "sbom", place, "--format", "cyclonedx"))
    ours = inventory.read_cyclonedx(document)
    assert distributed(artifacts) == ours
    assert ours
    theirs = {one["name"]: sorted(item["spdxExpression"] for item in one["licenses"]) for one in artifacts}
    if kind == "apk":
        assert theirs == {"musl": ["MIT"], "ssl_client": ["GPL-2.0-only"]}
        listed = {one["name"]: one for one in json.loads(document.read_bytes())["components"]}
        assert listed["musl"]["licenses"][0]["expression"] == "MIT"
