from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pumice.digest import of
from pumice.errors import StoreError, UsageError
from pumice.formats import oci
from pumice.store.home import Home

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

ONE = oci.Descriptor(oci.MANIFEST, of(b"one"), 3, {"a": "b"}, oci.Platform("arm64", variant="v8"))
TWO = oci.Descriptor(oci.INDEX, of(b"two"), 3)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home(tmp_path / "store") as home:
        yield home


def test_reference_returns_the_descriptor_that_was_set(home: Home) -> None:
    assert home.refs.get("a:1") is None
    home.refs.set("a:1", ONE)
    home.refs.set("example.com/A:1", TWO)
    assert home.refs.get("a:1") == ONE
    assert home.refs.all() == {"a:1": ONE, "example.com/A:1": TWO}
    assert home.refs.names() == ["a:1", "example.com/A:1"]
    home.refs.set("a:1", TWO)
    assert home.refs.get("a:1") == TWO


def test_a_name_can_be_forgotten(home: Home) -> None:
    home.refs.set("a:1", ONE)
    assert home.refs.remove("a:1")
    assert not home.refs.remove("a:1")
    assert home.refs.get("a:1") is None


def test_encoded_names_never_leave_their_directory(home: Home) -> None:
    for name in ("../../x:1", "/etc/passwd:1", "a:../../b", "a:.."):
        for attempt in (home.refs.get, home.refs.remove):
            with pytest.raises(UsageError):
                attempt(name)
        with pytest.raises(UsageError):
            home.refs.set(name, ONE)


@pytest.mark.parametrize("content", [b"", b"{}", b"\0" * 100, b"\xff" * 500])
def test_damaged_reference_is_reported_and_can_be_removed(home: Home, content: bytes) -> None:
    home.refs.set("a:1", ONE)
    path = home.root / "refs" / "a%3a1"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="the store's reference a:1 is damaged") as caught:
        home.refs.get("a:1")
    assert caught.value.hint == "remove it with 'pumice rm a:1'"
    with pytest.raises(StoreError):
        home.refs.all()
    assert home.refs.remove("a:1")
    assert home.refs.all() == {}


def test_foreign_files_are_no_names(home: Home) -> None:
    home.refs.set("a:1", ONE)
    (home.root / "refs" / "README").write_text("")
    (home.root / "refs" / "a%3").write_text("")
    assert home.refs.names() == ["a:1"]
