"""Statements: canonical when written, strict when read."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import FormatError, PumiceError
from pumice.formats import intoto


def test_a_statement_is_read_back() -> None:
    data = intoto.statement([intoto.Subject({"sha256": "00"}, "x")], intoto.PROVENANCE, {"b": 1, "a": [2]})
    assert data == json.dumps(json.loads(data), separators=(",", ":"), sort_keys=True).encode()
    found = intoto.read(data)
    assert (found.subject[0].name, found.predicate_type, found.predicate) == (
        *("x", intoto.PROVENANCE),
        {"a": [2], "b": 1},
    )
    assert intoto.read(data.replace(b"/v1", b"/v0.1", 1)).type == intoto.OLD_STATEMENT


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"_type":"x","subject":[],"predicateType":"y"}', b"[" * 5000]
)
def test_anything_else_is_refused(data: bytes) -> None:
    with pytest.raises(FormatError, match="no in-toto statement"):
        intoto.read(data)


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    try:
        intoto.read(data)
    except PumiceError:
        pass
