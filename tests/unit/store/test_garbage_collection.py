from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec
import pytest

from pumice.clock import FixedClock
from pumice.digest import hex_of, of
from pumice.errors import StoreError
from pumice.formats import oci
from pumice.progress import Silent
from pumice.store import garbage_collection
from pumice.store.home import Home
from pumice.store.reachability import find_reachable
from pumice.store.verification import verify
from tests.support.store_workload import make_image, put

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor

DAY = 86_400
NOW = FixedClock(1_000 * DAY)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home(tmp_path / "store") as home:
        yield home


def age(home: Home, days: int) -> None:
    """Let everything in the store look ``days`` days old."""
    for folder in ("blobs/sha256", "composed", "records"):
        for path in (home.root / folder).rglob("*"):
            os.utime(path, (NOW.now() - days * DAY,) * 2)


def needed_blobs(home: Home, root: Descriptor) -> set[Digest]:
    return set(find_reachable([root], home.blobs))


def test_everything_of_an_image_stays(home: Home) -> None:
    image = make_image(home, [[b"one", b"two"], [b"three"]])
    stray = put(home.blobs, b"stray")
    home.refs.set("a:1", image)
    collection = garbage_collection.collect(home, NOW, keep_days=None)
    assert (collection.blobs, collection.freed) == (1, 5)
    assert stray not in set(home.blobs.digests())
    assert set(home.blobs.digests()) == needed_blobs(home, image)
    assert verify(home, Silent()).is_sound()


def test_descriptors_are_followed_in_indexes_subjects_and_unknown_documents(home: Home) -> None:
    image = make_image(home, [[b"one"]])
    strange = put(home.blobs, b"strange content")
    document = msgspec.json.encode(
        {
            "mediaType": "application/vnd.example.later+json",
            "nested": [{"deep": {"mediaType": "text/plain", "digest": strange, "size": 15}}],
            "foreign": {"mediaType": "text/plain", "digest": "sha512:" + "0" * 128, "size": 1},
            "subject": msgspec.to_builtins(image),
        }
    )
    put(home.blobs, document)
    index = oci.encode_document(
        oci.make_index((oci.Descriptor("application/vnd.example.later+json", of(document), len(document)),))
    )
    put(home.blobs, index)
    home.refs.set("a:1", oci.make_descriptor(index, oci.INDEX))
    garbage_collection.collect(home, NOW, keep_days=None)
    assert {strange, of(document), of(index)} | needed_blobs(home, image) == set(home.blobs.digests())


def test_a_removed_image_is_cache_for_a_while(home: Home) -> None:
    home.refs.set("a:1", make_image(home, [[b"one"]]))
    home.refs.remove("a:1")
    age(home, 29)
    collection = garbage_collection.collect(home, NOW)
    assert collection.blobs == 0
    assert collection.cache > 0
    age(home, 31)
    assert garbage_collection.collect(home, NOW).blobs == 3
    assert list(home.blobs.digests()) == []


def test_a_young_record_keeps_its_blobs(home: Home) -> None:
    composed_digest = of(b"onetwo")
    home.blobs.compose([put(home.blobs, b"one"), put(home.blobs, b"two")], composed_digest)
    put(home.blobs, b"old")
    age(home, 40)
    home.records.put("segment", of(b"key"), b"value", [composed_digest])
    garbage_collection.collect(home, FixedClock(NOW.now()))
    assert set(home.blobs.digests()) == {of(b"one"), of(b"two"), composed_digest}
    assert home.records.get("segment", of(b"key")) == b"value"


def test_an_old_record_of_something_that_an_image_needs_stays(home: Home) -> None:
    home.refs.set("a:1", make_image(home, [[b"one"]]))
    index = put(home.blobs, b"what is in one")
    home.records.put("segment", of(b"key"), b"value", [of(b"one"), index])
    home.records.put("segment", of(b"stale"), b"value", [of(b"nothing")])
    age(home, 40)
    assert garbage_collection.collect(home, NOW).records == 1
    assert home.records.get("segment", of(b"key")) == b"value"
    assert home.blobs.size(index)


def test_without_a_cache_all_records_go(home: Home) -> None:
    home.refs.set("a:1", make_image(home, [[b"one"]]))
    home.records.put("segment", of(b"key"), b"value", [of(b"one"), put(home.blobs, b"beside")])
    collection = garbage_collection.collect(home, NOW, keep_days=None)
    assert (collection.records, collection.blobs, collection.cache) == (1, 1, 0)
    assert list(home.records.all()) == []


def test_a_damaged_record_goes(home: Home) -> None:
    home.records.put("segment", of(b"key"), b"value")
    (home.root / "records" / "segment" / hex_of(of(b"key"))).write_bytes(b"")
    assert garbage_collection.collect(home, NOW).records == 1


def test_a_dry_run_says_the_same_and_removes_nothing(home: Home) -> None:
    home.refs.set("a:1", make_image(home, [[b"one"]]))
    home.refs.remove("a:1")
    paths_before = sorted(home.root.rglob("*"))
    promised = garbage_collection.collect(home, NOW, keep_days=None, dry_run=True)
    assert sorted(home.root.rglob("*")) == paths_before
    assert garbage_collection.collect(home, NOW, keep_days=None) == promised


def test_a_damaged_reference_stops_it(home: Home) -> None:
    """What the reference needed is not known, so everything must stay."""
    home.refs.set("a:1", make_image(home, [[b"one"]]))
    (home.root / "refs" / "a%3a1").write_bytes(b"")
    digests_before = set(home.blobs.digests())
    with pytest.raises(StoreError, match="damaged"):
        garbage_collection.collect(home, NOW, keep_days=None)
    assert set(home.blobs.digests()) == digests_before


def test_collection_removes_leftovers_of_killed_processes(home: Home) -> None:
    scratch_folder = home.directory("tmp")
    (scratch_folder / "123-abc").write_bytes(b"half")
    (scratch_folder / "tree" / "locked").mkdir(parents=True)
    (scratch_folder / "tree" / "locked" / "file").write_bytes(b"x")
    (scratch_folder / "tree" / "locked").chmod(0o500)
    (scratch_folder / "link").symlink_to(home.root / "version")
    (home.root / ".version.77-0123456789abcdef").write_bytes(b"1")
    indexes = home.directory("indexes")
    (indexes / ".x.77-0123456789abcdef").write_bytes(b"1")
    (indexes / "kept").write_bytes(b"1")
    with home.lock("some"):
        pass
    collection = garbage_collection.collect(home, NOW)
    assert collection.freed >= 4 + 1 + 1 + 1
    assert not any(scratch_folder.iterdir())
    assert [path.name for path in indexes.iterdir()] == ["kept"]
    assert [path.name for path in (home.root / "locks").iterdir()] == ["gc"]
    assert not (home.root / ".version.77-0123456789abcdef").exists()
    assert (home.root / "version").exists()


def test_filters_of_system_calls_go_when_they_are_old(home: Home) -> None:
    filters = home.directory("seccomp")
    for name, days in (("old", 31), ("young", 29), (".young.77-0123456789abcdef", 29)):
        (filters / name).write_bytes(b"filter")
        os.utime(filters / name, (NOW.now() - days * DAY,) * 2)
    assert garbage_collection.collect(home, NOW, dry_run=True).freed == 12
    assert garbage_collection.collect(home, NOW).freed == 12
    assert [path.name for path in filters.iterdir()] == ["young"]
    garbage_collection.collect(home, NOW, keep_days=None)
    assert not any(filters.iterdir())


def test_collection_keeps_locked_directories_in_tmp(home: Home) -> None:
    fcntl = pytest.importorskip("fcntl")
    bundle = home.directory("tmp") / "bundle"
    bundle.mkdir()
    descriptor = os.open(bundle, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    garbage_collection.collect(home, NOW, keep_days=None)
    assert bundle.is_dir()
    os.close(descriptor)
    garbage_collection.collect(home, NOW, keep_days=None)
    assert not bundle.exists()


def test_compacting_the_stat_cache_drops_entries_of_removed_blobs(home: Home) -> None:
    home.refs.set("a:1", make_image(home, [[b"one"]]))
    for number in range(20):
        put(home.blobs, b"%d" % number)
    garbage_collection.collect(home, NOW, keep_days=None)
    lines = (home.root / "trust").read_text().splitlines()
    assert len(lines) == 3
    put(home.blobs, b"after")
    with Home(home.root) as other_home:
        assert other_home.blobs.size(of(b"after")) == 5
        assert all(other_home.blobs.size(digest) is not None for digest in home.blobs.digests())


def test_verify_finds_damaged_missing_and_misplaced_blobs(home: Home) -> None:
    home.refs.set("a:1", make_image(home, [[b"one"], [b"two"]]))
    home.refs.set("b:1", make_image(home, [[b"two"], [b"three"]]))
    home.refs.set("c:1", make_image(home, [[b"four"]]))
    home.records.put("segment", of(b"key"), b"value")
    (home.root / "records" / "segment" / hex_of(of(b"key"))).write_bytes(b"x")
    (home.root / "refs" / "c%3a1").write_bytes(b"x")
    path = home.root / "blobs" / "sha256" / hex_of(of(b"one"))
    path.chmod(0o644)
    path.write_bytes(b"One")
    home.blobs._stat_cache.record(path.name, path.stat())
    home.blobs.delete(of(b"three"))
    for repair in (False, True):
        findings = verify(home, Silent(), repair=repair)
        assert not findings.is_sound()
        assert findings.damaged == (of(b"one"),)
        assert findings.references == ("c:1",)
        assert findings.incomplete == {"a:1": (of(b"one"),), "b:1": (of(b"three"),)}
        assert findings.records == 1
    home.refs.remove("a:1")
    make_image(home, [[b"two"], [b"three"]])
    assert verify(home, Silent()).is_sound()
