"""Policies: what they forbid, and what they say when they are wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import PumiceError
from pumice.evidence import license_policy
from tests.support import evidence


def forbidden(expression: str, rules: str) -> list[str]:
    packages = [evidence.package("x", license=expression)]
    return [
        one.license
        for one in license_policy.find_violations(
            packages, license_policy.read_policy(rules.encode(), "policy.yaml")
        )
    ]


@pytest.mark.parametrize(
    ("expression", "rules", "found"),
    [
        ("MIT", "allow: [mit]", []),
        ("MIT", "deny: [GPL-*]", []),
        ("GPL-3.0-only", "deny: [GPL-*]", ["GPL-3.0-only"]),
        (
            "GPL-3.0-only WITH GCC-exception-3.1",
            "deny: [GPL-3.0-only]",
            ["GPL-3.0-only WITH GCC-exception-3.1"],
        ),
        ("MIT OR GPL-3.0-only", "deny: [GPL-*]", []),
        ("MIT AND GPL-3.0-only", "deny: [GPL-*]", ["GPL-3.0-only"]),
        ("MIT AND (Zlib OR GPL-3.0-only)", "deny: [GPL-*]", []),
        ("MIT", "allow: [Zlib]", ["MIT"]),
        ("MIT", "{allow: [MIT], deny: [M*]}", ["MIT"]),
        ("MIT", "{deny: [MIT], except: {x: [MIT]}}", []),
        ("MIT", "{deny: [MIT], except: {y: [MIT]}}", ["MIT"]),
        ("NOASSERTION", "allow: [MIT]", []),
        ("NOASSERTION", "unknown: deny", ["unknown"]),
    ],
)
def test_rules(expression: str, rules: str, found: list[str]) -> None:
    assert forbidden(expression, rules) == found


@pytest.mark.parametrize(
    "text", ["alow: [MIT]", "allow: MIT", "unknown: perhaps", "[", "allow: [MIT]\nallow: [Zlib]"]
)
def test_a_wrong_policy_is_a_sentence_with_a_place(text: str) -> None:
    with pytest.raises(PumiceError) as caught:
        license_policy.read_policy(text.encode(), "policy.yaml")
    assert (caught.value.where or "").startswith("policy.yaml")


@given(st.binary(max_size=200), st.text(alphabet="MIT ORANDWH()", max_size=40))
def test_any_bytes_are_a_policy_or_an_error(data: bytes, expression: str) -> None:
    try:
        rules = license_policy.read_policy(data, "policy.yaml")
    except PumiceError:
        rules = license_policy.Policy(deny=("M*",))
    license_policy.find_violations([evidence.package("x", license=expression)], rules)
