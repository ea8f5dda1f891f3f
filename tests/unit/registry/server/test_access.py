"""Access control and its configuration files."""

from __future__ import annotations

import base64

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import PumiceError
from pumice.registry.server.access import Access, Grants, Level, Policy, access_level, parse_credentials
from pumice.registry.server.access_files import AccessError, parse_passwords, parse_rules

NAMES = st.from_regex(r"[ab]{1,2}(/[ab]{1,2}){0,3}", fullmatch=True)
USERS = st.sampled_from(["anonymous", "users", "alice", "bob"])
GRANTS = st.tuples(st.frozensets(USERS), st.frozensets(USERS)).map(lambda names: Grants(*names))
RULES = st.dictionaries(st.one_of(NAMES, st.just("")), GRANTS)
ANONYMOUS: st.SearchStrategy[Level] = st.sampled_from(["none", "read", "write"])
POLICIES = st.tuples(ANONYMOUS, RULES).map(
    lambda drawn: Policy(drawn[0], {"alice": b"", "bob": b""}, drawn[1])
)


@given(POLICIES, NAMES)
def test_a_password_never_takes_a_right_away(policy: Policy, name: str) -> None:
    for user in ("alice", "bob"):
        assert access_level(policy, user, name) >= access_level(policy, "", name)


@given(POLICIES, NAMES, GRANTS)
def test_a_rule_applies_to_its_prefix_and_below_only(policy: Policy, name: str, grants: Grants) -> None:
    changed = Policy(policy.anonymous, policy.passwords, {**policy.rules, "zz": grants})
    for user in ("", "alice"):
        assert access_level(changed, user, name) == access_level(policy, user, name)
        assert access_level(changed, user, "zzz/" + name) == access_level(policy, user, "zzz/" + name)
        own = Policy(policy.anonymous, policy.passwords, {"zz": grants})
        assert access_level(changed, user, "zz/" + name) == access_level(own, user, "zz/x")


@given(st.text())
def test_any_header_has_credentials_or_none(text: str) -> None:
    credentials = parse_credentials("Basic " + text)
    assert credentials is None or isinstance(credentials[1], bytes)
    assert parse_credentials(text) is None or text.lower().startswith("basic ")


def header(user: str, password: bytes) -> str:
    return "Basic " + base64.b64encode(user.encode() + b":" + password).decode()


def test_a_password_is_checked_once() -> None:
    password_hash = bcrypt.hashpw(b"right", bcrypt.gensalt(4))
    access = Access(Policy("read", {"alice": password_hash}), b"secret")
    for authorization, user in (
        (header("alice", b"right"), "alice"),
        (header("alice", b"wrong"), None),
        (header("nobody", b"right"), None),
        (header("alice", b"x" * 500), None),
        ("Bearer token", None),
        ("Basic !", None),
    ):
        assert access.look_up(authorization) == (False, None)
        assert access.check_password(authorization) == user
        assert access.look_up(authorization) == (True, user)
    assert access.look_up(None) == (True, "")
    assert access.look_up(header("", b"")) == (True, "")


@given(st.binary())
def test_any_file_is_parsed_or_rejected_with_its_name(data: bytes) -> None:
    for parse in (lambda: parse_passwords(data, "f"), lambda: parse_rules(data, "f", ["alice"])):
        try:
            parse()
        except PumiceError as error:
            assert str(error).startswith("f")


def test_rules_are_parsed() -> None:
    text = b'"*": {read: [users]}\nteam/app:\n  read: [anonymous]\n  write: [alice]\n'
    assert parse_rules(text, "f", ["alice"]) == {
        "": Grants(frozenset({"users"})),
        "team/app": Grants(frozenset({"anonymous"}), frozenset({"alice"})),
    }


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"x", b"a: {read: alice}", b"a: {read: [[x]]}", b"a/: {}", b"a: 1"]
)
def test_invalid_rules_are_rejected(text: bytes) -> None:
    with pytest.raises(AccessError):
        parse_rules(text, "f", ["alice"])
