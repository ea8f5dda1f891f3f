"""Verify keyless signatures of a simulated sigstore instance, and trust identities."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support import certified
from tests.support.sigstore_simulator import ADA, ISSUER, Wish
from tests.support.trust_world import TrustWorld

WHO = ("--identity", ADA, "--issuer", ISSUER)
BY = (*WHO, "--trusted-root", "root.json")
OTHER = "other"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> TrustWorld:
    world = TrustWorld(tmp_path_factory.mktemp("world"))
    world.must("build", "recipe.yaml", "-o", "oci:out")
    certified.sign(world.project / "out")
    return world


@pytest.fixture
def world(built: TrustWorld, tmp_path: Path) -> TrustWorld:
    """Return a world with a signed layout, without rules or keys."""
    built.config = tmp_path / "config"
    for old in ("new.key", "new.pub"):
        (built.project / old).unlink(missing_ok=True)
    certified.root_file(built.project / "root.json")
    return built


def test_verify_with_an_identity(world: TrustWorld) -> None:
    printed = world.must("verify", "oci:out", *BY, store=OTHER)
    assert f"signed   by {ADA} of {ISSUER}" in printed
    verification = json.loads(world.must("verify", "oci:out", *BY, "--format", "json", store=OTHER))
    assert (verification["signatures"][0]["identity"], verification["signatures"][0]["issuer"]) == (
        ADA,
        ISSUER,
    )
    assert "not as example.com/bank:1.0" in world.refused(
        "verify", "oci:out", *BY, "--as", "example.com/bank:1.0"
    )
    other_identity = ("--identity", "eve@example.com", *BY[2:])
    assert f"signed by {ADA}" in world.refused("verify", "oci:out", *other_identity, store=OTHER)
    stderr = world.refused("verify", "oci:out", *WHO, store=OTHER)
    assert "the certificate is not valid" in stderr  # for the trusted root of the public instance


def test_verify_by_a_rule_for_an_identity(world: TrustWorld) -> None:
    stderr = world.refused("verify", "oci:out", store=OTHER)
    assert "no key is trusted for example.com/hello:1.0" in stderr
    path = Path(world.must("trust", "add", "--prefix", "example.com/hel", *BY).strip())
    world.refused("verify", "oci:out", store=OTHER)  # a prefix matches whole path elements
    world.must("trust", "remove", path.name)
    world.must("trust", "add", "--prefix", "example.com", *BY, "--comment", "Ada", "--expires", "2999-01-01")
    assert f"Ada {ADA} of {ISSUER}" in world.must("trust", "list")
    why = world.must("trust", "why", "oci:out", store=OTHER)
    assert "(user rule for example.com)" in why
    # The image has no shell, so the program fails, but only after the image was admitted.
    assert "its interpreter" in world.do("run", "oci:out", "/bin/hello", store=OTHER).stderr
    (world.project / "root.json").unlink()  # the rule has its own trusted root
    world.must("verify", "oci:out", store=OTHER)
    world.must("trust", "revoke", path.name, "--reason", "left")
    assert "is revoked (left)" in world.refused("verify", "oci:out", store=OTHER)


def test_an_identity_is_rotated_to_a_key(world: TrustWorld) -> None:
    path = Path(world.must("trust", "add", "--root", *BY).strip())
    new = world.must("key", "generate", "--output", "new").strip()
    world.must("trust", "rotate", path.name, "new.pub", "--fingerprint", new)
    world.must("verify", "oci:out", store=OTHER)
    world.must("trust", "rotate", path.name, "new.pub", "--fingerprint", new, "--overlap", "0")
    assert "its identity" in world.refused("verify", "oci:out", store=OTHER)


def test_an_attestation_by_an_identity(world: TrustWorld) -> None:
    certified.sign(world.project / "out", kind="https://example.com/review")
    verify_attestation = ("verify", "oci:out", *BY, "--attestation")
    assert "attested https://example.com/review by" in world.must(
        *verify_attestation, "https://example.com/review", store=OTHER
    )
    assert "no attestation" in world.refused(*verify_attestation, "https://example.com/audit", store=OTHER)


def test_an_expired_certificate_is_refused(world: TrustWorld) -> None:
    world.must("build", "recipe.yaml", "-o", "oci:late")
    certified.sign(world.project / "late", Wish(after=601))
    assert "not valid at" in world.refused("verify", "oci:late", *BY, store=OTHER)


def test_export_omits_identities_with_a_warning(world: TrustWorld) -> None:
    world.must("trust", "add", "--root", *BY)
    pumice_run = world.do("trust", "export")
    assert json.loads(pumice_run.stdout)["transports"] == {}
    assert "identities are left out" in pumice_run.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("verify", "oci:out", "--identity", ADA), 2, "--identity needs --issuer"),
        (("verify", "oci:out", "--issuer", ISSUER), 2, "need --identity"),
        (("verify", "oci:out", "--identity", "ada", "--issuer", ISSUER), 2, "invalid identity"),
        (("verify", "oci:out", "--identity", ADA, "--issuer", "x"), 2, "invalid issuer"),
        (("verify", "oci:out", *WHO, "--trusted-root", "recipe.yaml"), 8, "is not valid strict JSON"),
        (("verify", "oci:out", *WHO, "--trusted-root", "nowhere"), 7, "cannot read"),
        (("trust", "add", *BY), 2, "needs a prefix of names"),
        (("trust", "add", "release.pub", "--root", *BY), 2, "unexpected operand 'release.pub'"),
        (("trust", "add", "--root", *BY, "--fingerprint", "0" * 64), 2, "has no fingerprint"),
        (("trust", "add", "--root", "--identity=ada@example.com"), 2, "--identity needs --issuer"),
        (("trust", "add", "--root", *WHO, "--trusted-root", "out"), 7, "cannot read"),
    ],
)
def test_keyless_commands_report_errors(
    world: TrustWorld, arguments: tuple[str, ...], code: int, message: str
) -> None:
    assert message in world.refused(*arguments, code=code)
