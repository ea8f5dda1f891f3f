"""The Python API signs with keys and, at a simulated sigstore instance, as identities."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import pumice
from tests.support import registry, sigstore_services
from tests.support.sigstore_services import Services, identity_token
from tests.support.sigstore_simulator import ADA, ISSUER, WORKFLOW
from tests.support.world import World

REVIEW = "https://example.com/review/v1"
BY_ADA = pumice.Identity(ADA, ISSUER, "root.json")
KEYLESS = pumice.Keyless(token="token", trust_config="config.json")


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with sigstore_services.serve() as services:
        yield services


@pytest.fixture
def world(services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path)
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "store"))
    monkeypatch.setenv("PUMICE_KEY_PASSPHRASE", "secret")
    monkeypatch.chdir(world.project)
    Path("config.json").write_bytes(services.trust_config())
    Path("root.json").write_bytes(services.instance.trusted_root())
    Path("token").write_text(f"{identity_token()}\n")
    return world


def test_a_build_is_signed_as_an_identity(world: World, capfd: pytest.CaptureFixture[str]) -> None:
    built = pumice.build("recipe.yaml", outputs=["oci:out"], keyless=KEYLESS)
    verified = pumice.verify("oci:out", identity=BY_ADA, store="other")
    assert (verified.digest, verified.name) == (built.digest, "example.com/hello:1.0")
    assert [(signer.identity, signer.issuer) for signer in verified.signers] == [(ADA, ISSUER)]
    assert "https://slsa.dev/provenance/v1" in verified.attestations
    assert capfd.readouterr() == ("", "")
    eve = pumice.Identity("eve@example.com", ISSUER, "root.json")
    with pytest.raises(pumice.errors.TrustError, match="not trusted"):
        pumice.verify("oci:out", identity=eve, store="other")
    assert pumice.verify("oci:out", identity=[eve, BY_ADA], store="other") == verified


def test_several_builds_are_signed_as_an_identity(world: World) -> None:
    pumice.build_all(["recipe.yaml"], outputs=lambda _: ["oci:out"], keyless=KEYLESS)
    assert pumice.verify("oci:out", identity=BY_ADA, store="other").signers


def test_each_signing_asks_the_function_for_a_token(world: World) -> None:
    tokens = iter([identity_token(), identity_token(), identity_token(WORKFLOW), identity_token(WORKFLOW)])
    keyless = pumice.Keyless(token=lambda: next(tokens), trust_config="config.json")
    pumice.build("recipe.yaml", outputs=["oci:out"])
    assert pumice.sign("oci:out", keyless=keyless, evidence=False).signer == f"{ADA} of {ISSUER}"
    assert pumice.sign("oci:out", keyless=keyless, evidence=False).signer == f"{WORKFLOW} of {ISSUER}"


def test_an_image_in_a_registry_is_signed_as_its_name_there(world: World) -> None:
    with registry.serving(registry.Registry()) as host:
        target = f"docker://{host}/team/hello:1.0"
        built = pumice.build("recipe.yaml", outputs=[target])
        signed = pumice.sign(target, keyless=KEYLESS)
        assert (signed.digest, signed.name, signed.is_new) == (built.digest, "example.com/hello:1.0", True)
        assert "https://slsa.dev/provenance/v1" in signed.attestations
        assert pumice.verify(target, identity=BY_ADA, store="other").name == target.removeprefix("docker://")


@pytest.mark.parametrize("with_key", [True, False])
def test_a_statement_is_attested(with_key: bool, world: World) -> None:
    pumice.build("recipe.yaml", outputs=["oci:out"])
    assert world.run("key", "generate", "--output", "release").code == 0
    signed = pumice.sign("oci:out", key="release.key")
    assert not pumice.sign("oci:out", key="release.key").is_new
    predicate = {"reviewed": True}
    if with_key:
        attested = pumice.attest("oci:out", predicate_type=REVIEW, predicate=predicate, key="release.key")
        assert attested.signer == signed.signer
        assert REVIEW in pumice.verify("oci:out", key="release.pub", store="other").attestations
    else:
        attested = pumice.attest("oci:out", predicate_type=REVIEW, predicate=predicate, keyless=KEYLESS)
        assert attested.signer == f"{ADA} of {ISSUER}"
        both = pumice.verify("oci:out", key="release.pub", identity=BY_ADA, store="other")
        assert REVIEW in both.attestations
    assert (attested.attestations, attested.is_new) == ((REVIEW,), True)


def test_a_key_signs_as_docker_references(world: World) -> None:
    pumice.build("recipe.yaml", outputs=["oci:out"])
    assert world.run("key", "generate", "--output", "release").code == 0
    name = "registry.example/team/hello:1.0"
    pumice.sign("oci:out", key="release.key", docker_references=[name])
    assert pumice.verify("oci:out", key="release.pub", name=name, store="other").name == name
    with pytest.raises(pumice.errors.UsageError, match="docker_references need a key"):
        pumice.sign("oci:out", keyless=KEYLESS, docker_references=[name])


def test_what_signs_must_be_clear(world: World) -> None:
    for call in (
        lambda: pumice.sign("oci:out", key="release.key", keyless=KEYLESS),
        lambda: pumice.build("recipe.yaml", key="release.key", keyless=KEYLESS),
    ):
        with pytest.raises(pumice.errors.UsageError, match="a key and an identity cannot sign at once"):
            call()
    with pytest.raises(pumice.errors.UsageError, match="nothing to sign with"):
        pumice.sign("oci:out")


def test_a_predicate_must_be_json(world: World) -> None:
    for predicate in ({1, 2}, float("nan"), {"a": b"b"}):
        with pytest.raises(pumice.errors.UsageError, match="JSON cannot represent the predicate"):
            pumice.attest("oci:out", predicate_type=REVIEW, predicate=predicate, keyless=KEYLESS)


def test_a_build_without_a_token_fails_before_its_work(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_ACTIONS", "GITLAB_CI", "CIRCLECI", "BUILDKITE"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(pumice.errors.TrustError, match="not a CI job with an identity token"):
        pumice.build("recipe.yaml", keyless=pumice.Keyless())
    assert not Path("recipe.lock").exists()


def test_a_ci_job_signs_without_further_settings(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITLAB_CI", "true")
    monkeypatch.setenv("SIGSTORE_ID_TOKEN", identity_token(WORKFLOW))
    pumice.build("recipe.yaml", outputs=["oci:out"], keyless=pumice.Keyless(trust_config="config.json"))
    workflow = pumice.Identity(WORKFLOW, ISSUER, "root.json")
    assert [signer.identity for signer in pumice.verify("oci:out", identity=workflow).signers] == [WORKFLOW]


def test_values_do_not_show_a_token(world: World) -> None:
    token = identity_token()
    assert token not in repr(pumice.Keyless(token=lambda: token))
    with pytest.raises(pumice.errors.UsageError, match="not a token") as caught:
        pumice.build("recipe.yaml", keyless=pumice.Keyless(token=token))
    assert token not in str(caught.value)
