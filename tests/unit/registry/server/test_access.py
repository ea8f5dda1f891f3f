"""Who may do what, and what is said of a configuration that cannot be used."""

from __future__ import annotations

import base64

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import PumiceError
from pumice.registry.server import accessfiles
from pumice.registry.server.access import Access, Grants, Level, Policy, credentials, level

NAMES = st.from_regex(r"[ab]{1,2}(/[ab]{1,2}){0,3}", fullmatch=True)
USERS = st.sampled_from(["anonymous", "users", "alice", "bob"])
GRANTS = st.tuples(st.frozensets(USERS), st.frozensets(USERS)).map(lambda made: Grants(*made))
RULES = st.dictionaries(st.one_of(NAMES, st.just("")), GRANTS)
ANONYMOUS: st.SearchStrategy[Level] = st.sampled_from(["none", "read", "write"])
POLICIES = st.tuples(ANONYMOUS, RULES).map(lambda made: Policy(made[0], {"alice": b"", "bob": b""}, made[1]))


@given(POLICIES, NAMES)
def test_a_password_never_takes_a_right_away(policy: Policy, name: str) -> None:
    for user in ("alice", "bob"):
        assert level(policy, user, name) >= level(policy, "", name)


@given(POLICIES, NAMES, GRANTS)
def test_a_rule_is_for_its_prefix_and_below_only(policy: Policy, name: str, grants: Grants) -> None:
    changed = Policy(policy.anonymous, policy.passwords, {**policy.rules, "zz": grants})
    for user in ("", "alice"):
        assert level(changed, user, name) == level(policy, user, name)
        assert level(changed, user, "zzz/" + name) == level(policy, user, "zzz/" + name)
        own = Policy(policy.anonymous, policy.passwords, {"zz": grants})
        assert level(changed, user, "zz/" + name) == level(own, user, "zz/x")


@given(st.text())
def test_whatever_the_header_is_it_is_credentials_or_none(text: str) -> None:
    found = credentials("Basic " + text)
    assert found is None or isinstance(found[1], bytes)
    assert credentials(text) is None or text.lower().startswith("basic ")


def header(user: str, password: bytes) -> str:
    return "Basic " + base64.b64encode(user.encode() + b":" + password).decode()


def test_a_password_is_checked_once() -> None:
    stored = bcrypt.hashpw(b"right", bcrypt.gensalt(4))
    access = Access(Policy("read", {"alice": stored}), b"secret")
    for authorization, user in (
        (header("alice", b"right"), "alice"),
        (header("alice", b"wrong"), None),
        (header("nobody", b"right"), None),
        (header("alice", b"x" * 500), None),
        ("Bearer token", None),
        ("Basic !", None),
    ):
        assert access.known(authorization) == (False, None)
        assert access.check(authorization) == user
        assert access.known(authorization) == (True, user)
    assert access.known(None) == (True, "")
    assert access.known(header("", b"")) == (True, "")


@given(st.binary())
def test_whatever_the_files_are_they_are_read_or_refused(data: bytes) -> None:
    for read in (lambda: accessfiles.passwords(data, "f"), lambda: accessfiles.rules(data, "f", ["alice"])):
        try:
            read()
        except PumiceError as error:
            assert str(error).startswith("f")


def test_rules_are_read() -> None:
    text = b'"*": {read: [users]}\nteam/app:\n  read: [anonymous]\n  write: [alice]\n'
    assert accessfiles.rules(text, "f", ["alice"]) == {
        "": Grants(frozenset({"users"})),
        "team/app": Grants(frozenset({"anonymous"}), frozenset({"alice"})),
    }


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"x", b"a: {read: alice}", b"a: {read: [[x]]}", b"a/: {}", b"a: 1"]
)
def test_rules_that_make_no_sense_are_refused(text: bytes) -> None:
    with pytest.raises(accessfiles.AccessError):
        accessfiles.rules(text, "f", ["alice"])
