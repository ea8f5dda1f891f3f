"""What every storage backend of the registry guarantees, from `storage.protocol`."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pumice.errors import FormatError, UsageError
from pumice.registry.server.collection import collect
from pumice.registry.server.integrity import check
from pumice.registry.server.storage.backends import BACKENDS, open_storage
from pumice.registry.server.storage.disk.storage import open_storage as open_disk
from pumice.registry.server.storage.protocol import (
    DigestMismatchError,
    LocalFile,
    Referrer,
    Storage,
    StoredBlob,
    StoredManifest,
    UnknownUploadError,
    UploadOffsetError,
)
from tests.support.memory_storage import MemoryStorage, open_memory
from tests.support.registry_workload import digest_of, image, index, push_blob, push_manifest
from tests.support.serving import Registry, running

DAY = 86400.0
ABSENT = digest_of(b"absent")
LARGE = bytes(range(256)) * 800


def disk_backend(directory: Path) -> Storage:
    return open_disk(directory / "root")


def memory_backend(directory: Path) -> Storage:
    del directory
    return MemoryStorage()


@pytest.fixture(params=[disk_backend, memory_backend], ids=["disk", "memory"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    open_backend: Callable[[Path], Storage] = request.param
    with open_backend(tmp_path) as opened_storage:
        yield opened_storage


def content_of(blob: StoredBlob | None) -> bytes:
    assert blob is not None
    if isinstance(blob.content, bytes):
        content = blob.content
    elif isinstance(blob.content, LocalFile):
        content = Path(blob.content.path).read_bytes()
    else:
        content = b"".join(blob.content.read(0, blob.size))
    assert len(content) == blob.size
    return content


@pytest.mark.parametrize("content", [b"", b"small", LARGE], ids=["empty", "small", "large"])
@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
def test_a_blob_has_the_uploaded_content(storage: Storage, content: bytes, algorithm: str) -> None:
    digest = push_blob(storage, "a", content[:2], content[2:], algorithm=algorithm)
    assert content_of(storage.blobs.find("a", digest)) == content
    assert storage.blobs.list("a") == [digest]
    assert list(storage.contents.list()) == [digest]
    assert storage.contents.size(digest) == len(content)
    chunks = storage.contents.read(digest)
    assert chunks is not None
    assert b"".join(chunks) == content


def test_a_blob_belongs_to_the_repositories_that_pushed_or_mounted_it(storage: Storage) -> None:
    digest = push_blob(storage, "source", b"x")
    assert storage.blobs.find("other", digest) is None
    assert not storage.blobs.mount("other", digest, ["unrelated"])
    assert not storage.blobs.mount("other", ABSENT, ["source"])
    assert storage.blobs.mount("other", digest, ["unrelated", "source"])
    assert storage.blobs.delete("source", digest)
    assert not storage.blobs.delete("source", digest)
    assert storage.blobs.find("source", digest) is None
    assert content_of(storage.blobs.find("other", digest)) == b"x"


def test_absent_content_is_none(storage: Storage) -> None:
    assert storage.contents.size(ABSENT) is None
    assert storage.contents.read(ABSENT) is None
    assert storage.manifests.read("a", ABSENT) == b""
    assert storage.manifests.find("a", "latest") is None
    assert storage.tags.read("a", "latest") is None
    assert storage.tags.list("a") is None
    assert list(storage.repositories()) == []


def test_an_upload_accepts_only_the_next_byte(storage: Storage) -> None:
    upload = storage.uploads.begin("a")
    assert storage.uploads.append("a", upload, 0, b"first") == 5
    with pytest.raises(UploadOffsetError) as caught:
        storage.uploads.append("a", upload, 3, b"again")
    assert caught.value.offset == 5
    stored_upload = storage.uploads.find("a", upload)
    assert stored_upload is not None
    assert stored_upload.offset == 5


def test_an_upload_can_be_read_while_it_grows_and_after_it_is_finished(storage: Storage) -> None:
    upload = storage.uploads.begin("a")
    storage.uploads.append("a", upload, 0, b"first ")
    stored_upload = storage.uploads.find("a", upload)
    assert stored_upload is not None
    reader = stored_upload.open()
    assert reader.read(0, 100) == b"first "
    storage.uploads.append("a", upload, 6, b"second")
    assert reader.read(6, 3) == b"sec"
    storage.uploads.finish("a", upload, digest_of(b"first second"))
    assert reader.read(0, 100) == b"first second"
    reader.close()


def test_an_upload_ends_when_it_is_finished_canceled_or_does_not_match(storage: Storage) -> None:
    finished, canceled, mismatching = (storage.uploads.begin("a") for _ in range(3))
    storage.uploads.finish("a", finished, digest_of(b""))
    assert storage.uploads.cancel("a", canceled)
    with pytest.raises(DigestMismatchError):
        storage.uploads.finish("a", mismatching, ABSENT)
    for upload in (finished, canceled, mismatching):
        assert storage.uploads.find("a", upload) is None
        assert not storage.uploads.cancel("a", upload)
        with pytest.raises(UnknownUploadError):
            storage.uploads.append("a", upload, 0, b"x")
    assert storage.blobs.find("a", ABSENT) is None


def test_an_upload_belongs_to_its_repository(storage: Storage) -> None:
    upload = storage.uploads.begin("a")
    assert storage.uploads.find("b", upload) is None
    assert not storage.uploads.cancel("b", upload)
    with pytest.raises(UnknownUploadError):
        storage.uploads.finish("b", upload, digest_of(b""))


def test_tags_point_to_manifests_until_either_is_deleted(storage: Storage) -> None:
    old_digest, new_digest = image(salt="old"), image(salt="new")
    push_manifest(storage, "a", old_digest, "1", "2")
    push_manifest(storage, "a", new_digest, "2", "B", "a")
    assert storage.tags.list("a") == ["1", "2", "B", "a"]
    assert storage.tags.read("a", "2") == digest_of(new_digest)
    manifest = storage.manifests.find("a", "2")
    assert manifest is not None
    assert (manifest.digest, manifest.body) == (digest_of(new_digest), new_digest)
    assert storage.tags.delete("a", "B")
    assert not storage.tags.delete("a", "B")
    assert storage.manifests.delete("a", digest_of(new_digest))
    assert not storage.manifests.delete("a", digest_of(new_digest))
    assert storage.tags.list("a") == ["1"]
    assert storage.manifests.list("a") == [digest_of(old_digest)]
    assert storage.manifests.find("a", digest_of(new_digest)) is None


def test_a_manifest_keeps_its_bytes_and_media_type(storage: Storage) -> None:
    body = b'{"unknown" : [1,  2]}\r\n'
    manifest = StoredManifest(digest_of(body, "sha512"), "application/vnd.example+json", body)
    storage.manifests.put("a", manifest, ["x"])
    assert storage.manifests.find("a", "x") == manifest
    assert storage.manifests.find("a", manifest.digest) == manifest
    assert storage.manifests.read("a", manifest.digest) == body


def test_referrers_may_precede_their_subject_and_are_removed_with_their_manifest(storage: Storage) -> None:
    subject = image(salt="subject")
    signature = image(subject=subject)
    push_manifest(storage, "a", signature, subject=subject)
    assert len(storage.referrers.list("a", digest_of(subject))) == 1
    assert storage.referrers.list("b", digest_of(subject)) == []
    storage.manifests.delete("a", digest_of(signature))
    assert storage.referrers.list("a", digest_of(subject)) == []


@pytest.mark.parametrize("name", ["", "..", "../a", "a/../b", "/etc", "A", "a\0", "_blobs", "x" * 256])
def test_malformed_names_raise_format_error(storage: Storage, name: str) -> None:
    for operation in (
        lambda: storage.uploads.begin(name),
        lambda: storage.blobs.find(name, ABSENT),
        lambda: storage.tags.list(name),
        lambda: storage.manifests.put(name, StoredManifest(digest_of(b"{}"), "x", b"{}")),
        lambda: storage.manifests.put("a", StoredManifest(name, "x", b"{}")),
        lambda: storage.blobs.find("a", name),
        lambda: storage.referrers.list("a", name),
    ):
        with pytest.raises(FormatError):
            operation()


@pytest.mark.file_times
def test_a_collection_removes_what_no_tag_needs_after_its_lease(storage: Storage) -> None:
    push_blob(storage, "a", b"layer")
    unused_digest = push_blob(storage, "a", b"unused")
    tagged, untagged = image(b"layer", salt="tagged"), image(salt="untagged")
    push_manifest(storage, "a", tagged)
    push_manifest(storage, "a", index(tagged), "1")
    push_manifest(storage, "a", untagged)
    storage.uploads.append("a", storage.uploads.begin("a"), 0, b"unfinished")
    first_collection = collect(storage, time.time(), DAY)
    assert (
        first_collection.manifests,
        first_collection.links,
        first_collection.blobs,
        first_collection.uploads,
    ) == (0, 0, 0, 0)
    second_collection = collect(storage, time.time() + 2 * DAY, DAY)
    assert (
        second_collection.manifests,
        second_collection.links,
        second_collection.blobs,
        second_collection.uploads,
    ) == (1, 1, 1, 1)
    assert second_collection.freed == len(b"unused")
    assert storage.manifests.find("a", digest_of(untagged)) is None
    assert storage.blobs.find("a", unused_digest) is None
    findings = check(storage)
    assert (findings.damaged, findings.incomplete) == ((), ())
    assert (findings.repositories, findings.manifests, findings.blobs) == (1, 2, 1)


def test_a_check_reports_missing_content_and_unlisted_referrers(storage: Storage) -> None:
    subject = image(salt="subject")
    signature = image(b"never pushed", subject=subject)
    push_manifest(storage, "a", signature)
    assert [finding.where for finding in check(storage).damaged] == [f"a@{digest_of(signature)}"]
    assert [finding.where for finding in check(storage).incomplete] == [f"a@{digest_of(signature)}"]
    push_manifest(storage, "a", signature, subject=subject)
    assert check(storage).damaged == ()


def test_a_listed_referrer_has_the_descriptor_it_was_put_with(storage: Storage) -> None:
    body = image(salt="signature")
    descriptor = b'{"digest":"%s"}' % digest_of(body).encode()
    storage.manifests.put("a", StoredManifest(digest_of(body), "x", body), (), Referrer(ABSENT, descriptor))
    assert list(storage.referrers.list("a", ABSENT)) == [descriptor]


MEMORY_SERVER = """
from pumice.clock import SystemClock
from pumice.registry.server import serve
from pumice.registry.server.access import Policy
from pumice.registry.server.storage.backends import BACKENDS
from tests.support.memory_storage import open_memory

BACKENDS["memory"] = open_memory
settings = serve.Settings(location="memory://", host="127.0.0.1", port=0, policy=Policy("write"))
serve.serve(settings, clock=SystemClock(), ready=lambda url: print(url, flush=True))
"""
"""A server whose backend is one more row in the table of backends."""


@pytest.fixture(scope="module")
def registry() -> Iterator[Registry]:
    with running([sys.executable, "-c", MEMORY_SERVER]) as server:
        yield server


@pytest.mark.parametrize("content", [b"small", LARGE], ids=["small", "large"])
def test_a_server_serves_blobs_of_another_backend(registry: Registry, content: bytes) -> None:
    path = f"/v2/app/blobs/{registry.push_blob('app', content)}"
    for _ in range(2):  # from the storage, and from the cache of responses
        response = registry.ask("GET", path)
        assert (response.status, response.body) == (200, content)
        range_response = registry.ask("GET", path, headers={"Range": "bytes=1-4"})
        assert (range_response.status, range_response.body) == (206, content[1:5])
        assert registry.ask("HEAD", path).headers["Content-Length"] == str(len(content))
    assert registry.ask("DELETE", path).status == 202
    assert registry.ask("GET", path).status == 404


def test_a_server_serves_manifests_of_another_backend(registry: Registry) -> None:
    digest, manifest = registry.push_image("app", "1.0")
    assert registry.ask("GET", "/v2/app/manifests/1.0").body == manifest
    assert registry.ask("GET", "/v2/app/tags/list").json == {"name": "app", "tags": ["1.0"]}
    assert registry.ask("GET", "/v2/_catalog").json["repositories"] == ["app"]
    assert registry.ask("DELETE", f"/v2/app/manifests/{digest}").status == 202
    assert registry.ask("GET", "/v2/app/manifests/1.0").status == 404


def test_a_scheme_selects_the_backend(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(BACKENDS, "memory", open_memory)
    assert isinstance(open_storage("memory://"), MemoryStorage)
    with open_storage(str(tmp_path / "root")):
        assert (tmp_path / "root" / "layout").is_file()
    with pytest.raises(UsageError, match="no storage backend has the scheme 'unknown'"):
        open_storage("unknown://bucket")


def test_a_registry_that_must_exist_is_not_created(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a registry directory"):
        open_storage(str(tmp_path / "root"), create=False)
    assert not (tmp_path / "root").exists()


def test_only_the_table_of_backends_names_the_disk() -> None:
    """Another backend needs a package of its own and one row; nothing else knows which one is used."""
    source = Path(sys.modules["pumice"].__file__ or "").parent
    importing = subprocess.run(
        ["grep", "-rl", "--include=*.py", "storage.disk", str(source)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    outside = [str(Path(path).relative_to(source)) for path in importing if "/storage/disk/" not in path]
    assert outside == ["registry/server/storage/backends.py"]
