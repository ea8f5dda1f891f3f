"""Composed layers: their content as other tools read it, and the cache of their digests."""

from __future__ import annotations

import gzip as stdlib_gzip
import io
import tarfile
from pathlib import Path

import pytest

from pumice import digest
from pumice.errors import ImageError
from pumice.formats.tar import Entry
from pumice.packing import compose, package_cutter
from pumice.packing.compose import LayerCache, LayerChunk, LayerEntry
from pumice.packing.layer_plan import LayerDigests
from pumice.packing.selection import Selection
from pumice.packing.tree import Node
from pumice.store.home import Home
from tests.support.deb import Deb, folder, hardlink, text


class _MemoryCache:
    """A cache of layer digests in memory."""

    def __init__(self) -> None:
        self.layers: dict[str, LayerDigests] = {}

    def cache(self) -> LayerCache:
        return LayerCache(self.layers.get, self.layers.__setitem__)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "store")


def _cut_chunk(home: Home, package: Deb) -> LayerChunk:
    selection = Selection(includes_dpkg_info=False)
    return compose.segment_chunk(
        package_cutter.cut_segment(io.BytesIO(package.build()), selection, home.blobs)
    )


def _members(home: Home, layer: LayerDigests) -> list[tarfile.TarInfo]:
    with home.blobs.open(layer.digest) as file:
        packed = file.read()
    assert digest.of(packed) == layer.digest
    assert len(packed) == layer.size
    content = stdlib_gzip.decompress(packed)
    assert digest.of(content) == layer.diff_id
    assert len(content) == layer.tar_size
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return archive.getmembers()


_A = Deb("a", files=[text("usr/a", "A"), hardlink("usr/a2", "usr/a"), folder("var/lib/a", 0o700)], mtime=50)
_B = Deb("b", files=[text("usr/b", "B"), text("etc/b", "b")])


def test_a_layer_has_each_directory_once_before_its_content(home: Home) -> None:
    nodes = {"var/lib/a": Node(Entry("var/lib/a", "dir", 0o750, 33, 33))}
    chunks = [_cut_chunk(home, _A), _cut_chunk(home, _B)]
    members = _members(home, compose.compose_layer(chunks, nodes, home.blobs, _MemoryCache().cache()))
    paths = [member.name for member in members]
    directories = [".", "etc", "usr", "var", "var/lib", "var/lib/a"]
    assert paths == [*directories, "usr/a", "usr/a2", "usr/b", "etc/b"]
    private = next(member for member in members if member.name == "var/lib/a")
    assert (private.mode, private.uid, private.gid) == (0o750, 33, 33)


def test_a_directory_has_the_newest_time_within_its_layer(home: Home) -> None:
    young = Deb("young", files=[folder("usr", mtime=2000)], parents=False)
    old_package = Deb("old", files=[folder("usr", mtime=1000)], parents=False)
    chunks = [_cut_chunk(home, young), _cut_chunk(home, old_package)]
    members = _members(home, compose.compose_layer(chunks, {}, home.blobs, _MemoryCache().cache()))
    assert [member.mtime for member in members if member.name == "usr"] == [2000]


def test_a_cached_layer_is_not_read_again(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    memory = _MemoryCache()
    chunks = [_cut_chunk(home, _A), _cut_chunk(home, _B)]
    first = compose.compose_layer(chunks, {}, home.blobs, memory.cache())
    monkeypatch.delattr(type(home.blobs), "open")
    assert compose.compose_layer(chunks, {}, home.blobs, memory.cache()) == first


def test_a_segment_with_its_own_layer_composes_a_layer(home: Home) -> None:
    segment = package_cutter.cut_segment(
        io.BytesIO(_A.build()), Selection(includes_dpkg_info=False, has_own_layer=True), home.blobs
    )
    members = _members(home, compose.compose_own_layer(segment, home.blobs))
    assert [member.name for member in members] == [
        ".",
        "usr",
        "usr/a",
        "usr/a2",
        "var",
        "var/lib",
        "var/lib/a",
    ]


def test_a_chunk_is_sorted_with_hard_links_after_their_targets(home: Home, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"from a file")
    chunk = compose.write_chunk(
        [
            LayerEntry(entry=Entry("z", "file", 0o644), content=source),
            LayerEntry(entry=Entry("a", "hardlink", 0o644, link="z")),
            LayerEntry(entry=Entry("b", "symlink", 0o777, link="z")),
            LayerEntry(entry=Entry("d", "dir", 0o700)),
        ],
        home.blobs,
    )
    members = _members(home, compose.compose_layer([chunk], {}, home.blobs, _MemoryCache().cache()))
    assert [member.name for member in members] == [".", "d", "b", "z", "a"]


def test_a_file_that_changed_since_its_digest_is_refused(home: Home, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"after")
    entry = LayerEntry(entry=Entry("x", "file", 0o644), content=source, sha256="0" * 64)
    with pytest.raises(ImageError, match="changed while the image was built"):
        compose.write_chunk([entry], home.blobs)


def test_a_missing_file_is_an_error(home: Home, tmp_path: Path) -> None:
    entry = LayerEntry(entry=Entry("x", "file", 0o644), content=tmp_path / "gone")
    with pytest.raises(ImageError, match="cannot read the file"):
        compose.write_chunk([entry], home.blobs)
