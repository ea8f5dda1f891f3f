"""Whatever is done to a store in whatever order, it holds what a simple model of it holds."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, multiple, rule

from pumice.clock import FixedClock
from pumice.digest import hex_of, of
from pumice.errors import StoreError
from pumice.formats import oci
from pumice.progress import Silent
from pumice.store import garbage_collection
from pumice.store.home import Home
from pumice.store.verification import verify
from tests.support.store_workload import UnsyncedFileSystem, put

CONTENT = st.sampled_from([b"", b"a", b"b", b"content", b"x" * 70_000])
NAMES = st.sampled_from(["a:1", "A:1", "a/b:1", "a:2"])
KEYS = st.sampled_from([of(b"key 1"), of(b"key 2")])


class Store(RuleBasedStateMachine):
    """A store and a model of it: what it must contain (``sure``) and what it may contain (``cache``)."""

    known = Bundle("known")

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self.root = Path(self._folder.name, "store")
        self.home = Home(self.root, UnsyncedFileSystem())
        self.contents: dict[str, bytes] = {}
        """Every blob that was ever put, by digest."""
        self.sure: set[str] = set()
        self.composed: dict[str, tuple[str, ...]] = {}
        self.refs: dict[str, str] = {}
        self.records: dict[str, bytes] = {}

    def teardown(self) -> None:
        self.home.close()
        self._folder.cleanup()

    @rule(target=known, data=CONTENT)
    def write(self, data: bytes) -> str:
        digest = put(self.home.blobs, data)
        assert digest == of(data)
        self.contents[digest] = data
        self.sure.add(digest)
        return digest

    @rule(data=CONTENT)
    def begin_and_give_up(self, data: bytes) -> None:
        with self.home.blobs.writer() as writer:
            writer.write(data)

    @rule(target=known, parts=st.lists(known, max_size=4))
    def compose(self, parts: list[str]) -> str:
        whole = b"".join(self.contents[part] for part in parts)
        digest = of(whole)
        if all(self.is_sure(part) for part in parts):
            self.home.blobs.compose(parts, digest)
            self.contents[digest] = whole
            if digest not in self.sure:
                self.composed[digest] = tuple(contained for part in parts for contained in self.flat(part))
        else:
            self.contents[digest] = whole
        return digest

    def flat(self, digest: str) -> tuple[str, ...]:
        return (digest,) if digest in self.sure else self.composed[digest]

    def is_sure(self, digest: str) -> bool:
        if digest in self.sure:
            return True
        return digest in self.composed and all(part in self.sure for part in self.composed[digest])

    @rule(name=NAMES, digest=known)
    def refer(self, name: str, digest: str) -> None:
        if self.is_sure(digest):
            size = len(self.contents[digest])
            self.home.refs.set(name, oci.Descriptor(oci.LAYER_TAR, digest, size))
            self.refs[name] = digest

    @rule(name=NAMES)
    def unrefer(self, name: str) -> None:
        assert self.home.refs.remove(name) == (name in self.refs)
        self.refs.pop(name, None)

    @rule(key=KEYS, value=CONTENT, keeps=st.lists(known, max_size=3))
    def record(self, key: str, value: bytes, keeps: list[str]) -> None:
        self.home.records.put("kind", key, value, keeps)
        self.records[key] = value

    @rule(digest=known, keep_time=st.booleans())
    def spoil(self, digest: str, keep_time: bool) -> None:
        """Let the disk change a byte. Images that needed it are gone with it."""
        path = self.root / "blobs" / "sha256" / hex_of(digest)
        if digest not in self.sure or not self.contents[digest]:
            return
        status_before = path.stat()
        path.chmod(0o644)
        path.write_bytes(b"?" + self.contents[digest][1:])
        if keep_time:
            os.utime(path, ns=(status_before.st_atime_ns, status_before.st_mtime_ns))
        self.sure.discard(digest)
        # Whoever asks for it removes it, also a list of parts under the same name.
        if self.home.blobs.size(digest) is None:
            self.composed.pop(digest, None)
        for name in [name for name, root in self.refs.items() if not self.is_sure(root)]:
            self.unrefer(name)

    @rule(drop=st.booleans())
    def collect(self, drop: bool) -> None:
        garbage_collection.collect(self.home, FixedClock(0), keep_days=None if drop else 30)
        if drop:
            self.records.clear()
            needed = {part for root in self.refs.values() for part in (root, *self.flat(root))}
            self.sure &= needed
            self.composed = {digest: parts for digest, parts in self.composed.items() if digest in needed}

    @rule(target=known)
    def restart(self) -> object:
        self.home.close()
        self.home = Home(self.root, UnsyncedFileSystem())
        return multiple()

    @rule()
    def forget_trust(self) -> None:
        (self.root / "trust").unlink(missing_ok=True)
        self.restart()

    @invariant()
    def holds_what_it_must(self) -> None:
        for digest, data in self.contents.items():
            if self.is_sure(digest):
                assert self.home.blobs.size(digest) == len(data)
                with self.home.blobs.open(digest) as file:
                    assert file.read() == data
            else:
                assert self.home.blobs.size(digest) is None
                try:
                    self.home.blobs.open(digest).close()
                except StoreError:
                    continue
                raise AssertionError(digest)

    @invariant()
    def names_and_records_are_as_set(self) -> None:
        assert {name: root.digest for name, root in self.home.refs.all().items()} == self.refs
        for key in (of(b"key 1"), of(b"key 2")):
            assert self.home.records.get("kind", key) == self.records.get(key)

    @invariant()
    def verifies(self) -> None:
        findings = verify(self.home, Silent())
        assert findings.is_sound(), findings


Store.TestCase.settings = hypothesis.settings(
    hypothesis.settings.get_profile("pumice"), max_examples=40, stateful_step_count=25
)
TestStore = Store.TestCase
