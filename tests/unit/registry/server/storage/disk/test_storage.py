"""The storage on disk: content stays in its repository, and client input never becomes another path."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import FormatError, PumiceError, StoreError
from pumice.registry.server.integrity import check
from pumice.registry.server.storage.disk import contents, paths
from pumice.registry.server.storage.disk.memory_cache import MemoryCache
from pumice.registry.server.storage.disk.storage import DiskStorage, open_storage
from pumice.registry.server.storage.protocol import (
    DigestMismatchError,
    LocalFile,
    Referrer,
    StoredManifest,
    UnknownUploadError,
    UploadOffsetError,
)
from tests.support.registry_workload import digest_of, image, push_blob, push_manifest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[DiskStorage]:
    with open_storage(tmp_path / "registry") as opened:
        yield opened


def offset(storage: DiskStorage, repository: str, upload: str) -> int | None:
    stored_upload = storage.uploads.find(repository, upload)
    return None if stored_upload is None else stored_upload.offset


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_blob_belongs_to_its_repository_only(storage: DiskStorage, algorithm: str) -> None:
    digest = push_blob(storage, "a/b", b"one ", b"two", algorithm=algorithm)
    blob = storage.blobs.find("a/b", digest)
    assert blob is not None
    assert (blob.size, blob.content) == (7, b"one two")
    assert storage.blobs.find("a", digest) is None
    assert storage.blobs.mount("a", digest, ["a/b"])
    assert storage.blobs.find("a", digest) is not None
    assert storage.blobs.delete("a/b", digest)
    assert not storage.blobs.delete("a/b", digest)
    assert storage.blobs.find("a/b", digest) is None
    assert storage.blobs.find("a", digest) is not None


def test_a_blob_is_mounted_from_the_given_repositories_only(storage: DiskStorage) -> None:
    digest = push_blob(storage, "secret", b"x")
    assert not storage.blobs.mount("mine", digest, [])
    assert not storage.blobs.mount("mine", digest, ["other"])
    assert storage.blobs.mount("mine", digest, storage.repositories())


def test_an_upload_continues_after_a_restart(tmp_path: Path) -> None:
    with open_storage(tmp_path) as storage:
        upload = storage.uploads.begin("a", "sha512")
        assert storage.uploads.append("a", upload, 0, b"first ") == 6
    with open_storage(tmp_path) as storage:
        assert offset(storage, "a", upload) == 6
        with pytest.raises(UploadOffsetError) as caught:
            storage.uploads.append("a", upload, 4, b"st second")
        assert caught.value.offset == 6
        assert storage.uploads.append("a", upload, 6, b"second") == 12
        digest = digest_of(b"first second")  # with another algorithm than at the beginning
        storage.uploads.finish("a", upload, digest)
        blob = storage.blobs.find("a", digest)
        assert blob is not None
        assert blob.size == 12
        assert offset(storage, "a", upload) is None
        with pytest.raises(UnknownUploadError):
            storage.uploads.append("a", upload, 12, b"more")


def test_an_upload_belongs_to_its_repository(storage: DiskStorage) -> None:
    upload = storage.uploads.begin("a")
    assert offset(storage, "b", upload) is None
    assert not storage.uploads.cancel("b", upload)
    with pytest.raises(UnknownUploadError):
        storage.uploads.finish("b", upload, digest_of(b""))
    assert storage.uploads.cancel("a", upload)


def test_an_upload_with_another_digest_is_removed(storage: DiskStorage) -> None:
    upload = storage.uploads.begin("a")
    storage.uploads.append("a", upload, 0, b"x")
    with pytest.raises(DigestMismatchError):
        storage.uploads.finish("a", upload, digest_of(b"y"))
    assert offset(storage, "a", upload) is None
    assert storage.blobs.find("a", digest_of(b"y")) is None


def test_many_uploads_at_once_keep_few_files_open(storage: DiskStorage) -> None:
    uploads = [storage.uploads.begin("a") for _ in range(200)]
    for round_number in range(2):
        for number, upload in enumerate(uploads):
            storage.uploads.append("a", upload, round_number * 3, b"%03d" % number)
    assert len(list(Path("/proc/self/fd").iterdir())) < 150
    for number, upload in enumerate(uploads):
        storage.uploads.finish("a", upload, digest_of(b"%03d" % number * 2))


@pytest.mark.concurrency
def test_several_clients_can_push_the_same_blob(storage: DiskStorage) -> None:
    content = os.urandom(1 << 20)
    failures: list[BaseException] = []

    def push(number: int) -> None:
        try:
            for _ in range(5):
                push_blob(storage, f"r{number % 3}", content[:99], content[99:])
        except BaseException as error:  # noqa: BLE001 - reported by the thread of the test
            failures.append(error)

    threads = [threading.Thread(target=push, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert check(storage).damaged == ()
    assert check(storage).blobs == 1


def test_tags_point_to_manifests_until_either_is_deleted(storage: DiskStorage) -> None:
    push_blob(storage, "a", b"l")
    known, unknown = image(b"l", salt="1"), b'{"unknown" : [1,  2]}\r\n'
    push_manifest(storage, "a", known, "x", "Y", "0")
    media_type = "application/vnd.example+json"
    storage.manifests.put("a", StoredManifest(digest_of(unknown, "sha512"), media_type, unknown), ["x"])
    manifest = storage.manifests.find("a", "x")
    assert manifest is not None
    assert (manifest.body, manifest.media_type) == (unknown, media_type)
    assert storage.tags.list("a") == ["0", "Y", "x"]
    assert storage.tags.list("b") is None
    assert storage.tags.delete("a", "0")
    assert not storage.tags.delete("a", "0")
    assert storage.manifests.find("a", "0") is None
    assert storage.manifests.delete("a", digest_of(known))
    assert storage.manifests.find("a", "Y") is None
    assert storage.manifests.find("a", digest_of(known)) is None
    assert storage.tags.list("a") == ["x"]
    assert storage.repositories() == ["a"]


def test_the_longest_valid_names_are_accepted(storage: DiskStorage) -> None:
    for name in ("x" * 255, "/".join("a" * 128), "y" * 100 + "/" + "z" * 154):
        assert len(name) == 255
        digest = push_blob(storage, name, b"l", algorithm="sha512")
        subject = image(salt=name)
        subject_digest = digest_of(subject, "sha512")
        signature = image(b"l", subject=subject).replace(digest_of(subject).encode(), subject_digest.encode())
        signature_digest = digest_of(signature, "sha512")
        descriptor = b'{"digest": "%s"}' % signature_digest.encode()
        manifest = StoredManifest(signature_digest, "x", signature)
        storage.manifests.put(name, manifest, ["t" * 128], Referrer(subject_digest, descriptor))
        assert storage.blobs.find(name, digest) is not None
        assert storage.referrers.list(name, subject_digest) == [descriptor]
    assert check(storage).damaged == ()


def test_repositories_can_be_nested(storage: DiskStorage) -> None:
    for name in ("a", "a/b", "a/blobs", "a/manifests/tags", "a/b/uploads"):
        push_manifest(storage, name, image(salt=name), "1")
    assert list(storage.repositories()) == sorted(("a", "a/b", "a/blobs", "a/manifests/tags", "a/b/uploads"))
    assert storage.tags.list("a/manifests") is None


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
def test_hostile_names_are_rejected(storage: DiskStorage, name: str) -> None:
    for operation in (
        lambda: storage.uploads.begin(name),
        lambda: storage.blobs.find(name, digest_of(b"")),
        lambda: storage.tags.list(name),
        lambda: storage.manifests.put(name, StoredManifest(digest_of(b"{}"), "x", b"{}")),
        lambda: storage.blobs.mount("a", digest_of(b""), [name]) or push_blob(storage, name, b""),
    ):
        with pytest.raises(FormatError):
            operation()
    assert offset(storage, "a", name) is None
    assert not storage.uploads.cancel("a", name)


@given(st.text(max_size=80) | st.sampled_from(["sha256:..", "sha256:" + "A" * 64, "sha1:" + "a" * 40]))
def test_no_text_becomes_another_path(text: str) -> None:
    """Each check returns a name that stays in its directory, or raises a PumiceError."""
    for check_name in (paths.check_repository, paths.check_tag, paths.file_name):
        try:
            name = check_name(text)
        except PumiceError:
            continue
        assert ".." not in name.split("/")
        assert not name.startswith(("/", "_")) or paths.is_tag(name)
        assert "\0" not in name


def test_damage_is_reported_and_repaired_by_pushing_again(tmp_path: Path) -> None:
    with open_storage(tmp_path) as storage:
        large = b"x" * 100_000
        digests = [push_blob(storage, "a", content) for content in (b"small", large)]
        body = image(b"small", large)
        manifest = push_manifest(storage, "a", body, "1")
    for digest in digests:
        path = tmp_path / "blobs/sha256" / digest[7:9] / digest[7:]
        path.write_bytes(b"?" * len(path.read_bytes()))
    manifest_file = tmp_path / "repositories/a/_manifests" / manifest.replace(":", "-")
    manifest_file.write_bytes(manifest_file.read_bytes() + b" ")
    (tmp_path / "repositories/a/_tags/bad").write_bytes(b"")
    with open_storage(tmp_path) as storage:
        assert [finding.where for finding in check(storage).damaged] == [
            *sorted(digests),
            f"a@{manifest}",
            "a:bad",
        ]
        with pytest.raises(StoreError, match="damaged"):
            storage.blobs.find("a", digests[0])
        large_blob = storage.blobs.find("a", digests[1])
        assert large_blob is not None  # large blobs are not hashed again
        assert isinstance(large_blob.content, LocalFile)
        with pytest.raises(StoreError, match="damaged"):
            storage.manifests.find("a", "1")
        push_blob(storage, "a", b"small")
        push_blob(storage, "a", large)
        push_manifest(storage, "a", body, "1", "bad")
        assert check(storage).damaged == ()


def test_missing_content_is_not_damage(storage: DiskStorage) -> None:
    push_manifest(storage, "a", image(b"never pushed"), "1")
    checked = check(storage)
    assert checked.damaged == ()
    assert [finding.where for finding in checked.incomplete] == [f"a@{digest_of(image(b'never pushed'))}"]


def test_a_directory_has_one_process_and_no_foreign_files(tmp_path: Path) -> None:
    with open_storage(tmp_path / "registry"), pytest.raises(StoreError, match="in use by another"):
        open_storage(tmp_path / "registry")
    with pytest.raises(StoreError, match="not empty"):
        open_storage(tmp_path)
    (tmp_path / "registry/layout").write_text("pumice registry 9\n")
    with pytest.raises(StoreError, match="unknown layout version"):
        open_storage(tmp_path / "registry")


def test_a_cache_does_not_keep_a_value_that_changed_while_it_was_read() -> None:
    cache: MemoryCache[str] = MemoryCache(10_000)
    epoch = cache.epoch
    cache.invalidate("a", "x")
    cache.put("a", "x", "old", 3, epoch)
    assert cache.get("a", "x") is None
    for number in range(100):
        cache.put("a", str(number), "v", 100, cache.epoch)
    assert cache.get("a", "99") == "v"
    assert cache.get("a", "0") is None
    assert cache._size <= 10_000


@pytest.mark.concurrency
def test_one_of_two_processes_that_create_the_same_registry_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    listdir = os.listdir
    others: list[DiskStorage] = []

    def list_after_the_other_process(path: str) -> list[str]:
        monkeypatch.undo()
        others.append(open_storage(root))
        return listdir(path)

    monkeypatch.setattr(os, "listdir", list_after_the_other_process)
    with pytest.raises(StoreError, match="in use by another"):
        open_storage(root)
    others[0].close()


def test_a_blob_that_is_removed_during_its_look_up_is_not_found(
    storage: DiskStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = push_blob(storage, "app", b"content")

    def open_too_late(path: str, *arguments: Any, **keywords: Any) -> Any:
        Path(path).unlink()
        return Path(path).open(*arguments, **keywords)

    monkeypatch.setattr(contents, "open", open_too_late, raising=False)
    assert storage.blobs.find("app", digest) is None
