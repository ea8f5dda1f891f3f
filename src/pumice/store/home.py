"""The place of the local store, and the door to everything in it."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pumice import files, ownership
from pumice.errors import StoreError
from pumice.os_errors import STORE, translate_os_errors
from pumice.progress import Silent
from pumice.store.build_marks import Built
from pumice.store.directory_blobs import DirectoryBlobs
from pumice.store.file_names import is_word
from pumice.store.records import Records
from pumice.store.referrers import Referrers
from pumice.store.refs import Refs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pumice.progress import Progress
    from pumice.store.referrers import Referrers

LAYOUT = 1
"""Version of the layout that ``docs/reference/store.md`` specifies."""

_OURS = ("blobs", "blobs/sha256", "composed", "locks", "records", "refs", "tmp")


def locate(environ: Mapping[str, str]) -> Path:
    """Return where the store is: ``PUMICE_HOME``, else ``pumice`` in the XDG data directory.

    XDG Base Directory 0.8: a relative ``XDG_DATA_HOME`` is ignored. Raises StoreError if there is
    no home directory either.
    """
    if chosen := environ.get("PUMICE_HOME"):
        return Path(os.path.abspath(chosen))
    data = environ.get("XDG_DATA_HOME", "")
    if os.path.isabs(data):
        return Path(data, "pumice")
    if home := environ.get("HOME"):
        return Path(os.path.abspath(home), ".local", "share", "pumice")
    raise StoreError("there is no home directory to keep the store in", hint="set PUMICE_HOME")


def check_owner(path: Path | str, environ: Mapping[str, str]) -> None:
    """Raise StoreError if root is about to use another user's directory that is not declared safe.

    ``PUMICE_SAFE_DIRECTORIES`` declares paths, separated by colons, and ``safe_directories`` of the
    configuration, which counts only if it is root's own; ``*`` is every directory.
    """
    ownership.check_owner(path, _safe_directories(environ))


def _safe_directories(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the directories. A generator, because the configuration is rarely needed."""
    yield from (item for item in environ.get("PUMICE_SAFE_DIRECTORIES", "").split(":") if item)
    from pumice.recipe import config

    file = config.config_path(environ)
    try:
        if {os.lstat(file).st_uid, os.stat(file).st_uid} != {os.geteuid()}:
            return
    except OSError:
        return
    yield from config.load_config(environ).safe_directories


class Home:
    """A store. Opening it reads one small file; it is made on first use.

    From first use until `close` (or the end of the process) it holds the shared lock ``gc``, so
    that no collection takes away what is being used. A context manager, but need not be.
    """

    def __init__(
        self,
        root: Path | str,
        fs: files.FileSystem = files.OS,
        progress: Progress | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """``progress`` hears of damaged blobs and of waiting.

        ``environ`` (default: the process's) tells which stores of other users root may use.
        """
        self._root = os.fspath(root)
        self._environ = os.environ if environ is None else environ
        self.fs = fs
        self._progress: Progress = progress or Silent()
        self._ready = False
        self._guard = threading.RLock()
        self._collector = files.FileLock(os.path.join(self._root, "locks", "gc"))
        self._in_process: dict[str, threading.Lock] = {}
        self._blobs = DirectoryBlobs(self._root, fs, self._progress)
        self._records = Records(self._root, self._blobs, fs)
        self._refs = Refs(self._root, self._blobs, fs)
        self._referrers: Referrers | None = None
        self._built = Built(self._root, fs)

    @property
    def root(self) -> Path:
        """Where the store is."""
        return Path(self._root)

    @property
    def blobs(self) -> DirectoryBlobs:
        """Content by digest."""
        self._use()
        return self._blobs

    @property
    def records(self) -> Records:
        """What was found out before."""
        self._use()
        return self._records

    @property
    def refs(self) -> Refs:
        """Images by name."""
        self._use()
        return self._refs

    @property
    def referrers(self) -> Referrers:
        """Evidence and signatures by what they are about."""
        self._use()
        if self._referrers is None:
            from pumice.store.referrers import Referrers

            self._referrers = Referrers(self._root, self._blobs, self.fs)
        return self._referrers

    @property
    def built(self) -> Built:
        """Which images were built here."""
        self._use()
        return self._built

    def directory(self, name: str) -> Path:
        """Return a directory of the store for one room's own files; made if it is not there.

        What is in ``tmp`` is removed by the next `gc`. Raises StoreError.
        """
        if not is_word(name):
            raise ValueError(f"{name!r} is no name for a directory of the store")
        self._use()
        path = os.path.join(self._root, name)
        if not os.path.isdir(path):
            with translate_os_errors(path):
                self._make(path)
        return Path(path)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the lock ``name`` alone, against threads and processes; not re-entrant.

        Raises StoreError if the store cannot be written to and has no such lock file.
        """
        if not is_word(name) or name == "gc":
            raise ValueError(f"{name!r} is no name for a lock")
        self._use()
        with self._guard:
            in_process = self._in_process.setdefault(name, threading.Lock())
        with in_process, files.FileLock(os.path.join(self._root, "locks", name)):
            yield

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Keep every other user of the store out, waiting for those that are in."""
        self._use()
        with self._guard:
            self._collector.release()
            self._collector.acquire(waiting=self._say("waiting for other pumice commands to finish"))
            try:
                yield
            finally:
                self._collector.release()
                self._share()

    def close(self) -> None:
        """Let collections happen again; using the store again opens it again."""
        with self._guard:
            self._collector.release()
            self._ready = False

    def __enter__(self) -> Home:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _use(self) -> None:
        if self._ready:
            return
        with self._guard:
            if not self._ready:
                check_owner(self._root, self._environ)
                try:
                    if self._check_layout():
                        self._share()
                    else:
                        self._create()
                except BaseException:
                    self._collector.release()
                    raise
                self._ready = True

    def _share(self) -> None:
        self._collector.acquire(shared=True, waiting=self._say("waiting for pumice gc to finish"))

    def _say(self, message: str) -> files.Callback:
        return lambda: self._progress.note(message)

    def _check_layout(self) -> bool:
        path = os.path.join(self._root, "version")
        try:
            with open(path, "rb", buffering=0) as file:
                text = file.read(20)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise STORE.translate(error, path) from error
        if text.strip() == b"%d" % LAYOUT:
            return True
        if text.strip().isdigit():
            raise StoreError(
                f"the store has layout {int(text)}, and this version of Pumice knows {LAYOUT}",
                where=self._root,
                hint="use a newer Pumice, or set PUMICE_HOME to another directory",
            )
        raise StoreError(
            "the store's version file is damaged",
            where=path,
            hint=f"write {LAYOUT} into it if this is a store of Pumice",
        )

    def _create(self) -> None:
        """Make an empty store and hold its collection lock; what says that it is one comes last.

        The lock comes first: a collection removes every temporary file, also that of a version file.
        """
        with translate_os_errors(self._root):
            self._make_parents(self._root)
            self._refuse_other_content()
            self._make(os.path.join(self._root, "locks"))
        self._share()
        if self._check_layout():  # another process was faster
            return
        with translate_os_errors(self._root):
            for name in _OURS:
                self._make(os.path.join(self._root, name))
            # Where there is a version there must be all the rest, whatever fails in between.
            self.fs.sync_directory(os.path.join(self._root, "blobs"))
            self.fs.sync_directory(self._root)
        files.replace(os.path.join(self._root, "version"), b"%d\n" % LAYOUT, fs=self.fs, translation=STORE)

    def _refuse_other_content(self) -> None:
        names = set(os.listdir(self._root))
        strangers = {name for name in names.difference(_OURS) if name[0] != "."}
        # A store that another process has made since we looked may have directories of any room.
        if strangers and not self._check_layout():
            raise StoreError(
                f"this directory has other things in it ({min(strangers)}) and is not a store of Pumice",
                where=self._root,
                hint="set PUMICE_HOME to an empty directory",
            )

    def _make_parents(self, path: str) -> None:
        if os.path.isdir(path):
            return
        parent = os.path.dirname(path)
        self._make_parents(parent)
        self._make(path, ownership.PRIVATE_MODE)
        self.fs.sync_directory(parent)

    def _make(self, path: str, mode: int = ownership.SHARED_MODE) -> None:
        try:
            self.fs.make_directory(path, mode)
        except FileExistsError:
            if not os.path.isdir(path):
                raise
