"""Small images for tests of the store, and a run of everything that the store can do.

Also a program, for tests with processes: ``python -m tests.support.storework ACTION ROOT ...``.
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
"""Names with the digests that they may stand for, None for being gone: two while one is being changed."""


def put(blobs: Blobs, data: bytes) -> Digest:
    with blobs.writer() as writer:
        half = len(data) // 2
        writer.write(data[:half])
        writer.write(data[half:])
        return writer.commit()


def make_image(home: Home, layers: Sequence[Sequence[bytes]]) -> Descriptor:
    """Put an image into the store whose layers are composed of the given parts."""
    described = []
    for parts in layers:
        whole = b"".join(parts)
        home.blobs.compose([put(home.blobs, part) for part in parts], digests.of(whole))
        described.append(oci.Descriptor(oci.LAYER_GZIP, digests.of(whole), len(whole)))
    config = msgspec.json.encode({"architecture": "amd64", "os": "linux", "salt": len(layers)})
    put(home.blobs, config)
    manifest = oci.encode_document(
        oci.make_manifest(oci.make_descriptor(config, oci.CONFIG), tuple(described))
    )
    put(home.blobs, manifest)
    return oci.make_descriptor(manifest, oci.MANIFEST)


def work(home: Home, promise: Callable[[Promise], None]) -> None:
    """Do everything once; ``promise`` is told what must hold from then on, whatever happens."""

    def point(name: str, target: Descriptor | None) -> None:
        before = home.refs.get(name)
        now = target.digest if target else None
        promise({name: [before.digest if before else None, now]})
        if target:
            home.refs.set(name, target)
        else:
            home.refs.remove(name)
        promise({name: [now]})

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
    """Assert that a store is whole and holds what it promised."""
    findings = verify(home, Silent())
    assert findings.damaged == (), findings
    assert findings.is_sound(), findings
    for name, allowed in promised.items():
        found = home.refs.get(name)
        assert (found.digest if found else None) in allowed, name


class Careless(files.OsFileSystem):
    """A file system that syncs nothing, for tests whose power does not fail."""

    def create(self, path: str, mode: int = 0o666) -> NewFile:
        return _CarelessFile(super().create(path, mode))

    def sync_directory(self, path: str) -> None:
        pass


class _CarelessFile:
    def __init__(self, file: NewFile) -> None:
        self.write = file.write
        self.close = file.close

    def sync(self) -> None:
        pass


_FAST = Careless()


class Stopper:
    """A file system that calls ``stop`` at its ``at``-th operation, half way through if that can be."""

    def __init__(self, at: int, stop: Callable[[], None]) -> None:
        self.at = at
        self.stop = stop
        self.count = itertools.count(1)

    def step(self) -> bool:
        return next(self.count) == self.at

    def _before(self) -> None:
        if self.step():
            self.stop()

    def create(self, path: str, mode: int = 0o666) -> NewFile:
        self._before()
        return _StopperFile(_FAST.create(path, mode), self)

    def rename(self, source: str, target: str) -> None:
        self._before()
        _FAST.rename(source, target)

    def unlink(self, path: str) -> None:
        self._before()
        _FAST.unlink(path)

    def make_directory(self, path: str, mode: int = 0o777) -> None:
        self._before()
        _FAST.make_directory(path, mode)

    def sync_directory(self, path: str) -> None:
        self._before()
        _FAST.sync_directory(path)


class _StopperFile:
    def __init__(self, file: NewFile, owner: Stopper) -> None:
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


class Killed(NamedTuple):
    promised: Promise
    survived: bool


def _tell(descriptor: int, promise: Promise) -> None:
    os.write(descriptor, msgspec.json.encode(promise) + b"\n")


def killed(root: str, at: int) -> Killed:
    """Work in a process that is killed (SIGKILL) at its ``at``-th operation; return what it had promised."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        try:
            home = Home(root, Stopper(at, lambda: os.kill(os.getpid(), signal.SIGKILL)))
            work(home, lambda promise: _tell(writing, promise))
        except BaseException:  # noqa: BLE001 - a child must not go on with the tests
            os._exit(1)
        os._exit(0)
    os.close(writing)
    promised: Promise = {}
    with os.fdopen(reading, "rb") as lines:
        for line in lines:
            promised |= msgspec.json.decode(line)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in (0, -signal.SIGKILL), status
    return Killed(promised, status == 0)


def kill_everywhere(root: str) -> int:
    """Kill the work at each of its operations, in fresh stores and in one that lives on; return how many."""
    for at in itertools.count(1):
        one = f"{root}/{at}"
        result = killed(one, at)
        with Home(one, _FAST) as home:
            check(home, result.promised)
            work(home, lambda _: None)  # as if nothing had been
            garbage_collection.collect(home, FixedClock(0), keep_days=None)
            check(home, {})
        assert not any(Path(one, "tmp").iterdir())
        old = killed(f"{root}/old", at)
        with Home(f"{root}/old", _FAST) as home:
            check(home, old.promised)
        if result.survived:
            return at - 1
    raise AssertionError


def churn(root: str, seed: int, rounds: int) -> None:
    """Work over and over, saying on standard output what is promised."""
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


def fill(root: str) -> None:
    """Write until the disk refuses; print the sentence, then check that nothing is broken."""
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


def read_only(root: str) -> None:
    """Use a store that cannot be written to; print what is refused."""
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
    action, place, *numbers = sys.argv[1:]
    if action == "kill":
        sys.stdout.write(f"{kill_everywhere(place)}\n")
    elif action == "churn":
        churn(place, int(numbers[0]), int(numbers[1]))
    elif action == "work":
        work(Home(place), lambda _: None)
    elif action == "fill":
        fill(place)
    elif action == "read-only":
        read_only(place)
