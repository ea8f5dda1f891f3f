"""A registry's storage: what goes in comes out, in its repository only, and by no other path."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import FormatError, PumiceError, StoreError
from pumice.registry.server.check import check
from pumice.registry.server.storage.disk import blobs
from pumice.registry.server.storage.disk import paths as names
from pumice.registry.server.storage.disk.cache import Cache
from pumice.registry.server.storage.disk.storage import (
    DigestMismatch,
    OutOfOrder,
    Storage,
    UnknownUpload,
    open_storage,
)
from tests.support.registrywork import digest_of, image, push_blob, push_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    with open_storage(tmp_path / "registry") as opened:
        yield opened


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_blob_is_of_its_repository_only(storage: Storage, algorithm: str) -> None:
    digest = push_blob(storage, "a/b", b"one ", b"two", algorithm=algorithm)
    found = storage.blob("a/b", digest)
    assert found is not None
    assert (Path(found.path).read_bytes(), found.size, found.content) == (b"one two", 7, b"one two")
    assert storage.blob("a", digest) is None
    assert storage.mount("a", digest, "a/b")
    assert storage.blob("a", digest) is not None
    assert storage.delete_blob("a/b", digest)
    assert not storage.delete_blob("a/b", digest)
    assert storage.blob("a/b", digest) is None
    assert storage.blob("a", digest) is not None


def test_mounting_from_anywhere_takes_what_the_client_may_read(storage: Storage) -> None:
    digest = push_blob(storage, "secret", b"x")
    assert not storage.mount("mine", digest, None, lambda name: name != "secret")
    assert not storage.mount("mine", digest, "other")
    assert storage.mount("mine", digest, None)


def test_an_upload_goes_on_after_a_restart(tmp_path: Path) -> None:
    with open_storage(tmp_path) as storage:
        upload = storage.begin("a", "sha512")
        assert storage.append("a", upload, 0, b"first ") == 6
    with open_storage(tmp_path) as storage:
        assert storage.offset("a", upload) == 6
        with pytest.raises(OutOfOrder) as caught:
            storage.append("a", upload, 4, b"st second")
        assert caught.value.offset == 6
        assert storage.append("a", upload, 6, b"second") == 12
        digest = digest_of(b"first second")  # another algorithm than was announced
        assert storage.finish("a", upload, digest).size == 12
        assert storage.offset("a", upload) is None
        with pytest.raises(UnknownUpload):
            storage.append("a", upload, 12, b"more")


def test_an_upload_belongs_to_its_repository(storage: Storage) -> None:
    upload = storage.begin("a")
    assert storage.offset("b", upload) is None
    assert not storage.cancel("b", upload)
    with pytest.raises(UnknownUpload):
        storage.finish("b", upload, digest_of(b""))
    assert storage.cancel("a", upload)


def test_what_has_another_digest_is_gone(storage: Storage) -> None:
    upload = storage.begin("a")
    storage.append("a", upload, 0, b"x")
    with pytest.raises(DigestMismatch):
        storage.finish("a", upload, digest_of(b"y"))
    assert storage.offset("a", upload) is None
    assert storage.blob("a", digest_of(b"y")) is None


def test_many_uploads_at_once_keep_few_files_open(storage: Storage) -> None:
    uploads = [storage.begin("a") for _ in range(200)]
    for part in range(2):
        for number, upload in enumerate(uploads):
            storage.append("a", upload, part * 3, b"%03d" % number)
    assert len(list(Path("/proc/self/fd").iterdir())) < 150
    for number, upload in enumerate(uploads):
        storage.finish("a", upload, digest_of(b"%03d" % number * 2))


@pytest.mark.concurrency
def test_the_same_blob_from_several_clients(storage: Storage) -> None:
    content = os.urandom(1 << 20)
    failures: list[BaseException] = []

    def push(number: int) -> None:
        try:
            for _ in range(5):
                push_blob(storage, f"r{number % 3}", content[:99], content[99:])
        except BaseException as error:  # noqa: BLE001 - shown by the test's own thread
            failures.append(error)

    threads = [threading.Thread(target=push, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert check(storage).problems == ()
    assert check(storage).blobs == 1


def test_manifests_and_tags(storage: Storage) -> None:
    push_blob(storage, "a", b"l")
    one, two = image(b"l", salt="1"), b'{"unknown" : [1,  2]}\r\n'
    push_manifest(storage, "a", one, "x", "Y", "0")
    storage.put_manifest("a", digest_of(two, "sha512"), "application/vnd.example+json", two, ["x"])
    found = storage.manifest("a", "x")
    assert found is not None
    assert (found.body, found.media_type) == (two, "application/vnd.example+json")
    assert storage.tags("a") == ["0", "Y", "x"]
    assert storage.tags("b") is None
    assert storage.delete_tag("a", "0")
    assert not storage.delete_tag("a", "0")
    assert storage.manifest("a", "0") is None
    assert storage.delete_manifest("a", digest_of(one))
    assert storage.manifest("a", "Y") is None
    assert storage.manifest("a", digest_of(one)) is None
    assert storage.tags("a") == ["x"]
    assert storage.repositories() == ["a"]


def test_referrers_go_with_their_manifest_and_may_come_first(storage: Storage) -> None:
    subject = image(salt="subject")
    signature = image(subject=subject)
    push_manifest(storage, "a", signature, subject=subject)
    assert len(storage.referrers("a", digest_of(subject))) == 1
    assert storage.referrers("b", digest_of(subject)) == []
    storage.delete_manifest("a", digest_of(signature))
    assert storage.referrers("a", digest_of(subject)) == []


def test_the_longest_names(storage: Storage) -> None:
    for name in ("x" * 255, "/".join("a" * 128), "y" * 100 + "/" + "z" * 154):
        assert len(name) == 255
        digest = push_blob(storage, name, b"l", algorithm="sha512")
        subject = image(salt=name)
        about = digest_of(subject, "sha512")
        signature = image(b"l", subject=subject).replace(digest_of(subject).encode(), about.encode())
        listed = digest_of(signature, "sha512")
        storage.put_manifest(name, listed, "x", signature, ["t" * 128], about, b"{}")
        assert storage.blob(name, digest) is not None
        assert storage.referrers(name, about) == [b"{}"]
    assert check(storage).problems == ()


def test_repositories_inside_of_repositories(storage: Storage) -> None:
    for name in ("a", "a/b", "a/blobs", "a/manifests/tags", "a/b/uploads"):
        push_manifest(storage, name, image(salt=name), "1")
    assert list(storage.repositories()) == sorted(("a", "a/b", "a/blobs", "a/manifests/tags", "a/b/uploads"))
    assert storage.tags("a/manifests") is None


HOSTILE = (
    "",
    "..",
    "../a",
    "a/../b",
    "/etc",
    "a/",
    "a//b",
    "_blobs",
    "a/_tags",
    "A",
    "a\0",
    "a\n",
    "x" * 256,
)


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names(storage: Storage, name: str) -> None:
    for act in (
        lambda: storage.begin(name),
        lambda: storage.blob(name, digest_of(b"")),
        lambda: storage.tags(name),
        lambda: storage.put_manifest(name, digest_of(b"{}"), "x", b"{}", []),
        lambda: storage.mount("a", digest_of(b""), name) or push_blob(storage, name, b""),
    ):
        with pytest.raises(FormatError):
            act()
    assert storage.offset("a", name) is None
    assert not storage.cancel("a", name)


@given(st.text(max_size=80) | st.sampled_from(["sha256:..", "sha256:" + "A" * 64, "sha1:" + "a" * 40]))
def test_no_text_becomes_another_path(text: str) -> None:
    """Every check of a name gives one that stays in its folder, or a PumiceError."""
    for make in (names.repository, names.tag, names.file_of):
        try:
            made = make(text)
        except PumiceError:
            continue
        assert ".." not in made.split("/")
        assert not made.startswith(("/", "_")) or names.is_tag(made)
        assert "\0" not in made


def test_damage_is_reported_and_mended_by_pushing_again(tmp_path: Path) -> None:
    with open_storage(tmp_path) as storage:
        large = b"x" * 100_000
        digests = [push_blob(storage, "a", content) for content in (b"small", large)]
        body = image(b"small", large)
        manifest = push_manifest(storage, "a", body, "1")
    for digest in digests:
        path = tmp_path / "blobs/sha256" / digest[7:9] / digest[7:]
        path.write_bytes(b"?" * len(path.read_bytes()))
    kept = tmp_path / "repositories/a/_manifests" / manifest.replace(":", "-")
    kept.write_bytes(kept.read_bytes() + b" ")
    (tmp_path / "repositories/a/_tags/bad").write_bytes(b"")
    with open_storage(tmp_path) as storage:
        found = check(storage).problems
        assert [finding.where for finding in found] == [
            *sorted(digests),
            f"a@{manifest}",
            "a:bad",
        ]
        with pytest.raises(StoreError, match="damaged"):
            storage.blob("a", digests[0])
        served = storage.blob("a", digests[1])
        assert served is not None  # what is streamed is not hashed again
        assert served.content is None
        with pytest.raises(StoreError, match="damaged"):
            storage.manifest("a", "1")
        push_blob(storage, "a", b"small")
        push_blob(storage, "a", large)
        push_manifest(storage, "a", body, "1", "bad")
        assert check(storage).problems == ()


def test_missing_content_is_told_apart_from_damage(storage: Storage) -> None:
    push_manifest(storage, "a", image(b"never pushed"), "1")
    checked = check(storage)
    assert checked.problems == ()
    assert [finding.where for finding in checked.incomplete] == [f"a@{digest_of(image(b'never pushed'))}"]


def test_one_process_at_a_time_and_no_strangers(tmp_path: Path) -> None:
    with open_storage(tmp_path / "registry"), pytest.raises(StoreError, match="another pumice serve"):
        open_storage(tmp_path / "registry")
    with pytest.raises(StoreError, match="not empty"):
        open_storage(tmp_path)
    (tmp_path / "registry/layout").write_text("pumice registry 9\n")
    with pytest.raises(StoreError, match="another version"):
        open_storage(tmp_path / "registry")


def test_a_cache_forgets_what_changed_while_it_was_read() -> None:
    cache: Cache[str] = Cache(10_000)
    epoch = cache.epoch
    cache.forget("a", "x")
    cache.keep("a", "x", "old", 3, epoch)
    assert cache.get("a", "x") is None
    for number in range(100):
        cache.keep("a", str(number), "v", 100, cache.epoch)
    assert cache.get("a", "99") == "v"
    assert cache.get("a", "0") is None
    assert cache._held <= 10_000


@pytest.mark.concurrency
def test_two_processes_may_make_a_registry_of_an_empty_directory_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    listdir = os.listdir
    others: list[Storage] = []

    def list_after_the_other_process(path: str) -> list[str]:
        monkeypatch.undo()
        others.append(open_storage(root))
        return listdir(path)

    monkeypatch.setattr(os, "listdir", list_after_the_other_process)
    with pytest.raises(StoreError, match="another pumice serve uses this directory"):
        open_storage(root)
    others[0].close()


def test_a_blob_that_is_removed_while_it_is_looked_up_is_not_there(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = push_blob(storage, "app", b"content")

    def open_too_late(path: str, *arguments: Any, **named: Any) -> Any:
        Path(path).unlink()
        return Path(path).open(*arguments, **named)

    monkeypatch.setattr(blobs, "open", open_too_late, raising=False)
    assert storage.blob("app", digest) is None
