"""The cache of package indexes, in the store's ``indexes`` directory.

``release-<key>`` holds the last signed Release accepted from a mirror and suite: later ones are compared
with it to detect a rollback, and ``--offline`` uses it. ``packages-<digest>`` holds a decompressed index,
``names-<digest>`` the table of its package names. Any of these files may be deleted at any time.
"""

from __future__ import annotations

import hashlib
import os
from mmap import ACCESS_READ, mmap
from pathlib import Path

import msgspec

from pumice import files
from pumice.cache_keys import code_version
from pumice.decoding import decode_msgpack
from pumice.errors import FormatError
from pumice.formats import aptindex
from pumice.os_errors import translate_os_errors

_DAY = 86_400
_STAMP_SIZE = 16
"""Bytes of each of the two stamps between an index's file state and its table: one changes with the code,
the other with each boot of the machine."""


class CachedRelease(msgspec.Struct, frozen=True, array_like=True):
    """A Release file as received, with its mirror, suite and Date (seconds since the epoch).

    ``signature`` is empty for a clear-signed file; ``indexes`` are the digests of the package indexes
    in use that it lists.
    """

    url: str
    suite: str
    date: int
    content: bytes
    signature: bytes = b""
    etag: str = ""
    modified: str = ""
    indexes: tuple[str, ...] = ()


def get_release(folder: Path, url: str, suite: str) -> CachedRelease | None:
    """Return the Release last accepted from a mirror and suite, None if there is none or it is damaged."""
    try:
        data = _release_path(folder, url, suite).read_bytes()
        record = decode_msgpack(data, CachedRelease)
    except (OSError, msgspec.MsgspecError):
        return None
    return record if (record.url, record.suite) == (url, suite) else None


def put_release(folder: Path, record: CachedRelease) -> None:
    """Store a Release durably: the check against rollbacks depends on it. Raises StoreError."""
    files.replace(_release_path(folder, record.url, record.suite), msgspec.msgpack.encode(record))


def get_index(folder: Path, key: str, suite: str) -> aptindex.Index | None:
    """Return the index with the digest ``key``, None if it is missing or damaged."""
    try:
        with (folder / f"packages-{key}").open("rb") as file:
            file_state = _encode_file_state(os.fstat(file.fileno()))
            names_data = (folder / f"names-{key}").read_bytes()
            if names_data[: len(file_state)] != file_state:
                return None
            data = mmap(file.fileno(), 0, access=ACCESS_READ) if os.fstat(file.fileno()).st_size else b""
        stamps, table_data = (
            names_data[len(file_state) : len(file_state) + 2 * _STAMP_SIZE],
            names_data[len(file_state) + 2 * _STAMP_SIZE :],
        )
        code_stamp, boot_stamp = stamps[:_STAMP_SIZE], stamps[_STAMP_SIZE:]
        if boot_stamp != _read_boot_stamp() and hashlib.sha256(data).hexdigest() != key:
            return None
        table = (
            aptindex.read_table(table_data)
            if code_stamp == _compute_code_stamp()
            else aptindex.scan_index(data)
        )
        if stamps != _compute_code_stamp() + _read_boot_stamp():
            _write(
                folder / f"names-{key}",
                file_state + _compute_code_stamp() + _read_boot_stamp() + aptindex.encode_table(table),
            )
        return aptindex.Index(data, table, suite)
    except (OSError, ValueError, FormatError):
        return None


def find_suites(folder: Path, name: str, architecture: str) -> list[str]:
    """Return the suites with a cached index that has the package ``name``, sorted; unreadable ones do not."""
    suites = set()
    for path in folder.glob("release-*"):
        try:
            release = decode_msgpack(path.read_bytes(), CachedRelease)
        except (OSError, msgspec.MsgspecError):
            continue
        cached_indexes = (get_index(folder, key, release.suite) for key in release.indexes)
        if any(index is not None and _has_package(index, name, architecture) for index in cached_indexes):
            suites.add(release.suite)
    return sorted(suites)


def _has_package(index: aptindex.Index, name: str, architecture: str) -> bool:
    try:
        return any(record.architecture in ("all", architecture) for record in index.versions(name))
    except FormatError:
        return False


def put_index(folder: Path, key: str, data: bytes | bytearray, table: aptindex.NameTable) -> None:
    """Store an index whose content was verified. Raises StoreError.

    Another process may remove it at once in `remove_unused`; then it is downloaded again.
    """
    path = folder / f"packages-{key}"
    with translate_os_errors(path):
        _write(path, data)
        try:
            file_state = _encode_file_state(path.stat())
        except FileNotFoundError:
            return
        _write(
            folder / f"names-{key}",
            file_state + _compute_code_stamp() + _read_boot_stamp() + aptindex.encode_table(table),
        )


def _write(path: Path, data: bytes | bytearray) -> None:
    """Write a file without syncing it: waiting for the disk would take longer than a build.

    After a crash the boot stamp differs, so the content is verified again. Without a boot stamp, sync.
    """
    scratch = path.with_name(f".{path.name}.{files.scratch_name()}")
    files.install(str(scratch), str(path), data, fs=files.OS, sync=not any(_read_boot_stamp()))


def _compute_code_stamp() -> bytes:
    """Return a stamp that changes with the code that builds the tables."""
    return bytes.fromhex(code_version("package-index"))[:_STAMP_SIZE]


def _read_boot_stamp() -> bytes:
    """Return a stamp that changes with each boot of the machine, zeros where it is unknown."""
    try:
        return bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", ""))
    except (OSError, ValueError):
        return bytes(_STAMP_SIZE)


def remove_unused(folder: Path, now: int) -> None:
    """Remove indexes that no cached Release lists, and abandoned temporary files. Raises StoreError."""
    used_keys: set[str] = set()
    index_files: list[Path] = []
    with translate_os_errors(folder):
        for path in sorted(folder.iterdir()):
            kind = path.name.partition("-")[0]
            if kind == "release":
                try:
                    used_keys.update(decode_msgpack(path.read_bytes(), CachedRelease).indexes)
                except (OSError, msgspec.MsgspecError):
                    continue
            elif kind in {"packages", "names"}:
                index_files.append(path)
            elif path.name.startswith(".") and _read_modification_time(path, now) < now - _DAY:
                files.unlink_quietly(str(path))
    for path in index_files:
        if path.name.partition("-")[2] not in used_keys:
            files.unlink_quietly(str(path))


def _read_modification_time(path: Path, default: int) -> float:
    """Return a file's modification time, ``default`` if its writer has renamed it."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return default


def _release_path(folder: Path, url: str, suite: str) -> Path:
    key = hashlib.sha256(f"{url}\0{suite}".encode()).hexdigest()[:40]
    return folder / f"release-{key}"


def _encode_file_state(status: os.stat_result) -> bytes:
    """Return the size, inode, mtime and ctime as bytes: unless they change, neither has the file."""
    numbers = (status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
    return b"".join((number % (1 << 64)).to_bytes(8, "little") for number in numbers)
