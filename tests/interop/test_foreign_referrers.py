"""Artifacts of other tools are copied unchanged with the image: those of cosign, and unknown types."""

from __future__ import annotations

import json
import os
import subprocess
from itertools import pairwise
from pathlib import Path

from tests.support import pushing, registry, serving, signed_images
from tests.support.peers import need
from tests.support.serving import Registry, descriptor
from tests.support.trust_world import SECRET, TrustWorld

NOTATION = "application/vnd.cncf.notary.signature"


def everything(world: TrustWorld, location: str) -> list[str]:
    """Return the digests of an image and of all its artifacts."""
    text = world.must("tree", location, "--format", "json")
    return sorted({word for word in json.dumps(json.loads(text)).split('"') if word.startswith("sha256:")})


def test_foreign_referrers_are_copied_between_registries_and_archives(tmp_path: Path) -> None:
    world = TrustWorld(tmp_path / "world")
    signed_images.folder(tmp_path / "image")
    (tmp_path / "debian").mkdir()
    with serving.serving(tmp_path / "served") as first, registry.debian(tmp_path / "debian") as second:
        digest = pushing.push(tmp_path / "image", first.host, "team/hello", "1.0")
        reference = f"{first.host}/team/hello:1.0"
        _attach(world, first, reference, digest)
        digests_before = everything(world, f"docker://{reference}")
        assert len(digests_before) >= 5
        hops = [
            f"docker://{reference}",
            "oci-archive:one.tar:1.0",
            f"docker://{second}/team/hello:1.0",
            "oci:two:1.0",
        ]
        hops.append(f"docker://{first.host}/back/hello:1.0")
        for source, target in pairwise(hops):
            world.must("copy", source, target)
            assert everything(world, target) == digests_before, target
        for tag in world.must("tags", f"{first.host}/team/hello", "--all").split():
            manifests = [
                first.ask("GET", f"/v2/{name}/hello/manifests/{tag}").body for name in ("team", "back")
            ]
            assert manifests[0] == manifests[1], tag
        assert "--only-image" in world.refused("copy", hops[0], "docker-archive:three.tar:1.0", code=10)
        world.must("copy", hops[0], "docker-archive:three.tar:1.0", "--only-image")


def _attach(world: TrustWorld, host: Registry, reference: str, digest: str) -> None:
    """Attach an SBOM and an attestation with cosign, and a signature like notation's."""
    world.must("key", "generate", "--output", "theirs")
    (world.project / "sbom.json").write_text('{"spdxVersion": "SPDX-2.3"}')
    environ = {**os.environ, "COSIGN_PASSWORD": SECRET, "HOME": str(world.root)}
    quiet = ("--yes", "--key", "theirs.key", "--tlog-upload=false")
    for words in (
        ("attach", "sbom", "--sbom", "sbom.json", reference),
        ("attest", *quiet, "--type", "custom", "--predicate", "sbom.json", reference),
    ):
        subprocess.run([need("cosign2"), *words], env=environ, cwd=world.project, check=True)
    size = len(host.ask("GET", f"/v2/team/hello/manifests/{digest}").body)
    host.push_blob("team/hello", b"{}")
    host.push_blob("team/hello", b'{"payload": "eyJ9"}')
    manifest = {
        "schemaVersion": 2,
        "mediaType": serving.MANIFEST,
        "artifactType": NOTATION,
        "config": descriptor(b"{}", "application/vnd.oci.empty.v1+json"),
        "layers": [descriptor(b'{"payload": "eyJ9"}', "application/jose+json")],
        "subject": {"mediaType": serving.MANIFEST, "digest": digest, "size": size},
        "annotations": {"io.cncf.notary.x509chain.thumbprint#S256": '["00"]'},
    }
    data = json.dumps(manifest, indent=3).encode()
    assert host.put("team/hello", serving.digest_of(data), data).status == 201
