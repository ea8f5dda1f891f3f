"""An index is searched: what a look-up finds is what reading all of it would find."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pumice.errors import FormatError, PumiceError
from pumice.formats import aptindex, deb822

HASH = "0123456789abcdef" * 4


def stanza(name: str, version: str = "1.0", **fields: str) -> str:
    """Return the text of one stanza, ``_`` standing for ``-`` in names of fields."""
    basic = {
        "Package": name,
        "Version": version,
        "Architecture": "amd64",
        "Filename": f"pool/{name}.deb",
        "Size": "7",
        "SHA256": HASH,
    }
    basic.update({key.replace("_", "-"): value for key, value in fields.items()})
    return deb822.format_paragraph({key: value for key, value in basic.items() if value})


def open_index(*stanzas: str) -> aptindex.Index:
    data = "\n".join(stanzas).encode()
    return aptindex.Index(
        data, aptindex.read_table(aptindex.encode_table(aptindex.scan_index(data))), "debian/bookworm"
    )


def test_reads_all_fields_of_a_stanza() -> None:
    (record,) = open_index(
        stanza(
            "libc6", "2.36-9", Source="glibc (2.36-8)", Depends="libgcc-s1,\n libcrypt1", Multi_Arch="same",
            Essential="yes", Installed_Size="12", SHA512="f" * 128, Provides="libc6-2.36", Section="libs",
        )
    ).versions("libc6")  # fmt: skip
    assert record == aptindex.PackageRecord(
        "libc6", "2.36-9", "amd64", "glibc", "2.36-8", "pool/libc6.deb", 7, HASH, "f" * 128, 12, "same",
        essential=True, section="libs", depends="libgcc-s1, libcrypt1", provides="libc6-2.36",
        suite="debian/bookworm",
    )  # fmt: skip


def test_source_defaults_to_the_package_itself() -> None:
    (record,) = open_index(stanza("hello", "2.10-3")).versions("hello")
    assert (record.source, record.source_version) == ("hello", "2.10-3")
    (record,) = open_index(stanza("hello", "2.10-3", Source="greet")).versions("hello")
    assert (record.source, record.source_version) == ("greet", "2.10-3")


def test_finds_first_last_duplicate_and_unsorted_names() -> None:
    index = open_index(
        stanza("zzz"), stanza("twice", "1"), stanza("aaa"), stanza("twice", "2"), stanza("mmm")
    )
    assert [record.version for record in index.versions("twice")] == ["1", "2"]
    assert list(index.names()) == ["aaa", "mmm", "twice", "zzz"]
    for name in index.names():
        assert index.versions(name)[0].name == name
    assert index.versions("twi") == []
    assert index.versions("twice1") == []


def test_finds_providers() -> None:
    index = open_index(
        stanza("bb", Provides="mail, x (= 1.0), y:any"),
        stanza("aa", Provides="mail"),
        stanza("cc", Provides="mailer"),
        stanza("dd", Provides="x(=2), x (= 3)"),
    )
    assert [record.name for record in index.providers("mail")] == ["bb", "aa"]
    assert [record.name for record in index.providers("x")] == ["bb", "dd"]
    assert [record.name for record in index.providers("y")] == ["bb"]
    assert index.providers("bb") == []


def test_finds_essential_packages() -> None:
    index = open_index(stanza("aa"), stanza("bb", Essential="yes"), stanza("cc", Essential="no"))
    assert [record.name for record in index.essential()] == ["bb"]


def test_continuation_lines_are_not_fields() -> None:
    index = open_index(stanza("aa", Description="x\n Package: evil\n Essential: yes\n Provides: evil"))
    assert list(index.names()) == ["aa"]
    assert index.providers("evil") == []
    assert index.essential() == []


def test_the_package_field_need_not_be_first() -> None:
    index = open_index("Architecture: all\nPackage: aa\nVersion: 1\nSize: 1\nFilename: a.deb\n", stanza("bb"))
    assert index.versions("aa")[0].architecture == "all"


def test_an_empty_index_has_no_packages() -> None:
    index = open_index("")
    assert list(index.names()) == []
    assert index.versions("a") == index.providers("a") == index.essential() == []


@pytest.mark.parametrize(
    "fields",
    [
        {"Version": ""},
        {"Version": "1 0"},
        {"Version": "../1"},
        {"Package": "Upper"},
        {"Package": "a/b"},
        {"Architecture": ""},
        {"Architecture": "../x"},
        {"Filename": ""},
        {"Filename": "/etc/passwd"},
        {"Filename": "pool/../../x"},
        {"Filename": "pool//x"},
        {"Filename": "pool/a\\b"},
        {"Filename": "pool/\u202ex"},
        {"Size": "-1"},
        {"Size": "1e9"},
        {"Size": "\u0663"},
        {"Size": "9" * 16},
        {"SHA256": "abc"},
        {"SHA256": HASH.upper()},
        {"SHA512": HASH},
        {"Source": "a (1"},
    ],
)
def test_refuses_malformed_stanzas(fields: dict[str, str]) -> None:
    with pytest.raises(FormatError):
        aptindex.read_stanza(stanza("ab", **fields).encode())


@pytest.mark.parametrize(
    ("text", "kibibytes"),
    [("12", 12), ("12.5", 12), ("", 0), ("-1", 0), ("many", 0), ("1e3", 1), ("\u0663", 0), ("9" * 16, 0)],
)
def test_an_installed_size_is_its_leading_number_or_0(text: str, kibibytes: int) -> None:
    record = aptindex.read_stanza(stanza("ab", Installed_Size=text).encode())
    assert record.installed_size == kibibytes


def test_a_leading_dot_in_a_path_is_dropped() -> None:
    assert aptindex.read_stanza(stanza("ab", Filename="./x.deb").encode()).filename == "x.deb"


def test_refuses_a_damaged_table() -> None:
    data = stanza("a").encode()
    table = aptindex.encode_table(aptindex.scan_index(data))
    for damaged in (b"", table[:20], table[:-1], table + b"\0" * 4, bytes([table[0] ^ 1]) + table[1:],
                    table[:-1] + bytes([table[-1] ^ 1])):  # fmt: skip
        with pytest.raises(FormatError):
            aptindex.read_table(damaged)
    with pytest.raises(FormatError):
        aptindex.Index(data + b"\n", aptindex.read_table(table))


NAMES = st.from_regex("[a-c][a-c+.]{1,2}", fullmatch=True)
STANZAS = st.lists(st.tuples(NAMES, st.lists(NAMES, max_size=3), st.booleans()), max_size=12)


@given(STANZAS)
def test_searching_agrees_with_parsing(stanzas: list[tuple[str, list[str], bool]]) -> None:
    texts = [
        stanza(name, Provides=", ".join(provides), Essential="yes" if essential else "")
        for name, provides, essential in stanzas
    ]
    index = open_index(*texts)
    records = [aptindex.read_stanza(text.encode(), "debian/bookworm") for text in texts]
    assert list(index.names()) == sorted({record.name for record in records})
    assert index.essential() == [record for record in records if record.essential]
    for name in {
        "aa",
        *(name for name, _, _ in stanzas),
        *(stanza_item for _, stanza_items, _ in stanzas for stanza_item in stanza_items),
    }:
        assert index.versions(name) == [record for record in records if record.name == name]
        provided = [record for record in records if name in record.provides.split(", ")]
        assert index.providers(name) == provided


FRAGMENTS = st.lists(
    st.sampled_from(
        ["Package: a", "Provides: a, b", "Essential: yes", "\n", "\n\n", ":", " ", "Version: 1", "é"]
    )
)


@settings(max_examples=300)
@given(st.binary() | FRAGMENTS.map("".join).map(str.encode) | FRAGMENTS.map("\n".join).map(str.encode))
def test_any_bytes_can_be_searched(data: bytes) -> None:
    index = aptindex.Index(data, aptindex.scan_index(data), "x")
    names = list(index.names())
    try:
        index.essential()
        for name in [*names, "a", "b", ""]:
            index.versions(name)
            index.providers(name)
    except PumiceError:
        pass


@given(st.binary())
def test_any_bytes_return_a_table_or_raise_format_error(data: bytes) -> None:
    try:
        aptindex.read_table(data)
    except PumiceError:
        pass
