"""Sign without a key, at a simulated sigstore instance on this machine (`sigstore_services`)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import registry, sigstore_services
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


def test_a_statement_is_attested(world: TrustWorld) -> None:
    (world.project / "review.json").write_text('{"reviewed": true}')
    review = ("--type", "https://example.com/review/v1")
    world.must("sign", "oci:out", *TOKEN, "--no-evidence")
    attested = world.do("attest", "oci:out", *review, "--predicate", "review.json", *TOKEN)
    assert attested.code == 0, attested.stderr
    assert f"attested by {ADA} of {ISSUER}" in attested.stderr
    world.must("verify", "oci:out", *BY, "--attestation", review[1], store="other")
    by_eve = ("--identity", "eve@example.com", *BY[2:])
    world.refused("verify", "oci:out", *by_eve, "--attestation", review[1], store="other")


def test_a_build_is_signed(world: TrustWorld, services: Services) -> None:
    recorded = len(services.entries)
    built = world.do("build", "recipe.yaml", *TOKEN, "-o", "oci:built", "--progress", "plain")
    assert built.code == 0, built.stderr
    assert f"by {ADA} of {ISSUER}" in built.stderr
    assert len(services.entries) - recorded == 4
    world.must("verify", "oci:built", *BY, "--attestation", "slsaprovenance1", store="other")
    world.must("verify", "example.com/hello:1.0", *BY)


def test_an_identity_takes_precedence_over_the_key_of_the_configuration(world: TrustWorld) -> None:
    world.must("key", "generate", "--output", "release")
    (world.config / "pumice").mkdir(parents=True, exist_ok=True)
    key = world.project / "release.key"
    (world.config / "pumice" / "config.yaml").write_text(f"sign: {{key: {key}}}\n")
    world.must("build", "recipe.yaml", *TOKEN, "-o", "oci:built")
    world.must("verify", "oci:built", *BY, store="other")
    world.refused("verify", "oci:built", "--key", "release.pub", store="other")


def test_a_pushed_image_is_signed(world: TrustWorld) -> None:
    with registry.serving(registry.Registry()) as host:
        target = f"docker://{host}/team/hello:1.0"
        pushed = world.do("push", "oci:out", target, *TOKEN, "--progress", "plain")
        assert pushed.code == 0, pushed.stderr
        assert f"as example.com/hello:1.0 by {ADA} of {ISSUER}" in pushed.stderr
        world.must("verify", target, *BY, store="other")
        world.must("verify", target, *BY, "--as", "example.com/hello:1.0", store="other")


def test_a_build_is_signed_as_the_name_that_it_is_pushed_to(world: TrustWorld) -> None:
    with registry.serving(registry.Registry()) as host:
        target = f"docker://{host}/team/hello:1.0"
        world.must("build", "recipe.yaml", *TOKEN, "-o", target)
        world.must("verify", target, *BY, store="other")


@pytest.mark.parametrize(
    "arguments", [("build", "recipe.yaml"), ("push", "oci:out", "registry.invalid/hello:1.0")]
)
def test_a_command_fails_before_its_work_without_an_identity(
    arguments: tuple[str, ...], world: TrustWorld
) -> None:
    """`registry.invalid` does not exist: to connect to it would be another error."""
    stderr = world.refused(*arguments, "--keyless", "--trust-config", "config.json", store="new")
    assert "this is not a CI job with an identity token" in stderr
    assert not list((world.root / "new").rglob("manifests/*"))


PREDICATE = ("--type", "custom", "--predicate", "config.json")


@pytest.mark.parametrize(
    ("command", "arguments", "message"),
    [
        (("attest", "oci:out", *PREDICATE), (), "--key is missing"),
        (("attest", "oci:out", *PREDICATE), ("--key", "k", "--keyless"), "a key and an identity"),
        (("build", "recipe.yaml"), ("--sign", "k", "--keyless"), "a key and an identity"),
        (("build", "recipe.yaml"), ("--no-sign", "--keyless"), "--no-sign contradicts the identity"),
        (("build", "recipe.yaml"), ("--trust-config", "config.json"), "--trust-config needs an identity"),
        (("push", "oci:out", "registry.invalid/x:1"), ("--sign", "k", "--keyless"), "a key and an identity"),
        (("push", "oci:out", "registry.invalid/x:1"), ("--trust-config", "x"), "needs an identity"),
    ],
)
def test_other_commands_refuse_options_that_contradict_each_other(
    command: tuple[str, ...], arguments: tuple[str, ...], message: str, world: TrustWorld
) -> None:
    assert message in world.refused(*command, *arguments, code=2)


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
