"""apt's two kinds of source files, as sources.list(5) describes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import FormatError, PumiceError
from pumice.formats import aptsources
from pumice.formats.aptsources import SourceEntry


def test_reads_one_line_entries() -> None:
    entries = aptsources.read_list_file(
        b"""
# comment
deb http://mirror.example/debian bookworm main contrib # and a comment
deb-src http://mirror.example/debian bookworm main
deb [ arch=amd64,arm64 signed-by=/k.gpg trusted=yes lang=none ] https://x.example/ stable main
deb [check-valid-until=no] file:/srv/debian ./
""",
        where="s",
    )
    assert entries == [
        SourceEntry("http://mirror.example/debian", "bookworm", ("main", "contrib"), where="s:3"),
        SourceEntry(
            "https://x.example/", "stable", ("main",), architectures=("amd64", "arm64"),
            signed_by=("/k.gpg",), trusted=True, where="s:5",
        ),
        SourceEntry("file:/srv/debian", "./", check_valid_until=False, where="s:6"),
    ]  # fmt: skip


def test_deb822_entries_are_all_pairs_of_uris_and_suites() -> None:
    entries = aptsources.read_sources_file(
        b"""\
# several of everything
Types: deb deb-src
URIs: http://a.example http://b.example
Suites: one
 two
Components: main
Signed-By: /k.gpg
 ABCDEF
Check-Valid-Until: no
""",
        where="s",
    )
    assert [(entry.uri, entry.suite) for entry in entries] == [
        ("http://a.example", "one"), ("http://a.example", "two"),
        ("http://b.example", "one"), ("http://b.example", "two"),
    ]  # fmt: skip
    assert entries[0].signed_by == ("/k.gpg", "ABCDEF")
    assert entries[0].check_valid_until is False
    assert entries[0].trusted is None


@pytest.mark.parametrize("extra", ["Enabled: no", "Enabled: false"])
def test_disabled_entries_are_omitted(extra: str) -> None:
    text = f"Types: deb\nURIs: http://a.example\nSuites: x\nComponents: main\n{extra}\n"
    assert aptsources.read_sources_file(text.encode()) == []


def test_deb_src_entries_are_omitted() -> None:
    assert aptsources.read_sources_file(b"Types: deb-src\nURIs: u\nSuites: s\nComponents: main\n") == []


def test_an_embedded_key_is_unescaped() -> None:
    text = b"""\
Types: deb
URIs: u
Suites: s
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEXg==
 -----END PGP PUBLIC KEY BLOCK-----
"""
    (entry,) = aptsources.read_sources_file(text)
    assert entry.key == (
        "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmDMEXg==\n-----END PGP PUBLIC KEY BLOCK-----\n"
    )
    assert entry.signed_by == ()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"rpm http://x y z", "s:1: a source must start with deb or deb-src"),
        (b"deb http://x", "s:1: a source needs a URI and a suite"),
        (b"\ndeb http://x bookworm", "s:2: a suite needs at least one component: bookworm"),
        (b"deb http://x ./ main", "s:1: an exact path takes no components: ./"),
    ],
)
def test_errors_have_the_line_number(data: bytes, sentence: str) -> None:
    with pytest.raises(FormatError) as caught:
        aptsources.read_list_file(data, where="s")
    assert str(caught.value) == sentence


def test_a_paragraph_without_uris_is_refused() -> None:
    with pytest.raises(FormatError, match="no Uris"):
        aptsources.read_sources_file(b"Types: deb\nSuites: s\n", where="s")


WORDS = st.lists(
    st.sampled_from(
        [
            "deb",
            "[",
            "]",
            "=",
            ",",
            "#",
            "\n",
            "Types:",
            "URIs:",
            "Suites:",
            "deb-src",
            "a",
            "yes",
            "trusted=1",
            "-----BEGIN",
        ]
    )
)


@given(st.binary() | WORDS.map(" ".join).map(str.encode) | WORDS.map("\n".join).map(str.encode))
def test_any_bytes_return_entries_or_raise_format_error(data: bytes) -> None:
    for read in (aptsources.read_list_file, aptsources.read_sources_file):
        try:
            read(data, where="s")
        except PumiceError:
            pass
