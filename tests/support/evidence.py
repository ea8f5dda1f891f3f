"""Facts of an image of any size."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pumice.evidence.facts import RECIPE, Facts, File, LayerFacts, Package, System
from pumice.formats import oci
from tests.support.world import blob


def digest(text: str) -> str:
    """Return the digest of ``text``."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()


def package(name: str, version: str = "1.0-1", **other: object) -> Package:
    """Return a package."""
    values: dict[str, Any] = {
        "type": "deb",
        "name": name,
        "version": version,
        "architecture": "amd64",
        "source": name,
        "source_version": version,
        "maintainer": "Jane Doe <jane@example.com>",
        "homepage": "https://example.com/" + name,
        "summary": f"the {name} program",
        "license": "MIT",
        "archive": "debian",
        "path": f"pool/main/{name}_{version}_amd64.deb",
        "size": 1000,
        "sha256": digest(name)[7:],
        "sha512": hashlib.sha512(name.encode()).hexdigest(),
        **other,
    }
    return Package(**values)


def facts(packages: int = 3, files: int = 30) -> Facts:
    """Return the facts of an image with the given numbers of packages and files."""
    image_packages = (
        package(
            "libstdc++6",
            "1:12.2.0-14+deb12u1",
            source="gcc-12",
            source_version="12.2.0-14+deb12u1",
            maintainer="Debian GCC Maintainers <gcc@example.com>",
            license="GPL-3.0-or-later WITH GCC-exception-3.1 AND LicenseRef-odd-00000000",
        ),
        *(
            package(
                f"package{number:03}",
                needs=("libstdc++6",),
                license="NOASSERTION" if number % 7 == 1 else "MIT",
            )
            for number in range(1, packages)
        ),
    )
    return Facts(
        name="example.com/hello",
        version="1.0",
        digest=digest("manifest"),
        size=1234,
        media_type="application/vnd.oci.image.manifest.v1+json",
        config=digest("config"),
        platform="linux/amd64",
        architecture="amd64",
        created="2024-05-06T07:08:09Z",
        system=System(
            id="debian",
            version="12",
            codename="bookworm",
            name="Debian GNU/Linux 12 (bookworm)",
            home="https://www.debian.org/",
        ),
        packages=image_packages,
        layers=tuple(
            LayerFacts(
                title=f"part {number}",
                digest=digest(f"layer {number}"),
                diff_id=digest(f"diff {number}"),
                size=99,
                media_type="application/vnd.oci.image.layer.v1.tar+gzip",
            )
            for number in range(2)
        ),
        files=tuple(
            File(
                f"usr/bin/file{number:05}",
                number,
                number % 2,
                digest(f"file {number}")[7:],
                hashlib.sha1(b"%d" % number).hexdigest(),
                number % (len(image_packages) + 1) - 1,
                "" if number % (len(image_packages) + 1) else (RECIPE if number % 3 else "ldconfig"),
            )
            for number in range(files)
        ),
        texts={"LicenseRef-odd-00000000": "Do what is odd."},
        annotations={"org.opencontainers.image.description": "Says hello"},
        complete=True,
        sha512=hashlib.sha512(b"manifest").hexdigest(),
    )


def attached_documents(layout: Path) -> dict[str, bytes]:
    """Return the documents about the image in a layout, by artifact type."""
    (descriptor,) = json.loads((layout / "index.json").read_bytes())["manifests"]
    referrers = json.loads(blob(layout, descriptor["annotations"][oci.REFERRERS]))["manifests"]
    documents = {}
    for artifact in referrers:
        manifest = json.loads(blob(layout, artifact["digest"]))
        assert manifest["subject"]["digest"] == descriptor["digest"]
        assert manifest["config"]["mediaType"] == oci.EMPTY
        assert manifest["artifactType"] == artifact["artifactType"] == manifest["layers"][0]["mediaType"]
        assert blob(layout, manifest["config"]["digest"]) == b"{}"
        documents[artifact["artifactType"]] = blob(layout, manifest["layers"][0]["digest"])
    return documents
