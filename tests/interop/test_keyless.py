"""The real tools accept the signatures of our simulated sigstore instance, offline."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from sigstore.models import Bundle, TrustedRoot
from sigstore.verify import Verifier, policy

import pumice
from pumice.image.transports import layout
from tests.support import certified, pushing, registry, signed_images, sigstore_services
from tests.support.peers import need
from tests.support.sigstore_simulator import ADA, ISSUER, WORKFLOW, Wish
from tests.support.trust_world import TrustWorld


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


def test_cosign_accepts_what_build_and_attest_sign_without_a_key(tmp_path: Path) -> None:
    world = TrustWorld(tmp_path)
    (world.project / "review.json").write_text('{"reviewed": true}')
    with sigstore_services.serve() as services, registry.debian(tmp_path) as host:
        (world.project / "config.json").write_bytes(services.trust_config())
        (world.project / "root.json").write_bytes(services.instance.trusted_root())
        (world.project / "token").write_text(sigstore_services.identity_token())
        token = ("--identity-token", "token", "--trust-config", "config.json")
        image = f"{host}/team/hello:1.0"
        world.must("build", "recipe.yaml", *token, "-o", f"docker://{image}")
        review = ("--type", "https://example.com/review/v1")
        world.must("attest", f"docker://{image}", *review, "--predicate", "review.json", *token)
        who = (
            "--certificate-identity",
            ADA,
            "--certificate-oidc-issuer",
            ISSUER,
            "--trusted-root",
            "root.json",
        )
        verified = _cosign(world.project, *who, image)
        assert verified.returncode == 0, verified.stderr
        attested = _cosign(world.project, *who, *review, image, command="verify-attestation")
        assert attested.returncode == 0, attested.stderr


def test_cosign_accepts_what_the_python_api_signs_without_a_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = TrustWorld(tmp_path)
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "store"))
    monkeypatch.chdir(world.project)
    review = "https://example.com/review/v1"
    with sigstore_services.serve() as services, registry.debian(tmp_path) as host:
        Path("config.json").write_bytes(services.trust_config())
        Path("root.json").write_bytes(services.instance.trusted_root())
        image = f"{host}/team/hello:1.0"
        keyless = pumice.Keyless(token=sigstore_services.identity_token, trust_config="config.json")
        built = pumice.build("recipe.yaml", outputs=[f"docker://{image}"])
        assert pumice.sign(f"docker://{image}", keyless=keyless).digest == built.digest
        pumice.attest(f"docker://{image}", predicate_type=review, predicate={"a": 1}, keyless=keyless)
        who = ("--certificate-identity", ADA, "--certificate-oidc-issuer", ISSUER)
        by_ada = (*who, "--trusted-root", "root.json")
        verified = _cosign(world.project, *by_ada, image)
        assert verified.returncode == 0, verified.stderr
        assert built.digest in verified.stdout
        attested = _cosign(world.project, *by_ada, "--type", review, image, command="verify-attestation")
        assert attested.returncode == 0, attested.stderr


def _cosign(folder: Path, *arguments: str, command: str = "verify") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [need("cosign3"), command, *arguments],
        env={**os.environ, "HOME": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
