"""An image of several platforms in a registry: index and platforms are signed, and copies keep digests."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

from tests.support import serving
from tests.support.deb import Deb
from tests.support.peers import need
from tests.support.trust_world import SECRET, TrustWorld
from tests.support.world import PACKAGES


def test_cosign_and_skopeo_accept_an_image_of_several_platforms(tmp_path: Path) -> None:
    world = TrustWorld(tmp_path / "world")
    arm64_packages = [Deb(**{**package.__dict__, "architecture": "arm64"}) for package in PACKAGES]
    world.publish([*PACKAGES, *arm64_packages])
    world.must("key", "generate", "--output", "release")
    build = ("build", "recipe.yaml", "--arch", "amd64", "--arch", "arm64", "--sign", "release.key")
    with serving.serving(tmp_path / "served") as host:
        reference = f"{host.host}/team/both"
        digest = world.must(*build, "-o", f"docker://{reference}:1.0")
        index = host.ask("GET", f"/v2/team/both/manifests/{digest}").json
        environ = {**os.environ, "COSIGN_PASSWORD": SECRET, "HOME": str(tmp_path)}
        for image_digest in (digest, *(child["digest"] for child in index["manifests"])):
            subprocess.run(
                [
                    *(need("cosign3"), "verify", "--key", "release.pub", "--insecure-ignore-tlog=true"),
                    f"{reference}@{image_digest}",
                ],
                env=environ,
                cwd=world.project,
                check=True,
                capture_output=True,
            )
        assert "signed   by" in world.must(
            "verify", f"docker://{reference}:1.0", "--key", "release.pub", store="other"
        )
        skopeo = (need("skopeo"), "--insecure-policy", "copy", "--all", "--src-tls-verify=false")
        subprocess.run(
            [*skopeo, f"docker://{reference}:1.0", f"oci:{tmp_path}/copy:1.0"],
            check=True,
            capture_output=True,
        )
        descriptors = json.loads((tmp_path / "copy" / "index.json").read_text())["manifests"]
        assert [image_digest["digest"] for image_digest in descriptors] == [digest]
