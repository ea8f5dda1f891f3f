"""The real tools accept the signatures of our simulated sigstore instance, offline."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier, policy

from pumice.image.transports import layout
from tests.support import certified, pushing, registry, signed_images
from tests.support.peers import need
from tests.support.sigstore_simulator import ADA, ISSUER, WORKFLOW, Wish


@pytest.mark.parametrize("identity", [ADA, WORKFLOW])
def test_the_library_accepts_what_the_simulator_makes(tmp_path: Path, identity: str) -> None:
    root = certified.root_file(tmp_path / "root.json")
    bundle = Bundle.from_json(certified.instance().signature("sha256:" + "0" * 64, Wish(identity=identity)))
    verifier = Verifier(trusted_root=TrustedRoot.from_file(str(root)))
    verifier.verify_dsse(bundle, policy.Identity(identity=identity, issuer=ISSUER))


@pytest.mark.parametrize("identity", [ADA, WORKFLOW])
def test_cosign_accepts_what_the_simulator_makes(tmp_path: Path, identity: str) -> None:
    layout_folder = signed_images.folder(tmp_path / "image")
    certified.sign(layout_folder, Wish(identity=identity))
    digest = layout.read_layout(layout_folder).root.digest
    root = certified.root_file(tmp_path / "root.json")
    with registry.debian(tmp_path) as host:
        pushing.push(layout_folder, host, "keyless/hello", "1.0")
        words = ("--trusted-root", str(root), "--certificate-oidc-issuer", ISSUER)
        process = _cosign(tmp_path, *words, "--certificate-identity", identity, f"{host}/keyless/hello:1.0")
        assert process.returncode == 0, process.stderr
        assert digest in process.stdout
        other_identity = ("--certificate-identity", "eve@example.com", f"{host}/keyless/hello:1.0")
        assert _cosign(tmp_path, *words, *other_identity).returncode != 0


def _cosign(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [need("cosign3"), "verify", *arguments],
        env={**os.environ, "HOME": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
