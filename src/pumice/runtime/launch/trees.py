"""Locking a prepared tree, and recognizing it as unchanged; `prepared_tree` makes them."""

from __future__ import annotations

import fcntl
import os
from _blake2 import blake2b

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

BOOT, FINGERPRINT = "boot", "fingerprint"
"""Files of a tree: the id of the boot in which it was unpacked, and the metadata of all files."""
SUMMARY_LENGTH = 64
"""Hexadecimal digits of a summary, with which a fingerprint begins."""
_BOOT_ID = "/proc/sys/kernel/random/boot_id"


def lock_tree(directory: str) -> int | None:
    """Return a descriptor that locks a tree against `prepared_tree.remove_unused`, None if it is gone."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    except OSError:  # a file system without locks
        pass
    try:
        # The locked directory must be the one that has the name now, not one that was replaced.
        if os.path.samestat(os.fstat(descriptor), os.stat(directory)):
            return descriptor
    except FileNotFoundError:
        pass
    os.close(descriptor)
    return None


def read_boot_id() -> bytes:
    """Return the id of this boot, empty if it is unknown."""
    try:
        with open(_BOOT_ID, "rb", buffering=0) as file:
            return file.read()
    except OSError:
        return b""


def is_unchanged(directory: str) -> bool:
    """Return whether a tree is of this boot, and its files have the metadata that was recorded."""
    try:
        with open(f"{directory}/{BOOT}", "rb", buffering=0) as file:
            if file.read() != read_boot_id():
                return False
        with open(f"{directory}/{FINGERPRINT}", "rb", buffering=0) as file:
            recorded_summary = file.read(SUMMARY_LENGTH)
        return summarize(list_files(f"{directory}/root")).encode() == recorded_summary
    except OSError:
        return False


def list_files(root: str) -> Iterator[tuple[str, str]]:
    """Yield each path below ``root`` and its metadata, always in the same order."""
    yield "", _format_without_times(os.lstat(root))  # it was renamed when it was ready
    pending = [""]
    while pending:
        directory = pending.pop()
        try:
            with os.scandir(f"{root}/{directory}") as entries:
                children = sorted(entries, key=_entry_name)
        except PermissionError:  # the image's mode forbids it, also to a program without privileges
            continue
        for entry in children:
            path = f"{directory}{entry.name}"
            status = entry.stat(follow_symlinks=False)
            mode, inode, _, _, uid, gid, size, *_ = status
            times = f"{status.st_mtime_ns} {status.st_ctime_ns}"
            yield path, f"{mode} {uid} {gid} {size} {status.st_rdev} {times} {inode}"
            if entry.is_dir(follow_symlinks=False):
                pending.append(f"{path}/")


def _entry_name(entry: os.DirEntry[str]) -> str:
    return entry.name


def _format_without_times(status: os.stat_result) -> str:
    return f"{status.st_mode} {status.st_uid} {status.st_gid} {status.st_size} {status.st_rdev}"


def summarize(files: Iterable[tuple[str, str]]) -> str:
    """Return the digest of paths and metadata, which one comparison checks."""
    text = "\0".join([part for file in files for part in file])
    return blake2b(text.encode(errors="surrogateescape"), digest_size=SUMMARY_LENGTH // 2).hexdigest()
