from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.digest import hex_of, of
from pumice.errors import FormatError
from pumice.store import sealed_files
from pumice.store.home import Home
from tests.support.store_workload import put

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEY = of(b"key")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home(tmp_path / "store") as home:
        yield home


def path_of(home: Home) -> Path:
    return home.root / "records" / "segment" / hex_of(KEY)


@pytest.mark.parametrize("value", [b"", b"value", b"\n", b"two\nlines\n", bytes(range(256)) * 1000])
def test_get_returns_the_value_that_was_put(home: Home, value: bytes) -> None:
    assert home.records.get("segment", KEY) is None
    home.records.put("segment", KEY, value, [of(b"a"), of(b"b")])
    assert home.records.get("segment", KEY) == value
    assert home.records.get("other", KEY) is None
    assert home.records.get("segment", of(b"other")) is None


def test_the_last_one_counts(home: Home) -> None:
    home.records.put("segment", KEY, b"old")
    home.records.put("segment", KEY, b"new")
    assert home.records.get("segment", KEY) == b"new"


@given(data=st.data())
def test_damaged_record_counts_as_missing(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    with Home(tmp_path_factory.mktemp("store")) as home:
        home.records.put("segment", KEY, b"value", [of(b"a")])
        path = path_of(home)
        content = path.read_bytes()
        spoiled = data.draw(
            st.one_of(
                st.integers(0, len(content) - 1).map(lambda size: content[:size]),
                st.integers(0, len(content) - 1).map(
                    lambda size: content[:size] + bytes(len(content) - size)
                ),
                st.binary(),
                st.integers(0, len(content) - 1).map(
                    lambda at: content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
                ),
            )
        )
        path.write_bytes(spoiled)
        assert home.records.get("segment", KEY) is None
        assert [record.kept_blobs for record in home.records.all()] == [()]
        home.records.put("segment", KEY, b"value")
        assert home.records.get("segment", KEY) == b"value"


def test_all_records_list_the_blobs_that_they_keep(home: Home) -> None:
    home.records.put("b", KEY, b"1", [of(b"x"), of(b"y")])
    home.records.put("a", KEY, b"2")
    assert [(record.path.split("/")[-2], record.kept_blobs) for record in home.records.all()] == [
        ("a", ()),
        ("b", (of(b"x"), of(b"y"))),
    ]


def test_using_a_record_keeps_it_young_to_the_day(home: Home) -> None:
    home.records.put("segment", KEY, b"value")
    os.utime(path_of(home), (1, 1))
    home.records.get("segment", KEY)
    assert path_of(home).stat().st_mtime > 1
    recent = path_of(home).stat().st_mtime - 3600
    os.utime(path_of(home), (recent, recent))
    home.records.get("segment", KEY)
    assert path_of(home).stat().st_mtime == recent


def test_its_blobs_are_safe_before_it_exists(home: Home) -> None:
    """The order itself is asserted by the durability tests; here: that it works with many."""
    digests = [put(home.blobs, b"%d" % number) for number in range(20)]
    home.records.put("segment", KEY, b"", digests)
    assert next(iter(home.records.all())).kept_blobs == tuple(digests)


@pytest.mark.parametrize("kind", ["", "..", "a/b", "A", "x" * 65])
def test_kinds_are_words(home: Home, kind: str) -> None:
    with pytest.raises(ValueError, match="not a kind of record"):
        home.records.get(kind, KEY)


def test_keys_are_digests(home: Home) -> None:
    with pytest.raises(FormatError):
        home.records.get("segment", "sha256:../x")
    with pytest.raises(FormatError):
        home.records.put("segment", KEY, b"", ["nonsense"])


@given(st.binary())
def test_sealing_is_undone_by_unsealing(data: bytes) -> None:
    assert sealed_files.unseal(sealed_files.seal(data)) == data


@given(st.binary())
def test_unseal_rejects_unsealed_data(data: bytes) -> None:
    assert sealed_files.unseal(data) is None
