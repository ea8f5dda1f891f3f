"""Rules in plain files: prefixes, masks, thresholds, mirrors, revocations."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import PumiceError, TrustError, UsageError
from pumice.trust import export, policy_edit, policy_files
from pumice.trust import policy as keyring
from pumice.trust.policy_files import PolicyDirectory
from tests.support.signed_images import key


@pytest.fixture
def levels(tmp_path: Path) -> tuple[PolicyDirectory, ...]:
    return tuple(PolicyDirectory(name, tmp_path / name) for name in ("vendor", "system", "user"))


def trusted_fingerprints(name: str, levels: tuple[PolicyDirectory, ...]) -> set[str]:
    return {rule.key.fingerprint for rule in keyring.read_name_policy(name, levels).keys}


def fp(number: int) -> str:
    return key(number).public_key.fingerprint


def test_prefixes_match_whole_components(levels: tuple[PolicyDirectory, ...]) -> None:
    policy_edit.add_key(levels[2], key(0).public_key, "example.com/app")
    assert trusted_fingerprints("example.com/app:1", levels) == {fp(0)}
    assert trusted_fingerprints("example.com/app/web:1", levels) == {fp(0)}
    assert trusted_fingerprints("example.com/appliance:1", levels) == set()
    assert trusted_fingerprints("example.com:1", levels) == set()
    assert trusted_fingerprints("", levels) == set()
    assert trusted_fingerprints("../example.com/app:1", levels) == set()


def test_keys_of_the_root_and_all_parent_prefixes_are_trusted(levels: tuple[PolicyDirectory, ...]) -> None:
    policy_edit.add_key(levels[0], key(0).public_key, "")
    policy_edit.add_key(levels[1], key(1).public_key, "example.com")
    policy_edit.add_key(levels[2], key(2).public_key, "example.com/Apps+x")
    assert trusted_fingerprints("example.com/Apps+x:1", levels) == {fp(0), fp(1), fp(2)}
    assert trusted_fingerprints("example.com/apps+x:1", levels) == {fp(0), fp(1)}
    assert trusted_fingerprints("example.org:1", levels) == {fp(0)}
    assert [rule.prefix for rule in keyring.read_rules(levels)] == ["", "example.com", "example.com/Apps+x"]


def test_an_empty_file_hides_a_weaker_rule(levels: tuple[PolicyDirectory, ...]) -> None:
    policy_edit.add_key(levels[0], key(0).public_key, "example.com")
    (rule,) = keyring.read_rules(levels)
    path = policy_edit.remove_rule(levels[2], rule)
    assert path.read_bytes() == b""
    assert trusted_fingerprints("example.com/x:1", levels) == set()
    policy_edit.add_key(levels[2], key(0).public_key, "example.com")
    (rule,) = keyring.read_rules(levels)
    policy_edit.remove_rule(levels[2], rule)
    assert trusted_fingerprints("example.com/x:1", levels) == {fp(0)}


def test_no_directory_overrides_a_revocation(levels: tuple[PolicyDirectory, ...]) -> None:
    policy_edit.add_key(levels[2], key(0).public_key, "example.com")
    policy_edit.revoke_key(levels[0], fp(0), "stolen\nby night")
    (rule,) = keyring.read_name_policy("example.com/x:1", levels).keys
    assert rule.rejection_reason(0) == "is revoked (stolen by night)"


def test_thresholds(levels: tuple[PolicyDirectory, ...]) -> None:
    policy_edit.set_threshold(levels[0], "example.com", 2)
    policy_edit.set_threshold(levels[2], "example.com/apps", 3)
    assert keyring.read_name_policy("example.com/apps/x:1", levels).threshold == 3
    assert keyring.read_name_policy("example.com/x:1", levels).threshold == 2
    assert keyring.read_name_policy("example.org/x:1", levels).threshold == 1
    policy_edit.set_threshold(levels[1], "example.com", 1)
    assert keyring.read_name_policy("example.com/x:1", levels).threshold == 1
    with pytest.raises(UsageError, match="invalid"):
        policy_edit.set_threshold(levels[0], "", 0)


def test_mirrors_change_the_expected_name(levels: tuple[PolicyDirectory, ...]) -> None:
    policy_edit.add_key(levels[2], key(0).public_key, "example.com")
    policy_edit.set_mirror(levels[2], "mirror.example/all", "example.com")
    decision = keyring.read_name_policy("mirror.example/all/app:1.0", levels)
    assert decision.name == "example.com/app:1.0"
    assert [rule.key.fingerprint for rule in decision.keys] == [fp(0)]
    assert decision.mirror == "user mirror of example.com at mirror.example/all"
    assert keyring.read_name_policy("mirror.example/allx:1.0", levels).keys == ()


def test_rotation_keeps_the_old_key_until_the_overlap_ends(levels: tuple[PolicyDirectory, ...]) -> None:
    policy_edit.add_key(levels[2], key(0).public_key, "example.com", comment="ours")
    rules = policy_edit.find_rules(keyring.read_rules(levels), fp(0)[:8])
    policy_edit.rotate_key(levels[2], rules, key(1).public_key, until=keyring.parse_day("2030-01-01"))
    state = {rule.key.fingerprint: rule for rule in keyring.read_name_policy("example.com/x:1", levels).keys}
    assert set(state) == {fp(0), fp(1)}
    assert state[fp(0)].rejection_reason(keyring.parse_day("2030-01-01")) == "expired on 2030-01-01"
    assert state[fp(1)].rejection_reason(keyring.parse_day("2040-01-01")) == ""
    assert state[fp(1)].label == "ours"


def test_rules_are_found_by_the_start_of_a_fingerprint(levels: tuple[PolicyDirectory, ...]) -> None:
    with pytest.raises(UsageError, match="too short"):
        policy_edit.find_rules([], "abc")
    with pytest.raises(TrustError, match="no rule for key"):
        policy_edit.find_rules([], "0" * 64)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("0" * 64, None, "not the fingerprint"),
        ("", b"garbage", "cannot read"),
        ("threshold", b"many", "not a number"),
        ("threshold", b"0", "not a number"),
    ],
)
def test_a_malformed_rule_is_an_error(
    levels: tuple[PolicyDirectory, ...], name: str, content: bytes | None, message: str
) -> None:
    folder = levels[1].path / "prefix.d" / "example.com"
    folder.mkdir(parents=True)
    (folder / (name or fp(0))).write_bytes(key(0).public_key.pem() if content is None else content)
    with pytest.raises(PumiceError, match=message):
        keyring.read_name_policy("example.com/x:1", levels)
    assert keyring.read_name_policy("example.org/x:1", levels).keys == ()


@pytest.mark.parametrize("prefix", ["", "/", "a//b", "../x", "a/", "a b", "x\0"])
def test_invalid_prefixes_are_refused(levels: tuple[PolicyDirectory, ...], prefix: str) -> None:
    with pytest.raises(UsageError):
        policy_files.prefix_directory(prefix)


@given(st.text(max_size=60))
def test_no_name_leaves_the_policy_directory(tmp_path_factory: pytest.TempPathFactory, name: str) -> None:
    directories = (PolicyDirectory("user", tmp_path_factory.getbasetemp() / "none"),)
    assert keyring.read_name_policy(name, directories).keys == ()


def test_the_exported_policy_has_the_rules(levels: tuple[PolicyDirectory, ...]) -> None:
    import json

    policy_edit.add_key(levels[2], key(0).public_key, "example.com")
    policy_edit.add_key(levels[2], key(1).public_key, "example.com/apps")
    policy_edit.add_key(levels[2], key(2).public_key, "example.com/old", expires=7)
    rules = keyring.read_rules(levels)
    policy = json.loads(export.containers_policy(rules, {}, {}, now=8))
    assert policy["default"] == [{"type": "reject"}]
    scopes = policy["transports"]["docker"]
    assert set(scopes) == {"example.com", "example.com/apps"}
    assert len(scopes["example.com/apps"][0]["keyDatas"]) == 2
    with pytest.raises(TrustError, match="cannot export the threshold"):
        export.containers_policy(rules, {"example.com": 2}, {}, now=8)
    assert b"use-sigstore-attachments" in export.registries_config(rules, {})
