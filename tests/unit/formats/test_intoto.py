"""Statements: equal bytes when written, strict when read, whoever wrote them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice import digest
from pumice.errors import FormatError, PumiceError, UsageError
from pumice.formats import intoto

DIGEST = digest.of(b"")
SUBJECT = intoto.Subject("name:1", DIGEST)


def test_statements_round_trip() -> None:
    statement = intoto.Statement((SUBJECT,), intoto.PROVENANCE, intoto.encode_predicate({"b": 1.5, "a": [2]}))
    data = intoto.encode_statement(statement)
    assert data == json.dumps(json.loads(data), separators=(",", ":"), sort_keys=True).encode()
    decoded = intoto.read_statement(data)
    assert (decoded, decoded.predicate) == (statement, {"a": [2], "b": 1.5})


def test_reads_statements_with_any_white_space_and_key_order() -> None:
    statement = intoto.Statement((SUBJECT,), "https://example.com/x", b'{"a":1}')
    document = json.loads(intoto.encode_statement(statement))
    loose = json.dumps(dict(reversed(document.items())), indent=2).encode()
    assert intoto.read_statement(loose) == statement


def test_reads_statements_of_cosign() -> None:
    text = {
        "_type": intoto.V01,
        "subject": [{"name": "x", "digest": {"sha512": "00"}}, {"digest": {"sha256": DIGEST[7:]}}, 7],
        "predicateType": "p",
    }
    statement = intoto.read_statement(json.dumps(text).encode())
    assert (statement.subjects, statement.predicate) == ((intoto.Subject("", DIGEST),), None)


TWICE = intoto.encode_statement(intoto.Statement((SUBJECT,), "p:", b'1,"predicate":2'))
"""What somebody would write who wants two readers to see two predicates."""


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"_type":"x","subject":[],"predicateType":"y"}',
        b"[" * 5000,
        b'{"_type":"%b","predicate":1e999,"predicateType":"y","subject":[] }' % intoto.V1.encode(),
        TWICE,
        TWICE.replace(b'"predicate":1,', b"").replace(b'"predicate":', b'"predicate" :1,"predicate":'),
    ],
)
def test_refuses_other_documents(data: bytes) -> None:
    with pytest.raises(FormatError, match="not an in-toto statement"):
        intoto.read_statement(data)


def test_predicate_with_duplicate_keys_is_refused_when_decoded() -> None:
    statement = intoto.read_statement(
        intoto.encode_statement(intoto.Statement((SUBJECT,), "p:", b'{"a":1,"a":2}'))
    )
    with pytest.raises(FormatError, match="duplicate key"):
        _ = statement.predicate


@pytest.mark.parametrize("name", ["slsaprovenance1", "https://example.com/mine"])
def test_predicate_types_are_short_names_or_uris(name: str) -> None:
    assert intoto.parse_predicate_type(name).startswith("https://")


@pytest.mark.parametrize("name", ["", "mine", "a b:c", "a:\n"])
def test_refuses_other_predicate_types(name: str) -> None:
    with pytest.raises(UsageError, match="not a predicate type"):
        intoto.parse_predicate_type(name)


@given(st.binary(max_size=200))
def test_any_bytes_return_a_statement_or_raise_format_error(data: bytes) -> None:
    try:
        intoto.read_statement(data)
    except PumiceError:
        pass
