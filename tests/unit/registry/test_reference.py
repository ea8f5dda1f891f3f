"""References to images in registries: the grammar, its defaults and its errors."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import UsageError
from pumice.registry import reference
from pumice.registry.reference import Reference, Repository, parse_reference

A = "sha256:" + "a" * 64
B = "sha512:" + "0" * 128

_part = st.from_regex(r"[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,5}){0,2}", fullmatch=True)
_name = st.lists(_part, min_size=1, max_size=4).map("/".join)
_host = st.sampled_from(
    ["registry.example", "localhost", "localhost:5000", "127.0.0.1:1", "[::1]:5000", "A", "a.b:65535"]
)
_tag = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "host", "name", "tag", "digest"),
    [
        ("registry.example/app", "registry.example", "app", "latest", ""),
        ("registry.example:5000/team/app:1.0", "registry.example:5000", "team/app", "1.0", ""),
        ("docker://localhost/a/b__c:V_1", "localhost", "a/b__c", "V_1", ""),
        (f"registry.example/app@{A}", "registry.example", "app", "", A),
        (f"registry.example/app:1@{B}", "registry.example", "app", "1", B),
        ("debian", "docker.io", "library/debian", "latest", ""),
        ("docker://debian:12", "docker.io", "library/debian", "12", ""),
        ("team/app", "docker.io", "team/app", "latest", ""),
        ("docker.io/debian", "docker.io", "library/debian", "latest", ""),
        ("index.docker.io/team/app", "docker.io", "team/app", "latest", ""),
        ("[::1]:5000/app:1", "[::1]:5000", "app", "1", ""),
        ("Upper/app", "Upper", "app", "latest", ""),
    ],
)
def test_references_are_parsed(text: str, host: str, name: str, tag: str, digest: str) -> None:
    assert parse_reference(text) == Reference(Repository(host, name), tag, digest)


@pytest.mark.parametrize(
    "text",
    [
        *("", "/", ":", "@", "/app", "a//b", "a/", "a/B", "a.example/", "a.example/App", "a.example/a..b"),
        *("a.example/a:", "a.example/a:-x", "a.example/a:b:c", "a.example/a:" + "t" * 129, "a.example/a___b"),
        *("a.example/a@", "a.example/a@sha256:abc", f"a.example/a@{A}0", "a.example/a@md5:" + "0" * 32),
        *(
            "a.example/a@SHA256:" + "a" * 64,
            "a.example/a@sha256:" + "A" * 64,
            "a.example:0/a",
            "a.example:70000/a",
        ),
        *("-a.example/a", "a-.example/a", "a.example:x/a", "[::g]/a", "[]/a", "a.example/" + "a" * 250),
        *(
            "http://a.example/a",
            "a.example/../b",
            "a.example/a%2fb",
            "a.example/a b",
            "a.example/a\n",
            "ü.example/a",
        ),
        *(
            "user@a.example/a",
            "a.example/a?x",
            "a.example/a#x",
            "a.example/.a",
            "a.example/a.",
            "a.example/\u0660",
        ),
    ],
)
def test_malformed_references_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_reference(text)


@given(_host, _name, _tag, st.sampled_from(["", A, B]))
def test_a_formatted_reference_is_parsed_again(host: str, name: str, tag: str, digest: str) -> None:
    text = Reference(Repository(host, name), tag, digest)
    assert parse_reference(str(text)) == text
    assert parse_reference(f"docker://{text}") == text


@given(st.text(max_size=60) | st.text("abz019.:/@-_[]", max_size=40))
def test_any_text_is_a_reference_or_refused(text: str) -> None:
    try:
        reference = parse_reference(text)
    except UsageError:
        return
    assert parse_reference(str(reference)) == reference
    assert not set(reference.repository.name) & set(":@ %?#\\\n")


def test_the_fallback_tag_is_truncated_as_specified() -> None:
    assert reference.fallback_tag(A) == "sha256-" + "a" * 64
    assert reference.fallback_tag(B) == "sha512-" + "0" * 64
    assert reference.fallback_tag("a+b:" + "c" * 100) == "a-b-" + "c" * 64
