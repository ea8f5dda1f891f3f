"""Sign without a key, at a simulated sigstore instance on this machine (`sigstore_services`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import sigstore_services
from tests.support.sigstore_services import Services, identity_token
from tests.support.sigstore_simulator import ADA, ISSUER, WORKFLOW
from tests.support.trust_world import TrustWorld

BY = ("--identity", ADA, "--issuer", ISSUER, "--trusted-root", "root.json")
TOKEN = ("--identity-token", "token", "--trust-config", "config.json")


@pytest.fixture(scope="module")
def services() -> Iterator[Services]:
    with sigstore_services.serve() as services:
        yield services


@pytest.fixture
def world(services: Services, tmp_path: Path) -> TrustWorld:
    world = TrustWorld(tmp_path)
    world.must("build", "recipe.yaml", "-o", "oci:out")
    (world.project / "config.json").write_bytes(services.trust_config())
    (world.project / "root.json").write_bytes(services.instance.trusted_root())
    (world.project / "token").write_text(f"{identity_token()}\n")
    services.refuses_entries = False
    return world


def test_an_image_and_its_documents_are_signed(world: TrustWorld, services: Services) -> None:
    recorded = len(services.entries)
    signed = world.do("sign", "oci:out", *TOKEN)
    assert signed.code == 0, signed.stderr
    assert f"example.com/hello:1.0: signed by {ADA} of {ISSUER}, with " in signed.stderr
    assert len(services.entries) - recorded == 4  # the image, two SBOMs and the provenance
    verification = json.loads(world.must("verify", "oci:out", *BY, "--format", "json", store="other"))
    assert verification["digest"] == signed.stdout.strip()
    assert verification["name"] == "example.com/hello:1.0"
    assert {claim["identity"] for claim in verification["signatures"]} == {ADA}
    assert len(verification["attestations"]) == 3
    world.must("verify", "oci:out", *BY, "--attestation", "spdxjson", store="other")


def test_a_signature_is_for_one_name(world: TrustWorld) -> None:
    world.must("sign", "oci:out", *TOKEN, "--as", "example.com/other:2.0", "--no-evidence")
    assert "not as example.com/hello:1.0" in world.refused(
        "verify", "oci:out", *BY, "--as", "example.com/hello:1.0", store="other"
    )


def test_a_workflow_signs_in_a_ci_job(world: TrustWorld) -> None:
    environment = {"GITLAB_CI": "true", "SIGSTORE_ID_TOKEN": identity_token(WORKFLOW)}
    world.must(
        *("sign", "oci:out", "--keyless", "--trust-config", "config.json", "--no-evidence"),
        environment=environment,
    )
    by_workflow = ("--identity", WORKFLOW, *BY[2:])
    assert WORKFLOW in world.must("verify", "oci:out", *by_workflow, store="other")


def test_the_log_must_record_the_signature(world: TrustWorld, services: Services) -> None:
    services.refuses_entries = True
    stderr = world.refused("sign", "oci:out", *TOKEN)
    assert "cannot record the signature in the transparency log" in stderr
    assert "not signed" in world.refused("verify", "oci:out", *BY, store="other")


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("", "the file does not contain an identity token"),
        ("two\nlines", "the file does not contain an identity token"),
        ("not a token", "cannot use the identity token"),
        (identity_token(valid_for=-60), "cannot use the identity token"),
    ],
    ids=["empty", "two lines", "no token", "expired"],
)
def test_an_unusable_token_is_refused(token: str, message: str, world: TrustWorld) -> None:
    (world.project / "token").write_text(token)
    stderr = world.refused("sign", "oci:out", *TOKEN)
    assert message in stderr
    assert "audience 'sigstore'" in stderr


@pytest.mark.parametrize("content", ["", "{}", '{"mediaType": "x"}', "[" * 5000])
def test_an_unusable_trust_configuration_is_refused(content: str, world: TrustWorld) -> None:
    (world.project / "config.json").write_text(content)
    assert "the trust configuration is not valid" in world.refused("sign", "oci:out", *TOKEN)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "--key is missing"),
        (("--key", "release", "--keyless"), "a key and an identity cannot sign at once"),
        (("--keyless", "--identity-token", "token"), "there are two identities"),
        (("--keyless", "--docker-reference", "registry.example/x:1"), "--docker-reference needs a key"),
    ],
)
def test_options_that_contradict_each_other_are_refused(
    arguments: tuple[str, ...], message: str, world: TrustWorld
) -> None:
    assert message in world.refused("sign", "oci:out", *arguments, code=2)


def test_a_token_is_not_an_argument(world: TrustWorld) -> None:
    token = identity_token()
    stderr = world.refused("sign", "oci:out", "--identity-token", token, code=2)
    assert "takes the name of a file" in stderr
    assert token not in stderr


def test_without_a_ci_job_there_is_no_identity(world: TrustWorld) -> None:
    stderr = world.refused("sign", "oci:out", "--keyless", "--trust-config", "config.json")
    assert "this is not a CI job with an identity token" in stderr
