"""Collections remove what nothing needs, and nothing else, whatever happens meanwhile."""

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

from pumice.registry.server.check import check
from pumice.registry.server.collect import collect, contents, mentioned
from pumice.registry.server.storage.disk import paths as names
from pumice.registry.server.storage.disk.manifests import listed
from pumice.registry.server.storage.disk.storage import Storage, open_storage
from tests.support import registrywork
from tests.support.registrywork import digest_of, image, index, push_blob, push_manifest

DAY = 86400.0
REPOSITORIES = st.sampled_from(["a", "a/b"])
CONTENTS = st.sampled_from([b"one", b"two", b"three"])
TAGS = st.sampled_from(["1", "2"])


def age(root: str) -> None:
    """Make everything two days older."""
    for path in Path(root, "repositories").rglob("*"):
        if path.is_file():
            then = path.stat().st_mtime - 2 * DAY
            os.utime(path, (then, then))


def blobs_of(storage: Storage, repository: str) -> set[str]:
    return set(listed(names.folder(storage.root, repository, names.BLOBS)))


class Model:
    """What one repository has, said as simply as can be."""

    def __init__(self) -> None:
        self.blobs: dict[str, bool] = {}
        """By digest: whether it is young."""
        self.manifests: dict[str, bool] = {}
        self.tags: dict[str, str] = {}

    def collect(self, bodies: dict[str, bytes]) -> None:
        living: set[str] = set()
        while True:
            more = {
                digest
                for digest, young in self.manifests.items()
                if young
                or digest in self.tags.values()
                or any(digest.encode() in _without_subject(bodies[other]) for other in living)
                or _subject(bodies[digest]) in living
            }
            if more == living:
                break
            living = more
        self.manifests = {digest: young for digest, young in self.manifests.items() if digest in living}
        self.blobs = {
            digest: young
            for digest, young in self.blobs.items()
            if young or any(digest.encode() in _without_subject(bodies[other]) for other in living)
        }


def _without_subject(body: bytes) -> bytes:
    document = msgspec.json.decode(body)
    document.pop("subject", None)
    return msgspec.json.encode(document)


def _subject(body: bytes) -> str | None:
    return (msgspec.json.decode(body).get("subject") or {}).get("digest")


class Registry(RuleBasedStateMachine):
    """Pushes, mounts, deletions and collections, in any order, beside a model."""

    def __init__(self) -> None:
        super().__init__()
        self.place = tempfile.TemporaryDirectory(prefix="pumice-test-")
        self.storage = open_storage(self.place.name, registrywork.Careless())
        self.models = {"a": Model(), "a/b": Model()}
        self.bodies: dict[str, bytes] = {}
        self.collected = False

    def teardown(self) -> None:
        self.storage.close()
        self.place.cleanup()

    @rule(repository=REPOSITORIES, content=CONTENTS)
    def push(self, repository: str, content: bytes) -> None:
        digest = push_blob(self.storage, repository, content)
        self.models[repository].blobs[digest] = True

    @rule(source=REPOSITORIES, goal=REPOSITORIES, content=CONTENTS, anywhere=st.booleans())
    def mount(self, source: str, goal: str, content: bytes, anywhere: bool) -> None:
        digest = digest_of(content)
        done = self.storage.mount(goal, digest, None if anywhere else source)
        sources = self.models.values() if anywhere else [self.models[source]]
        assert done == any(digest in model.blobs for model in sources)
        if done:
            self.models[goal].blobs[digest] = True

    def _put(self, repository: str, body: bytes, tags: list[str], subject: bytes | None) -> None:
        digest = push_manifest(self.storage, repository, body, *tags, subject=subject)
        self.bodies[digest] = body
        self.models[repository].manifests[digest] = True
        self.models[repository].tags |= dict.fromkeys(tags, digest)

    @rule(repository=REPOSITORIES, data=st.data(), tags=st.lists(TAGS, max_size=1), signs=st.booleans())
    def put_image(self, repository: str, data: st.DataObject, tags: list[str], signs: bool) -> None:
        model = self.models[repository]
        here = [content for content in (b"one", b"two", b"three") if digest_of(content) in model.blobs]
        if not here:
            return
        content = data.draw(st.sampled_from(here))
        subject = None
        if signs and self.bodies:
            subject = self.bodies[data.draw(st.sampled_from(sorted(self.bodies)))]
        self._put(repository, image(content, subject=subject), tags, subject)

    @rule(repository=REPOSITORIES, data=st.data(), tags=st.lists(TAGS, max_size=1))
    def put_index(self, repository: str, data: st.DataObject, tags: list[str]) -> None:
        here = sorted(self.models[repository].manifests)
        if here:
            children = data.draw(st.lists(st.sampled_from(here), min_size=1, max_size=2, unique=True))
            self._put(repository, index(*(self.bodies[child] for child in children)), tags, None)

    @rule(repository=REPOSITORIES, tag=TAGS)
    def untag(self, repository: str, tag: str) -> None:
        gone = self.models[repository].tags.pop(tag, None)
        assert self.storage.delete_tag(repository, tag) == (gone is not None)

    @rule(repository=REPOSITORIES, data=st.data())
    def delete(self, repository: str, data: st.DataObject) -> None:
        model = self.models[repository]
        if not model.manifests:
            return
        digest = data.draw(st.sampled_from(sorted(model.manifests)))
        assert self.storage.delete_manifest(repository, digest)
        del model.manifests[digest]
        model.tags = {tag: target for tag, target in model.tags.items() if target != digest}

    @rule(repository=REPOSITORIES, content=CONTENTS)
    def delete_blob(self, repository: str, content: bytes) -> None:
        gone = self.models[repository].blobs.pop(digest_of(content), None)
        assert self.storage.delete_blob(repository, digest_of(content)) == (gone is not None)

    @rule(repository=REPOSITORIES, content=CONTENTS)
    def look(self, repository: str, content: bytes) -> None:
        digest = digest_of(content)
        found = self.storage.blob(repository, digest)
        assert (found is not None) == (digest in self.models[repository].blobs)
        if found is not None:
            self.models[repository].blobs[digest] = True

    @rule(repository=REPOSITORIES, tag=TAGS)
    def pull(self, repository: str, tag: str) -> None:
        found = self.storage.manifest(repository, tag)
        expected = self.models[repository].tags.get(tag)
        assert (found.digest if found else None) == expected
        if found is not None and expected is not None:
            assert found.body == self.bodies[expected]
            self.models[repository].manifests[expected] = True

    @rule()
    def days_pass(self) -> None:
        self.storage.close()
        age(self.place.name)
        self.storage = open_storage(self.place.name, registrywork.Careless())
        for model in self.models.values():
            model.blobs = dict.fromkeys(model.blobs, False)
            model.manifests = dict.fromkeys(model.manifests, False)

    @precondition(lambda self: any(not y for m in self.models.values() for y in m.blobs.values()))
    @rule()
    def collect(self) -> None:
        collect(self.storage, time.time(), DAY)
        for model in self.models.values():
            model.collect(self.bodies)
        kept = {digest for model in self.models.values() for digest in model.blobs}
        found = set(contents(self.place.name))
        assert found == kept
        assert check(self.storage).problems == ()

    @invariant()
    def same(self) -> None:
        for repository, model in self.models.items():
            assert blobs_of(self.storage, repository) == set(model.blobs)
            assert set(self.storage.manifests.digests(repository)) == set(model.manifests)
            assert list(self.storage.tags(repository) or ()) == sorted(model.tags)


TestRegistry = Registry.TestCase
TestRegistry.settings = settings(
    max_examples=20, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)


SHARED = [b"shared %d" % number for number in range(8)]


def push_again(storage: Storage, number: int) -> None:
    """Do what clients do: ask what is there, mount or push the rest, then the manifest."""
    for turn in range(40):
        repository = f"r{number % 2}"
        mine = [SHARED[(number + turn + step) % 8] for step in range(3)]
        for content in mine:
            digest = digest_of(content)
            if storage.blob(repository, digest) is None and not storage.mount(repository, digest, None):
                push_blob(storage, repository, content)
        body = image(*mine, salt=f"{number} {turn}")
        push_manifest(storage, repository, body, f"t{number}")
        for content in mine:
            blob = storage.blob(repository, digest_of(content))
            assert blob is not None
            assert Path(blob.path).read_bytes() == content
        assert storage.manifest(repository, f"t{number}") is not None
        if turn % 3 == 0:
            storage.delete_manifest(repository, digest_of(body))


def push_while_collecting(storage: Storage) -> int:
    """Let four clients push while collections follow each other; return how many of these there were."""
    with ThreadPoolExecutor(4) as pool:
        clients = [pool.submit(push_again, storage, number) for number in range(4)]
        collections = 0
        while not all(client.done() for client in clients):
            collect(storage, time.time(), DAY)
            collections += 1
        for client in clients:
            client.result()
    return collections


def test_clients_that_push_again_what_is_old_lose_nothing(tmp_path: Path) -> None:
    for _ in range(3):
        with open_storage(tmp_path, registrywork.Careless()) as storage:
            for content in SHARED:
                push_blob(storage, "r0", content)
        age(str(tmp_path))
        with open_storage(tmp_path, registrywork.Careless()) as storage:
            assert push_while_collecting(storage) > 0
            checked = check(storage)
            assert (checked.problems, checked.incomplete) == ((), ())


def test_a_damaged_repository_is_left_alone(tmp_path: Path) -> None:
    with open_storage(tmp_path) as storage:
        blob = push_blob(storage, "bad", b"layer")
        digest = push_manifest(storage, "bad", image(b"layer"), "1")
        (tmp_path / "repositories/bad/_manifests" / digest.replace(":", "-")).write_bytes(b"x\n{}")
        done = collect(storage, time.time() + 9 * DAY, 1)
        assert done.damaged == ("bad",)
        assert storage.blob("bad", blob) is not None


@pytest.mark.file_times
def test_old_uploads_expire(tmp_path: Path) -> None:
    with open_storage(tmp_path) as storage:
        upload = storage.begin("only/uploads")
        assert collect(storage, time.time(), DAY).uploads == 0
        assert collect(storage, time.time() + 2 * DAY, DAY).uploads == 1
        assert storage.offset("only/uploads", upload) is None


def test_an_index_goes_before_its_children(tmp_path: Path) -> None:
    """So whoever looks at the index meanwhile finds all of it, or nothing."""
    gone: list[str] = []

    class Watching(registrywork.Careless):
        def unlink(self, path: str) -> None:
            gone.append(Path(path).name)
            super().unlink(path)

    with open_storage(tmp_path, Watching()) as storage:
        push_blob(storage, "a", b"x")
        child = image(b"x")
        signature = image(b"x", subject=index(child))
        order = [index(index(child)), index(child), child]
        for body in (child, *order[:2]):
            push_manifest(storage, "a", body)
        push_manifest(storage, "a", signature, subject=index(child))
        collect(storage, time.time() + DAY, 1)
    expected = [digest_of(body).replace(":", "-") for body in order]
    assert [name for name in gone if name in expected] == expected
    assert gone.index(expected[1]) < gone.index(digest_of(signature).replace(":", "-"))


def test_whatever_a_manifest_of_any_kind_names_is_kept() -> None:
    one, two = digest_of(b"1"), digest_of(b"2", "sha512")
    body = msgspec.json.encode(
        {
            "subject": {"digest": digest_of(b"no")},
            "x": [{"deep": {"digest": one}}],
            "fsLayers": [{"blobSum": two}],
        }
    )
    assert set(mentioned(body)) == {one, two}
    assert set(mentioned(b"no JSON")) == set(mentioned(b"[" * 100_000)) == set()
