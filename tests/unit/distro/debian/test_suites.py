"""Several indexes look like one to the resolver."""

from __future__ import annotations

from pumice.distro.debian.suites import SuiteUniverse
from pumice.formats import aptindex
from pumice.formats.aptindex import Index


def index(suite: str, *packages: str) -> Index:
    """Make an index out of ``NAME VERSION ARCHITECTURE HASH [PROVIDES]`` lines."""
    texts = []
    for line in packages:
        name, version, architecture, letter, *provides = line.split()
        texts.append(
            f"Package: {name}\nVersion: {version}\nArchitecture: {architecture}\n"
            f"Filename: {name}.deb\nSize: 1\nSHA256: {letter * 64}\nProvides: {' '.join(provides)}\n"
            + ("Essential: yes\n" if name.startswith("base") else "")
        )
    data = "\n".join(texts).encode()
    return Index(data, aptindex.scan_index(data), suite)


def test_versions_are_newest_first_in_debians_order() -> None:
    universe = SuiteUniverse(
        "amd64",
        [index("a", "xx 1.9 amd64 1", "xx 1.10~rc1 amd64 2"), index("b", "xx 1.10 amd64 3", "xx 1:0 all 4")],
    )
    assert [record.version for record in universe.versions("xx")] == ["1:0", "1.10", "1.10~rc1", "1.9"]


def test_a_package_in_two_suites_is_taken_from_the_first() -> None:
    universe = SuiteUniverse(
        "amd64", [index("a", "xx 1 amd64 1"), index("b", "xx 1 amd64 1", "xx 1 amd64 2")]
    )
    assert [(record.suite, record.sha256[0]) for record in universe.versions("xx")] == [
        ("a", "1"),
        ("b", "2"),
    ]


def test_other_architectures_are_omitted() -> None:
    universe = SuiteUniverse("arm64", [index("a", "xx 1 amd64 1", "yy 1 arm64 1", "zz 1 all 1")])
    assert [bool(universe.versions(name)) for name in ("xx", "yy", "zz")] == [False, True, True]


def test_providers_are_sorted_by_name_then_newest_first() -> None:
    universe = SuiteUniverse(
        "amd64", [index("a", "pp 1 amd64 1 mail", "oo 2 amd64 2 mail"), index("b", "oo 10 amd64 3 mail")]
    )
    assert [(record.name, record.version) for record in universe.providers("mail")] == [
        ("oo", "10"), ("oo", "2"), ("pp", "1"),
    ]  # fmt: skip


def test_essential_returns_the_newest_of_each() -> None:
    universe = SuiteUniverse(
        "amd64", [index("a", "base-x 1 amd64 1", "base-a 1 all 2"), index("b", "base-x 2 amd64 3")]
    )
    assert [(record.name, record.version) for record in universe.essential()] == [
        ("base-a", "1"),
        ("base-x", "2"),
    ]


def test_names_are_sorted_and_unique() -> None:
    universe = SuiteUniverse(
        "amd64", [index("a", "yy 1 amd64 1", "xx 1 amd64 1"), index("b", "xx 2 amd64 1")]
    )
    assert list(universe.names()) == ["xx", "yy"]
