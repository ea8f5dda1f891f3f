"""The directories of attachments: created with their lock, and released when nobody holds that."""

from __future__ import annotations

import fcntl
import os
import uuid
from pathlib import Path

from pumice.runtime.network.keeper import records
from pumice.runtime.network.keeper.release import release

_TRIES = 100


def create_directory(attachments: Path) -> tuple[Path, int]:
    """Create the directory of an attachment; return it with the descriptor that holds its lock."""
    for _ in range(_TRIES):
        directory = attachments / uuid.uuid4().hex
        directory.mkdir(mode=0o700)
        lock = _lock(directory, waits=True)
        if lock is not None:  # else another command has released it, because it had no lock for a moment
            return directory, lock
    raise FileNotFoundError(f"{attachments}: each new directory was removed at once")


def release_abandoned(attachments: Path, *, waits: bool = False) -> int:
    """Release the attachments whose pod has ended and that nobody holds; return their number.

    They are those whose ``pumice run`` or keeper was killed. Ask for it often: it costs two system calls for
    each attachment in use. With ``waits``, keepers are awaited that are releasing theirs, which count too.
    """
    count = 0
    for directory in sorted(attachments.iterdir()):
        if directory.is_dir():
            count += _release_if_abandoned(directory, waits=waits)
    return count


def _release_if_abandoned(directory: Path, *, waits: bool) -> bool:
    is_ending = waits and records.has_ended(records.read_record(str(directory)))
    try:
        lock = _lock(directory, waits=is_ending)
    except OSError:  # in use, or on a file system without locks
        return False
    if lock is None:
        return is_ending
    try:
        record = records.read_record(str(directory))
        if "pid" in record and not records.has_ended(record):
            return False  # only its keeper was killed
        release(str(directory))
    finally:
        os.close(lock)
    return True


def _lock(directory: Path, *, waits: bool) -> int | None:
    """Lock a directory and return the descriptor, None if it does not exist; raises OSError."""
    try:
        lock = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
        if directory.exists():
            return lock
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    return None
