from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import FormatError, PumiceError
from pumice.formats import relations
from pumice.formats.relations import Relation

R = Relation

CASES: dict[str, tuple[relations.Group, ...]] = {
    "": (),
    "libc6": ((R("libc6"),),),
    " libc6 ,\n libgcc-s1 (>= 3.0) ,": ((R("libc6"),), (R("libgcc-s1", ">=", "3.0"),)),
    "usrmerge | usr-is-merged (>= 38~)": ((R("usrmerge"), R("usr-is-merged", ">=", "38~")),),
    "python3:any (>= 3.11~)": ((R("python3", ">=", "3.11~", "any"),),),
    "a(<<1)|b( = 2:3-4 )": ((R("a", "<<", "1"), R("b", "=", "2:3-4")),),
    "old (< 1), new (> 2)": ((R("old", "<=", "1"),), (R("new", ">=", "2"),)),
    "x [amd64 arm64] <!nocheck> <cross>": ((R("x", architectures=("amd64", "arm64")),),),
    "x:amd64 (>> 1) [!i386] <!stage1 !nodoc>": ((R("x", ">>", "1", "amd64", ("!i386",)),),),
    "libstdc++-12-dev": ((R("libstdc++-12-dev"),),),
}
MALFORMED = [
    "a b",
    "a (1)",
    "a (>= )",
    "a (>= 1",
    "a | ",
    "| a",
    "(>= 1)",
    "a (>= 1) (<< 2)",
    "a:(=1)",
    "é",
    "a []]",
    "-a",
    "a (>= 1 2)",
]

names = st.from_regex(r"[a-z0-9][a-z0-9+.-]{0,12}", fullmatch=True)
plain = st.builds(
    Relation,
    names,
    st.sampled_from(["<<", "<=", "=", ">=", ">>"]),
    st.from_regex(r"[0-9][a-z0-9.+~-]{0,6}", fullmatch=True),
    st.sampled_from(["", "any", "amd64"]),
)
fields = st.lists(
    st.lists(st.one_of(plain, st.builds(Relation, names)), min_size=1, max_size=4).map(tuple), max_size=5
)


@pytest.mark.parametrize("field", CASES)
def test_parses_relationship_fields(field: str) -> None:
    assert relations.parse_relations(field) == CASES[field]


@pytest.mark.parametrize("field", MALFORMED)
def test_refuses_malformed_fields(field: str) -> None:
    with pytest.raises(FormatError, match="is not a relationship"):
        relations.parse_relations(field)


@given(fields)
def test_fields_round_trip(groups: list[relations.Group]) -> None:
    assert relations.parse_relations(", ".join(relations.format_group(group) for group in groups)) == tuple(
        groups
    )


@given(st.one_of(st.text(), st.text(alphabet="ab1 |,()<>=:[]!\n\t", max_size=60)))
def test_any_text_returns_relations_or_raises_format_error(field: str) -> None:
    with contextlib.suppress(PumiceError):
        relations.parse_relations(field)


def test_long_white_space_is_parsed_in_linear_time() -> None:
    with pytest.raises(FormatError):
        relations.parse_relations("a" + " " * 200_000 + "!" + " " * 200_000 + "b")
    with pytest.raises(FormatError, match="1 MiB"):
        relations.parse_relations("a" * (1 << 20) + "b")


@pytest.mark.parametrize(
    ("words", "architecture", "expected"),
    [
        ("", "amd64", True),
        ("amd64", "amd64", True),
        ("amd64", "arm64", False),
        ("!amd64", "amd64", False),
        ("!amd64 !i386", "arm64", True),
        ("linux-any", "arm64", True),
        ("any-arm64", "arm64", True),
        ("any-arm64", "amd64", False),
    ],
)
def test_architecture_restrictions(words: str, architecture: str, expected: bool) -> None:
    assert relations.applies_to(Relation("x", architectures=tuple(words.split())), architecture) is expected


def test_flat_fields_and_formatting() -> None:
    assert [str(relation) for relation in relations.parse_flat_relations("a (= 1), b")] == ["a (= 1)", "b"]
    assert relations.format_group(relations.parse_relations("a:any (>= 1) | b")[0]) == "a:any (>= 1) | b"
    assert relations.is_package_name("g++-12")
    assert not relations.is_package_name("../x")
