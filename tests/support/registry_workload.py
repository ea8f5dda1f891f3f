"""A workload that uses everything of a registry's storage, and disks that fail or lose power.

Promises are written as in `store_workload`: statements with the values that they may have.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice import files
from pumice.registry.server.collection import collect
from pumice.registry.server.integrity import check
from pumice.registry.server.storage.disk.filesystem import OsDisk
from pumice.registry.server.storage.disk.storage import open_storage
from pumice.registry.server.storage.protocol import LocalFile, Referrer, StoredManifest
from tests.support import crashes, store_workload

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pumice.files import NewFile
    from pumice.registry.server.storage.protocol import Storage
    from tests.support.store_workload import Promise

    Promised = Callable[[Promise], None]

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LATER = 1e6


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def descriptor(data: bytes, media_type: str = MANIFEST, algorithm: str = "sha256") -> dict[str, object]:
    return {"mediaType": media_type, "digest": digest_of(data, algorithm), "size": len(data)}


def image(*blobs: bytes, subject: bytes | None = None, salt: str = "") -> bytes:
    document: dict[str, object] = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "layers": [descriptor(blob, "l") for blob in blobs],
        "annotations": {"salt": salt},
    }
    if subject is not None:
        document["subject"] = descriptor(subject)
    return msgspec.json.encode(document)


def index(*manifests: bytes) -> bytes:
    return msgspec.json.encode(
        {
            "schemaVersion": 2,
            "mediaType": INDEX,
            "manifests": [descriptor(manifest) for manifest in manifests],
        }
    )


def push_blob(storage: Storage, repository: str, *chunks: bytes, algorithm: str = "sha256") -> str:
    upload = storage.uploads.begin(repository, algorithm)
    offset = 0
    for chunk in chunks:
        offset = storage.uploads.append(repository, upload, offset, chunk)
    digest = digest_of(b"".join(chunks), algorithm)
    storage.uploads.finish(repository, upload, digest)
    return digest


def push_manifest(
    storage: Storage, repository: str, body: bytes, *tags: str, subject: bytes | None = None
) -> str:
    digest = digest_of(body)
    referrer = None
    if subject is not None:
        referrer = Referrer(digest_of(subject), msgspec.json.encode(descriptor(body)))
    storage.manifests.put(repository, StoredManifest(digest, MANIFEST, body), tags, referrer)
    return digest


def value_of(storage: Storage, statement: str) -> str | None:
    """Return the current value of a statement."""
    kind, repository, name = statement.split(" ", 2)
    if kind == "blob":
        blob = storage.blobs.find(repository, name)
        return name if blob is not None and _size(blob.content) == blob.size else None
    if kind == "referrer":
        subject, _, digest = name.partition(" ")
        descriptors = storage.referrers.list(repository, subject)
        return digest if digest in [msgspec.json.decode(data)["digest"] for data in descriptors] else None
    manifest = storage.manifests.find(repository, name)
    return None if manifest is None else manifest.digest


def _size(content: object) -> int:
    if isinstance(content, bytes):
        return len(content)
    assert isinstance(content, LocalFile)
    return Path(content.path).stat().st_size


class Promiser:
    """Does operations on a storage and promises their results: the old or the new state while they run."""

    def __init__(self, storage: Storage, promise: Promised) -> None:
        self.storage = storage
        self.promise = promise

    def do(self, operation: Callable[[], object], changes: Mapping[str, str | None]) -> None:
        old_values = {statement: value_of(self.storage, statement) for statement in changes}
        self.promise({name: [old_values[name], value] for name, value in changes.items()})
        operation()
        self.promise({name: [value] for name, value in changes.items()})

    def blob(self, repository: str, *chunks: bytes, algorithm: str = "sha256") -> None:
        digest = digest_of(b"".join(chunks), algorithm)
        changes: dict[str, str | None] = {f"blob {repository} {digest}": digest}
        self.do(lambda: push_blob(self.storage, repository, *chunks, algorithm=algorithm), changes)

    def manifest(self, repository: str, body: bytes, *tags: str, subject: bytes | None = None) -> None:
        digest = digest_of(body)
        changes: dict[str, str | None] = {f"manifest {repository} {name}": digest for name in (digest, *tags)}
        if subject is not None:
            changes[f"referrer {repository} {digest_of(subject)} {digest}"] = digest
        self.do(lambda: push_manifest(self.storage, repository, body, *tags, subject=subject), changes)


def work(storage: Storage, promise: Promised) -> None:
    """Do every operation once; ``promise`` is called with statements that must hold from then on."""
    promiser = Promiser(storage, promise)
    base, app, unused_blob = b"base layer" * 9, b"application", b"another application"
    promiser.blob("team/app", base)
    promiser.blob("team/app", app[:4], app[4:])
    promiser.blob("team/app", base, algorithm="sha512")
    first, second = image(base, app, salt="1"), image(base, salt="2")
    promiser.manifest("team/app", first, "1.0", "latest")
    base_digest = digest_of(base)
    promiser.do(
        lambda: storage.blobs.mount("team", base_digest, ["team/app"]),
        {f"blob team {base_digest}": base_digest},
    )
    promiser.manifest("team/app", second, "latest")
    signature = image(base, subject=second, salt="signature")
    promiser.manifest("team/app", signature, subject=second)
    promiser.manifest("team/app", index(first, second), "all")
    promiser.blob("team", unused_blob)
    unused_digest = digest_of(unused_blob)
    promiser.do(lambda: storage.blobs.delete("team", unused_digest), {f"blob team {unused_digest}": None})
    doomed = image(base, salt="doomed")
    promiser.manifest("team", doomed, "a", "b")
    names = (digest_of(doomed), "a", "b")
    promiser.do(
        lambda: storage.manifests.delete("team", digest_of(doomed)),
        {f"manifest team {name}": None for name in names},
    )
    promiser.do(lambda: storage.tags.delete("team/app", "1.0"), {"manifest team/app 1.0": None})
    orphan_signature = image(base, subject=doomed, salt="signature of the dead")
    promiser.manifest("team", orphan_signature, subject=doomed)
    storage.uploads.append("team", storage.uploads.begin("team"), 0, b"never finished")
    collected = {
        f"manifest team {digest_of(orphan_signature)}": None,
        f"referrer team {digest_of(doomed)} {digest_of(orphan_signature)}": None,
        f"blob team {base_digest}": None,
        f"blob team/app {digest_of(base, 'sha512')}": None,
    }
    promiser.do(lambda: collect(storage, time.time() + LATER, 1), collected)
    promiser.blob("team", unused_blob)


def verify(storage: Storage, promised: Promise) -> None:
    """Assert that a registry is not damaged and keeps its promises."""
    findings = check(storage)
    assert findings.damaged == ()
    assert findings.incomplete == ()
    for statement, allowed_values in promised.items():
        assert value_of(storage, statement) in allowed_values, statement


class RecordingDisk(crashes.RecordingFileSystem):
    """A disk that records its operations."""

    def extend(self, path: str) -> NewFile:
        name = self._name(path)
        number = next(
            operation.number
            for operation in reversed(self.log)
            if operation.kind == "create" and operation.path == name
        )
        return crashes._RecordedFile(OsDisk().extend(path), self.log, number)


class StoppingDisk(store_workload.StoppingFileSystem):
    """A disk that calls ``stop`` at its ``at``-th operation, and syncs nothing."""

    def extend(self, path: str) -> NewFile:
        self.stop_if_reached()
        return store_workload._StoppingFile(OsDisk().extend(path), self)


class FullDisk(StoppingDisk):
    """A disk without space at its ``at``-th operation, or from then on; removing files always works."""

    def __init__(self, at: int, *, stays: bool) -> None:
        super().__init__(at, _no_space)
        self.stays = stays
        self.done = 0

    def step(self) -> bool:
        self.done += 1
        return self.done >= self.at if self.stays else self.done == self.at

    def unlink(self, path: str) -> None:
        files.OS.unlink(path)


def _no_space() -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class UnsyncedDisk(store_workload.UnsyncedFileSystem):
    """A disk that syncs nothing, for tests without power failures."""

    def extend(self, path: str) -> NewFile:
        return OsDisk().extend(path)


def run_killed(root: Path, at: int) -> store_workload.KilledRun:
    """Run the workload in a process that is killed at its ``at``-th operation; return its promises."""

    def run(stop: Callable[[], None], promise: Promised) -> None:
        with open_storage(root, StoppingDisk(at, stop)) as storage:
            work(storage, promise)

    return store_workload.run_in_killed_process(run)


def kill_everywhere(root: Path) -> int:
    """Kill the workload at each operation, in new roots and in a reused one; return their number."""
    for at in itertools.count(1):
        fresh = run_killed(root / str(at), at)
        with open_storage(root / str(at), UnsyncedDisk()) as storage:
            verify(storage, fresh.promised)
            work(storage, lambda _: None)  # works as in a new root
            verify(storage, {})
        if at % 3 == 0:
            killed_again = run_killed(root / "old", at)
            with open_storage(root / "old", UnsyncedDisk()) as storage:
                verify(storage, killed_again.promised)
        if fresh.survived:
            return at - 1
    raise AssertionError
