"""Lists of what is about an image: durable, shared, and followed by gc."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from pumice.clock import FixedClock
from pumice.errors import StoreError
from pumice.formats import oci
from pumice.image import referrers
from pumice.store.garbage_collection import collect
from pumice.store.home import Home
from tests.support import images


def attach(
    home: Home, subject: oci.Descriptor, text: str, kind: str = "application/x-test"
) -> oci.Descriptor:
    descriptor = referrers.put_artifact(subject, text.encode(), kind, home.blobs, annotations={"n": text})
    home.referrers.add(subject.digest, [descriptor])
    return descriptor


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "store")


def test_referrers_are_sorted_by_digest(home: Home) -> None:
    image = images.make(home, [{"a": "a"}], name="example.com/a:1")
    first, second = attach(home, image.root, "one"), attach(home, image.root, "two")
    assert home.referrers.get(image.root.digest) == tuple(
        sorted((first, second), key=lambda each: each.digest)
    )
    assert Home(home.root).referrers.get(image.root.digest) == home.referrers.get(image.root.digest)
    home.referrers.remove(image.root.digest, [first.digest])
    assert home.referrers.get(image.root.digest) == (second,)


def test_one_kind_can_take_the_place_of_another(home: Home) -> None:
    image = images.make(home, [{"a": "a"}], name="example.com/a:1")
    attach(home, image.root, "old", "application/x-sbom")
    other_descriptor = attach(home, image.root, "signature")
    new = referrers.put_artifact(image.root, b"new", "application/x-sbom", home.blobs, annotations={})
    home.referrers.add(
        image.root.digest, [new], is_replaced=lambda each: each.artifact_type == "application/x-sbom"
    )
    assert {descriptor.digest for descriptor in home.referrers.get(image.root.digest)} == {
        other_descriptor.digest,
        new.digest,
    }


@pytest.mark.concurrency
def test_threads_lose_nothing(home: Home) -> None:
    image = images.make(home, [{"a": "a"}], name="example.com/a:1")
    threads = [threading.Thread(target=attach, args=(home, image.root, f"n{number}")) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(home.referrers.get(image.root.digest)) == 12


def test_collection_keeps_referrers_of_kept_blobs_recursively(home: Home) -> None:
    image = images.make(home, [{"a": "a"}], name="example.com/a:1")
    sbom = attach(home, image.root, "sbom")
    attach(home, sbom, "signature of the sbom")
    blobs = set(home.blobs.digests())
    collect(home, FixedClock(1 << 40), keep_days=None)
    assert set(home.blobs.digests()) == blobs
    home.refs.remove("example.com/a:1")
    collect(home, FixedClock(1 << 40), keep_days=None)
    assert list(home.blobs.digests()) == []
    assert list(home.referrers.subjects()) == []


def test_a_damaged_list_is_a_sentence_and_stops_gc(home: Home) -> None:
    image = images.make(home, [{"a": "a"}], name="example.com/a:1")
    attach(home, image.root, "sbom")
    (path,) = (home.root / "referrers").iterdir()
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(StoreError, match="is damaged"):
        home.referrers.get(image.root.digest)
    with pytest.raises(StoreError, match="is damaged"):
        collect(home, FixedClock(1 << 40), keep_days=None)
