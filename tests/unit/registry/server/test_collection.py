"""A collection removes what nothing needs, and nothing else, whatever clients do meanwhile."""

from __future__ import annotations

import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from pumice.registry.server.collection import collect
from pumice.registry.server.integrity import check
from pumice.registry.server.manifest_references import referenced_digests
from pumice.registry.server.storage.disk.storage import DiskStorage, open_storage
from tests.support import registry_workload
from tests.support.registry_workload import digest_of, image, index, push_blob, push_manifest

DAY = 86400.0
REPOSITORIES = st.sampled_from(["a", "a/b"])
CONTENTS = st.sampled_from([b"one", b"two", b"three"])
TAGS = st.sampled_from(["1", "2"])


def age(root: str) -> None:
    """Set the lease times of everything back by two days."""
    for path in Path(root, "repositories").rglob("*"):
        if path.is_file():
            then = path.stat().st_mtime - 2 * DAY
            os.utime(path, (then, then))


class Model:
    """What one repository has, as simply as possible."""

    def __init__(self) -> None:
        self.blobs: dict[str, bool] = {}
        """By digest: whether its lease is younger than the grace period."""
        self.manifests: dict[str, bool] = {}
        self.tags: dict[str, str] = {}

    def collect(self, bodies: dict[str, bytes]) -> None:
        needed: set[str] = set()
        while True:
            reached = {
                digest
                for digest, young in self.manifests.items()
                if young
                or digest in self.tags.values()
                or any(digest.encode() in _without_subject(bodies[other]) for other in needed)
                or _subject(bodies[digest]) in needed
            }
            if reached == needed:
                break
            needed = reached
        self.manifests = {digest: young for digest, young in self.manifests.items() if digest in needed}
        self.blobs = {
            digest: young
            for digest, young in self.blobs.items()
            if young or any(digest.encode() in _without_subject(bodies[other]) for other in needed)
        }


def _without_subject(body: bytes) -> bytes:
    document = msgspec.json.decode(body)
    document.pop("subject", None)
    return msgspec.json.encode(document)


def _subject(body: bytes) -> str | None:
    return (msgspec.json.decode(body).get("subject") or {}).get("digest")


class Registry(RuleBasedStateMachine):
    """Pushes, mounts, deletions and collections in any order, compared with a model."""

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory(prefix="pumice-test-")
        self.storage = open_storage(self.directory.name, registry_workload.UnsyncedDisk())
        self.models = {"a": Model(), "a/b": Model()}
        self.bodies: dict[str, bytes] = {}
        self.collected = False

    def teardown(self) -> None:
        self.storage.close()
        self.directory.cleanup()

    @rule(repository=REPOSITORIES, content=CONTENTS)
    def push(self, repository: str, content: bytes) -> None:
        digest = push_blob(self.storage, repository, content)
        self.models[repository].blobs[digest] = True

    @rule(source=REPOSITORIES, goal=REPOSITORIES, content=CONTENTS, anywhere=st.booleans())
    def mount(self, source: str, goal: str, content: bytes, anywhere: bool) -> None:
        digest = digest_of(content)
        names = self.storage.repositories() if anywhere else [source]
        is_mounted = self.storage.blobs.mount(goal, digest, names)
        sources = self.models.values() if anywhere else [self.models[source]]
        assert is_mounted == any(digest in model.blobs for model in sources)
        if is_mounted:
            self.models[goal].blobs[digest] = True

    def _put(self, repository: str, body: bytes, tags: list[str], subject: bytes | None) -> None:
        digest = push_manifest(self.storage, repository, body, *tags, subject=subject)
        self.bodies[digest] = body
        self.models[repository].manifests[digest] = True
        self.models[repository].tags |= dict.fromkeys(tags, digest)

    @rule(repository=REPOSITORIES, data=st.data(), tags=st.lists(TAGS, max_size=1), signs=st.booleans())
    def put_image(self, repository: str, data: st.DataObject, tags: list[str], signs: bool) -> None:
        model = self.models[repository]
        pushed = [content for content in (b"one", b"two", b"three") if digest_of(content) in model.blobs]
        if not pushed:
            return
        content = data.draw(st.sampled_from(pushed))
        subject = None
        if signs and self.bodies:
            subject = self.bodies[data.draw(st.sampled_from(sorted(self.bodies)))]
        self._put(repository, image(content, subject=subject), tags, subject)

    @rule(repository=REPOSITORIES, data=st.data(), tags=st.lists(TAGS, max_size=1))
    def put_index(self, repository: str, data: st.DataObject, tags: list[str]) -> None:
        manifests = sorted(self.models[repository].manifests)
        if manifests:
            children = data.draw(st.lists(st.sampled_from(manifests), min_size=1, max_size=2, unique=True))
            self._put(repository, index(*(self.bodies[child] for child in children)), tags, None)

    @rule(repository=REPOSITORIES, tag=TAGS)
    def untag(self, repository: str, tag: str) -> None:
        digest = self.models[repository].tags.pop(tag, None)
        assert self.storage.tags.delete(repository, tag) == (digest is not None)

    @rule(repository=REPOSITORIES, data=st.data())
    def delete(self, repository: str, data: st.DataObject) -> None:
        model = self.models[repository]
        if not model.manifests:
            return
        digest = data.draw(st.sampled_from(sorted(model.manifests)))
        assert self.storage.manifests.delete(repository, digest)
        del model.manifests[digest]
        model.tags = {tag: target for tag, target in model.tags.items() if target != digest}

    @rule(repository=REPOSITORIES, content=CONTENTS)
    def delete_blob(self, repository: str, content: bytes) -> None:
        is_young = self.models[repository].blobs.pop(digest_of(content), None)
        assert self.storage.blobs.delete(repository, digest_of(content)) == (is_young is not None)

    @rule(repository=REPOSITORIES, content=CONTENTS)
    def find_blob(self, repository: str, content: bytes) -> None:
        digest = digest_of(content)
        blob = self.storage.blobs.find(repository, digest)
        assert (blob is not None) == (digest in self.models[repository].blobs)
        if blob is not None:
            self.models[repository].blobs[digest] = True

    @rule(repository=REPOSITORIES, tag=TAGS)
    def pull(self, repository: str, tag: str) -> None:
        manifest = self.storage.manifests.find(repository, tag)
        expected = self.models[repository].tags.get(tag)
        assert (manifest.digest if manifest else None) == expected
        if manifest is not None and expected is not None:
            assert manifest.body == self.bodies[expected]
            self.models[repository].manifests[expected] = True

    @rule()
    def days_pass(self) -> None:
        self.storage.close()
        age(self.directory.name)
        self.storage = open_storage(self.directory.name, registry_workload.UnsyncedDisk())
        for model in self.models.values():
            model.blobs = dict.fromkeys(model.blobs, False)
            model.manifests = dict.fromkeys(model.manifests, False)

    @precondition(lambda self: any(not y for m in self.models.values() for y in m.blobs.values()))
    @rule()
    def collect(self) -> None:
        collect(self.storage, time.time(), DAY)
        for model in self.models.values():
            model.collect(self.bodies)
        used = {digest for model in self.models.values() for digest in model.blobs}
        assert set(self.storage.contents.list()) == used
        assert check(self.storage).damaged == ()

    @invariant()
    def storage_equals_models(self) -> None:
        for repository, model in self.models.items():
            assert set(self.storage.blobs.list(repository)) == set(model.blobs)
            assert set(self.storage.manifests.list(repository)) == set(model.manifests)
            assert list(self.storage.tags.list(repository) or ()) == sorted(model.tags)


TestRegistry = Registry.TestCase
TestRegistry.settings = settings(
    max_examples=20, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)


SHARED = [b"shared %d" % number for number in range(8)]


def push_again(storage: DiskStorage, number: int) -> None:
    """Push as clients do: look for each blob, mount or push the missing ones, then push the manifest."""
    for round_number in range(40):
        repository = f"r{number % 2}"
        contents = [SHARED[(number + round_number + step) % 8] for step in range(3)]
        for content in contents:
            digest = digest_of(content)
            if storage.blobs.find(repository, digest) is None and not storage.blobs.mount(
                repository, digest, storage.repositories()
            ):
                push_blob(storage, repository, content)
        body = image(*contents, salt=f"{number} {round_number}")
        push_manifest(storage, repository, body, f"t{number}")
        for content in contents:
            blob = storage.blobs.find(repository, digest_of(content))
            assert blob is not None
            assert blob.content == content
        assert storage.manifests.find(repository, f"t{number}") is not None
        if round_number % 3 == 0:
            storage.manifests.delete(repository, digest_of(body))


def push_while_collecting(storage: DiskStorage) -> int:
    """Run collections while four clients push; return the number of collections."""
    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(push_again, storage, number) for number in range(4)]
        collections = 0
        while not all(client.done() for client in clients):
            collect(storage, time.time(), DAY)
            collections += 1
        for client in clients:
            client.result()
    return collections


def test_clients_that_push_old_content_again_lose_nothing(tmp_path: Path) -> None:
    for _ in range(3):
        with open_storage(tmp_path, registry_workload.UnsyncedDisk()) as storage:
            for content in SHARED:
                push_blob(storage, "r0", content)
        age(str(tmp_path))
        with open_storage(tmp_path, registry_workload.UnsyncedDisk()) as storage:
            assert push_while_collecting(storage) > 0
            checked = check(storage)
            assert (checked.damaged, checked.incomplete) == ((), ())


def test_a_damaged_repository_is_skipped(tmp_path: Path) -> None:
    with open_storage(tmp_path) as storage:
        blob = push_blob(storage, "bad", b"layer")
        digest = push_manifest(storage, "bad", image(b"layer"), "1")
        (tmp_path / "repositories/bad/_manifests" / digest.replace(":", "-")).write_bytes(b"x\n{}")
        result = collect(storage, time.time() + 9 * DAY, 1)
        assert result.damaged == ("bad",)
        assert storage.blobs.find("bad", blob) is not None


@pytest.mark.file_times
def test_old_uploads_expire(tmp_path: Path) -> None:
    with open_storage(tmp_path) as storage:
        upload = storage.uploads.begin("only/uploads")
        assert collect(storage, time.time(), DAY).uploads == 0
        assert collect(storage, time.time() + 2 * DAY, DAY).uploads == 1
        assert storage.uploads.find("only/uploads", upload) is None


def test_an_index_is_removed_before_its_children(tmp_path: Path) -> None:
    """A client that reads the index meanwhile finds all of it, or nothing."""
    removed: list[str] = []

    class RecordingDisk(registry_workload.UnsyncedDisk):
        def unlink(self, path: str) -> None:
            removed.append(Path(path).name)
            super().unlink(path)

    with open_storage(tmp_path, RecordingDisk()) as storage:
        push_blob(storage, "a", b"x")
        child = image(b"x")
        signature = image(b"x", subject=index(child))
        order = [index(index(child)), index(child), child]
        for body in (child, *order[:2]):
            push_manifest(storage, "a", body)
        push_manifest(storage, "a", signature, subject=index(child))
        collect(storage, time.time() + DAY, 1)
    expected = [digest_of(body).replace(":", "-") for body in order]
    assert [name for name in removed if name in expected] == expected
    assert removed.index(expected[1]) < removed.index(digest_of(signature).replace(":", "-"))


def test_all_digests_in_a_manifest_of_any_kind_are_references() -> None:
    nested, layer = digest_of(b"1"), digest_of(b"2", "sha512")
    body = msgspec.json.encode(
        {
            "subject": {"digest": digest_of(b"no")},
            "x": [{"deep": {"digest": nested}}],
            "fsLayers": [{"blobSum": layer}],
        }
    )
    assert set(referenced_digests(body)) == {nested, layer}
    assert set(referenced_digests(b"no JSON")) == set(referenced_digests(b"[" * 100_000)) == set()
