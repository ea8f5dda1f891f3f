"""The local store: where it is, and access to everything in it."""

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
from pumice.store.build_marks import BuildMarks
from pumice.store.directory_blobs import DirectoryBlobs
from pumice.store.file_names import is_plain_word
from pumice.store.location import locate as locate  # noqa: PLC0414 - part of this module's interface
from pumice.store.records import Records
from pumice.store.referrers import Referrers
from pumice.store.refs import Refs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pumice.progress import Progress
    from pumice.store.archive_marks import ArchiveMarks
    from pumice.store.referrers import Referrers

LAYOUT = 1
"""The version of the store layout; ``docs/reference/store.md`` specifies it."""

_DIRECTORIES = ("blobs", "blobs/sha256", "composed", "locks", "records", "refs", "tmp")


def check_owner(path: Path | str, environ: Mapping[str, str]) -> None:
    """Raise StoreError if root is about to use another user's directory that is not declared safe.

    Safe are the paths in ``PUMICE_SAFE_DIRECTORIES``, separated by colons, and in ``safe_directories`` of
    the configuration, if that file belongs to root; ``*`` is every directory.
    """
    ownership.check_owner(path, _read_safe_directories(environ))


def _read_safe_directories(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the safe directories; a generator, because the configuration is rarely needed."""
    yield from (directory for directory in environ.get("PUMICE_SAFE_DIRECTORIES", "").split(":") if directory)
    from pumice.recipe import config

    config_file = config.config_path(environ)
    try:
        if {os.lstat(config_file).st_uid, os.stat(config_file).st_uid} != {os.geteuid()}:
            return
    except OSError:
        return
    yield from config.load_config(environ).safe_directories


class Home:
    """A store, created on first use. Opening it reads one small file.

    From first use until `close` or the end of the process it holds the shared lock ``gc``, so that no
    collection removes what is in use. Can be used as a context manager.
    """

    def __init__(
        self,
        root: Path | str,
        fs: files.FileSystem = files.OS,
        progress: Progress | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """``progress`` receives warnings about damaged blobs and notes about waiting.

        ``environ`` (default: that of the process) declares which stores of other users root may use.
        """
        self._root = os.fspath(root)
        self._environ = os.environ if environ is None else environ
        self.fs = fs
        self._progress: Progress = progress or Silent()
        self._is_open = False
        self._state_lock = threading.RLock()
        self._collection_lock = files.FileLock(os.path.join(self._root, "locks", "gc"))
        self._thread_locks: dict[str, threading.Lock] = {}
        self._blobs = DirectoryBlobs(self._root, fs, self._progress)
        self._records = Records(self._root, self._blobs, fs)
        self._refs = Refs(self._root, self._blobs, fs)
        self._referrers: Referrers | None = None
        self._build_marks = BuildMarks(self._root, fs)
        self._archive_marks: ArchiveMarks | None = None

    @property
    def root(self) -> Path:
        """The directory of the store."""
        return Path(self._root)

    @property
    def blobs(self) -> DirectoryBlobs:
        """The blobs, by digest."""
        self._open()
        return self._blobs

    def scratch_directory(self) -> Path:
        """Return the directory for temporary files, which garbage collection empties."""
        self._open()
        return Path(self._root, "tmp")

    @property
    def records(self) -> Records:
        """The action cache."""
        self._open()
        return self._records

    @property
    def refs(self) -> Refs:
        """The images, by name."""
        self._open()
        return self._refs

    @property
    def referrers(self) -> Referrers:
        """Evidence and signatures, by subject."""
        self._open()
        if self._referrers is None:
            from pumice.store.referrers import Referrers

            self._referrers = Referrers(self._root, self._blobs, self.fs)
        return self._referrers

    @property
    def build_marks(self) -> BuildMarks:
        """The marks of images that were built here."""
        self._open()
        return self._build_marks

    @property
    def archive_marks(self) -> ArchiveMarks:
        """The marks of images that came from signed archives of another format."""
        self._open()
        if self._archive_marks is None:
            from pumice.store.archive_marks import ArchiveMarks

            self._archive_marks = ArchiveMarks(self._root, self.fs)
        return self._archive_marks

    def directory(self, name: str) -> Path:
        """Return a directory of the store for files of one package, created if needed.

        The next collection removes what is in ``tmp``. Raises StoreError.
        """
        if not is_plain_word(name):
            raise ValueError(f"{name!r} is not a name for a directory of the store")
        self._open()
        path = os.path.join(self._root, name)
        if not os.path.isdir(path):
            with translate_os_errors(path):
                self._make_directory(path)
        return Path(path)

    @contextmanager
    def lock(self, name: str) -> Iterator[None]:
        """Hold the lock ``name`` exclusively, against threads and processes; not reentrant.

        Raises StoreError if the store is read-only and has no such lock file.
        """
        if not is_plain_word(name) or name == "gc":
            raise ValueError(f"{name!r} is not a name for a lock")
        self._open()
        with self._state_lock:
            thread_lock = self._thread_locks.setdefault(name, threading.Lock())
        with thread_lock, files.FileLock(os.path.join(self._root, "locks", name)):
            yield

    @contextmanager
    def lock_exclusively(self) -> Iterator[None]:
        """Wait for all other users of the store, and exclude new ones."""
        self._open()
        with self._state_lock:
            self._collection_lock.release()
            self._collection_lock.acquire(
                waiting=self._make_notifier("waiting for other pumice commands to finish")
            )
            try:
                yield
            finally:
                self._collection_lock.release()
                self._lock_shared()

    def close(self) -> None:
        """Release the shared lock, which allows collections; using the store again opens it again."""
        with self._state_lock:
            self._collection_lock.release()
            self._is_open = False

    def __enter__(self) -> Home:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _open(self) -> None:
        if self._is_open:
            return
        with self._state_lock:
            if not self._is_open:
                check_owner(self._root, self._environ)
                try:
                    if self._check_layout():
                        self._lock_shared()
                    else:
                        self._create()
                except BaseException:
                    self._collection_lock.release()
                    raise
                self._is_open = True

    def _lock_shared(self) -> None:
        self._collection_lock.acquire(
            shared=True, waiting=self._make_notifier("waiting for pumice gc to finish")
        )

    def _make_notifier(self, message: str) -> files.Callback:
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
                f"the store has layout {int(text)}, and this version of Pumice supports layout {LAYOUT}",
                where=self._root,
                hint="use a newer Pumice, or set PUMICE_HOME to another directory",
            )
        raise StoreError(
            "the store's version file is damaged",
            where=path,
            hint=f"write {LAYOUT} into it if this is a store of Pumice",
        )

    def _create(self) -> None:
        """Create an empty store and hold its shared lock; the version file is written last.

        The lock comes first, because a collection removes every temporary file, also that of a version file.
        """
        with translate_os_errors(self._root):
            self._make_parents(self._root)
            self._refuse_other_content()
            self._make_directory(os.path.join(self._root, "locks"))
        self._lock_shared()
        if self._check_layout():  # another process was faster
            return
        with translate_os_errors(self._root):
            for name in _DIRECTORIES:
                self._make_directory(os.path.join(self._root, name))
            # A version file implies that everything else exists, whatever fails in between.
            self.fs.sync_directory(os.path.join(self._root, "blobs"))
            self.fs.sync_directory(self._root)
        files.replace(os.path.join(self._root, "version"), b"%d\n" % LAYOUT, fs=self.fs, translation=STORE)

    def _refuse_other_content(self) -> None:
        names = set(os.listdir(self._root))
        foreign_names = {name for name in names.difference(_DIRECTORIES) if name[0] != "."}
        # Another process may have created the store since, with directories of any package.
        if foreign_names and not self._check_layout():
            raise StoreError(
                f"the directory is not a store of Pumice: it contains {min(foreign_names)!r}",
                where=self._root,
                hint="set PUMICE_HOME to an empty directory",
            )

    def _make_parents(self, path: str) -> None:
        if os.path.isdir(path):
            return
        parent = os.path.dirname(path) or os.curdir
        self._make_parents(parent)
        self._make_directory(path, ownership.PRIVATE_MODE)
        self.fs.sync_directory(parent)

    def _make_directory(self, path: str, mode: int = ownership.SHARED_MODE) -> None:
        try:
            self.fs.make_directory(path, mode)
        except FileExistsError:
            if not os.path.isdir(path):
                raise
