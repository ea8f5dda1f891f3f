"""Several processes store and remove cached indexes in one directory."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pumice.fetch import index_cache
from pumice.formats import aptindex

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PACKAGES = (
    b"Package: a\nVersion: 1\nArchitecture: all\nFilename: a.deb\nSize: 1\nSHA256: " + b"0" * 64 + b"\n\n"
)
KEY = hashlib.sha256(PACKAGES).hexdigest()


def test_pruning_tolerates_a_temporary_file_that_its_writer_renames(tmp_path: Path) -> None:
    scratch = tmp_path / ".packages-x.1-0123456789abcdef"
    scratch.symlink_to("renamed")  # listed, and not there any more when it is looked at
    index_cache.remove_unused(tmp_path, now=2_000_000_000)
    assert scratch.is_symlink()


def test_an_index_that_another_process_removes_while_it_is_stored_is_not_cached(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = index_cache._write

    def write_and_prune(path: Path, data: bytes | bytearray) -> None:
        write(path, data)
        index_cache.remove_unused(tmp_path, now=0)  # no Release names it yet

    monkeypatch.setattr(index_cache, "_write", write_and_prune)
    index_cache.put_index(tmp_path, KEY, PACKAGES, aptindex.scan_index(PACKAGES))
    assert index_cache.get_index(tmp_path, KEY, "suite") is None
    monkeypatch.undo()
    index_cache.put_index(tmp_path, KEY, PACKAGES, aptindex.scan_index(PACKAGES))
    assert index_cache.get_index(tmp_path, KEY, "suite") is not None


def test_the_suites_that_have_a_package_are_found_in_the_cached_indexes(tmp_path: Path) -> None:
    hello = PACKAGES.replace(b"Package: a", b"Package: hello")
    tool = PACKAGES.replace(b"Package: a", b"Package: tool").replace(b": all", b": arm64")
    for suite, data in (("trixie", hello), ("forky", tool)):
        key = hashlib.sha256(data).hexdigest()
        index_cache.put_index(tmp_path, key, data, aptindex.scan_index(data))
        release = index_cache.CachedRelease("https://mirror.example/debian", suite, 0, b"", indexes=(key,))
        index_cache.put_release(tmp_path, release)
    (tmp_path / "release-damaged").write_bytes(b"x")
    assert index_cache.find_suites(tmp_path, "hello", "amd64") == ["trixie"]
    assert index_cache.find_suites(tmp_path, "tool", "amd64") == []
    assert index_cache.find_suites(tmp_path, "tool", "arm64") == ["forky"]
