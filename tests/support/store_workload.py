"""Small images for tests of the store, and a workload that uses everything of the store.

Also a program, for tests with processes: ``python -m tests.support.store_workload ACTION ROOT ...``.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from pumice import digest as digests
from pumice import files
from pumice.clock import FixedClock
from pumice.errors import PumiceError, StoreError
from pumice.formats import oci
from pumice.progress import Silent
from pumice.store import garbage_collection
from pumice.store.home import Home
from pumice.store.verification import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.digest import Digest
    from pumice.files import NewFile
    from pumice.formats.oci import Descriptor
    from pumice.store.blobs import Blobs

Promise = dict[str, list[str | None]]
"""By name, the digests that it may have; None if it may be missing. Two while it is being changed."""


def put(blobs: Blobs, data: bytes) -> Digest:
    with blobs.writer() as writer:
        half = len(data) // 2
        writer.write(data[:half])
        writer.write(data[half:])
        return writer.commit()


def make_image(home: Home, layers: Sequence[Sequence[bytes]]) -> Descriptor:
    """Store an image whose layers are composed of the given parts."""
    layer_descriptors = []
    for segments in layers:
        layer = b"".join(segments)
        home.blobs.compose([put(home.blobs, segment) for segment in segments], digests.of(layer))
        layer_descriptors.append(oci.Descriptor(oci.LAYER_GZIP, digests.of(layer), len(layer)))
    config = msgspec.json.encode({"architecture": "amd64", "os": "linux", "salt": len(layers)})
    put(home.blobs, config)
    manifest = oci.encode_document(
        oci.make_manifest(oci.make_descriptor(config, oci.CONFIG), tuple(layer_descriptors))
    )
    put(home.blobs, manifest)
    return oci.make_descriptor(manifest, oci.MANIFEST)


def work(home: Home, promise: Callable[[Promise], None]) -> None:
    """Do every operation once; ``promise`` is called with statements that must hold from then on."""

    def point(name: str, target: Descriptor | None) -> None:
        old = home.refs.get(name)
        new = target.digest if target else None
        promise({name: [old.digest if old else None, new]})
        if target:
            home.refs.set(name, target)
        else:
            home.refs.remove(name)
        promise({name: [new]})

    shared = [b"segment one" * 50, b"segment two" * 40]
    first = make_image(home, [[b"head", *shared, b"end"], [b"app 1"]])
    home.records.put("segment", digests.of(b"key"), b"facts", [digests.of(shared[0])])
    point("example.com/Hello:1.0", first)
    second = make_image(home, [[b"head", *shared, b"end"], [b"app 2"]])
    point("example.com/Hello:1.0", second)
    point("other:1", first)
    point("other:1", None)
    home.records.put("segment", digests.of(b"key"), b"better facts", [digests.of(shared[1])])
    garbage_collection.collect(home, FixedClock(0), keep_days=None)
    third = make_image(home, [[b"head", shared[0], b"end"]])
    point("third/x:1", third)


def check(home: Home, promised: Promise) -> None:
    """Assert that a store is not damaged and keeps its promises."""
    findings = verify(home, Silent())
    assert findings.damaged == (), findings
    assert findings.is_sound(), findings
    for name, allowed_digests in promised.items():
        descriptor = home.refs.get(name)
        assert (descriptor.digest if descriptor else None) in allowed_digests, name


class UnsyncedFileSystem(files.OsFileSystem):
    """A file system that syncs nothing, for tests without power failures."""

    def create(self, path: str, mode: int = 0o666) -> NewFile:
        return _UnsyncedFile(super().create(path, mode))

    def sync_directory(self, path: str) -> None:
        pass


class _UnsyncedFile:
    def __init__(self, file: NewFile) -> None:
        self.write = file.write
        self.close = file.close

    def sync(self) -> None:
        pass


_FAST = UnsyncedFileSystem()


class StoppingFileSystem:
    """A file system that calls ``stop`` at its ``at``-th operation; a write is then half done."""

    def __init__(self, at: int, stop: Callable[[], None]) -> None:
        self.at = at
        self.stop = stop
        self.count = itertools.count(1)

    def step(self) -> bool:
        return next(self.count) == self.at

    def stop_if_reached(self) -> None:
        if self.step():
            self.stop()

    def create(self, path: str, mode: int = 0o666) -> NewFile:
        self.stop_if_reached()
        return _StoppingFile(_FAST.create(path, mode), self)

    def rename(self, source: str, target: str) -> None:
        self.stop_if_reached()
        _FAST.rename(source, target)

    def unlink(self, path: str) -> None:
        self.stop_if_reached()
        _FAST.unlink(path)

    def make_directory(self, path: str, mode: int = 0o777) -> None:
        self.stop_if_reached()
        _FAST.make_directory(path, mode)

    def sync_directory(self, path: str) -> None:
        self.stop_if_reached()
        _FAST.sync_directory(path)


class _StoppingFile:
    def __init__(self, file: NewFile, owner: StoppingFileSystem) -> None:
        self._file = file
        self._owner = owner

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._owner.step():
            self._file.write(bytes(data)[: len(data) // 2])
            self._owner.stop()
        self._file.write(data)

    def sync(self) -> None:
        if self._owner.step():
            self._owner.stop()
        self._file.sync()

    def close(self) -> None:
        self._file.close()


class KilledRun(NamedTuple):
    promised: Promise
    survived: bool


def _send_promise(descriptor: int, promise: Promise) -> None:
    os.write(descriptor, msgspec.json.encode(promise) + b"\n")


def run_killed(root: str, at: int) -> KilledRun:
    """Run the workload in a process that is killed at its ``at``-th operation; return its promises."""

    def run(stop: Callable[[], None], promise: Callable[[Promise], None]) -> None:
        work(Home(root, StoppingFileSystem(at, stop)), promise)

    return run_in_killed_process(run)


def run_in_killed_process(
    run: Callable[[Callable[[], None], Callable[[Promise], None]], None],
) -> KilledRun:
    """Call ``run`` in a new process and return its promises.

    ``run`` gets a function that kills the process by SIGKILL, and one that reports a promise.
    """
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            run(lambda: os.kill(os.getpid(), signal.SIGKILL), lambda promise: _send_promise(writing, promise))
        except BaseException:  # noqa: BLE001 - the child must not continue with the tests
            os._exit(1)
        os._exit(0)
    os.close(writing)
    promised: Promise = {}
    with os.fdopen(reading, "rb") as lines:
        for line in lines:
            promised |= msgspec.json.decode(line)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    return KilledRun(promised, status == 0)


def kill_everywhere(root: str) -> int:
    """Kill the workload at each operation, in new stores and in a reused one; return their number."""
    for at in itertools.count(1):
        fresh_root = f"{root}/{at}"
        killed_run = run_killed(fresh_root, at)
        with Home(fresh_root, _FAST) as home:
            check(home, killed_run.promised)
            work(home, lambda _: None)  # works as in a new store
            garbage_collection.collect(home, FixedClock(0), keep_days=None)
            check(home, {})
        assert not any(Path(fresh_root, "tmp").iterdir())
        killed_again = run_killed(f"{root}/old", at)
        with Home(f"{root}/old", _FAST) as home:
            check(home, killed_again.promised)
        if killed_run.survived:
            return at - 1
    raise AssertionError


def change_repeatedly(root: str, seed: int, rounds: int) -> None:
    """Change a store repeatedly, and print the promises."""
    for number in range(rounds):
        with Home(root) as home:
            image = make_image(home, [[b"shared", b"%d" % (number % 7)], [b"own %d %d" % (seed, number)]])
            name = f"worker/{seed}:{number % 3}"
            home.refs.set(name, image)
            sys.stdout.write(msgspec.json.encode({name: [image.digest]}).decode() + "\n")
            sys.stdout.flush()
        if number % 5 == seed % 5:
            with Home(root) as home:
                garbage_collection.collect(home, FixedClock(0), keep_days=None)


def fill_disk(root: str) -> None:
    """Write until the disk is full; print the error, then check that nothing is damaged."""
    home = Home(root)
    promised: Promise = {}
    try:
        work(home, promised.update)
        for number in range(1000):
            put(home.blobs, os.urandom(1 << 16))
            image = make_image(home, [[os.urandom(1 << 16)]])
            home.refs.set(f"big:{number}", image)
            promised[f"big:{number}"] = [image.digest]
    except StoreError as error:
        sys.stdout.write(f"{error}\n")
    check(home, promised)
    assert not any(Path(root, "tmp").iterdir())


def use_read_only(root: str) -> None:
    """Use a store that cannot be written to; print the errors."""
    home = Home(root)
    check(home, {})
    for attempt in (
        lambda: put(home.blobs, b"new"),
        lambda: home.records.put("kind", digests.of(b"x"), b"y"),
        lambda: home.refs.set("a:1", oci.make_descriptor(b"{}", oci.MANIFEST)),
        lambda: home.refs.remove("third/x:1"),
        lambda: home.directory("elsewhere"),
        lambda: garbage_collection.collect(home, FixedClock(0), keep_days=None),
    ):
        try:
            attempt()
        except PumiceError as error:
            sys.stdout.write(f"{error.message}\n")
    assert home.records.get("segment", digests.of(b"key")) in (None, b"better facts")


if __name__ == "__main__":
    action, store_root, *numbers = sys.argv[1:]
    if action == "kill":
        sys.stdout.write(f"{kill_everywhere(store_root)}\n")
    elif action == "churn":
        change_repeatedly(store_root, int(numbers[0]), int(numbers[1]))
    elif action == "work":
        work(Home(store_root), lambda _: None)
    elif action == "fill":
        fill_disk(store_root)
    elif action == "read-only":
        use_read_only(store_root)
