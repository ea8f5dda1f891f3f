"""The command ``pumice attest``."""

from __future__ import annotations

import pytest

from tests.support.trust_world import TrustWorld, signed_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TrustWorld:
    new_world = signed_world(tmp_path_factory.mktemp("world"))
    (new_world.project / "p.json").write_text('{"score": 9.5, "open": [1, 2]}')
    new_world.must("attest", "oci:out", "--key", "release.key", "--type", "vuln", "--predicate", "p.json")
    return new_world


@pytest.mark.parametrize(
    ("policy", "message"), [('{"open": [2]}', ""), ('{"open": [3]}', "at .open[0]"), ('{"x": 1}', "at .x")]
)
def test_a_policy_is_matched_against_the_predicate(world: TrustWorld, policy: str, message: str) -> None:
    (world.project / "policy.json").write_text(policy)
    command = (
        *("verify", "oci:out", "--key", "release.pub"),
        *("--attestation", "vuln", "--policy", "policy.json"),
    )
    if message:
        assert message in world.refused(*command)
    else:
        assert "attested https://cosign.sigstore.dev/attestation/vuln/v1" in world.must(*command)


def test_an_attestation_of_another_type_is_missing(world: TrustWorld) -> None:
    stderr = world.refused("verify", "oci:out", "--key", "release.pub", "--attestation", "openvex")
    assert "no attestation https://openvex.dev/ns" in stderr


def test_the_same_attestation_is_signed_once(world: TrustWorld) -> None:
    pumice_run = world.do(
        *("attest", "oci:out", "--key", "release.key", "--type", "vuln", "--predicate", "p.json"),
        environment={"PUMICE_KEY_PASSPHRASE": "wrong"},
    )
    assert (pumice_run.code, "already attested" in pumice_run.stderr) == (0, True)


@pytest.mark.parametrize(
    ("content", "kind", "code", "message"),
    [
        ('{"a": 1, "a": 2}', "vuln", 8, "duplicate key"),
        ("{", "vuln", 8, "is not valid strict JSON"),
        ("{}", "nonsense", 2, "is not a predicate type"),
        (
            "{}",
            "https://sigstore.dev/cosign/sign/v1",
            2,
            "the predicate type of a signature cannot be attested",
        ),
        (None, "vuln", 2, "cannot read"),
    ],
)
def test_attest_reports_errors(
    world: TrustWorld, content: str | None, kind: str, code: int, message: str
) -> None:
    path = world.project / "bad.json"
    path.unlink(missing_ok=True)
    if content is not None:
        path.write_text(content)
    command = ("attest", "oci:out", "--key", "release.key", "--type", kind, "--predicate", "bad.json")
    assert message in world.refused(*command, code=code)
