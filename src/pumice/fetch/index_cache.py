"""What is kept of indexes between commands, in the store's ``indexes`` directory.

``release-<key>`` holds the last signed Release that was accepted from one mirror and suite: what
going back in time is measured by, and what ``--offline`` works from. ``packages-<digest>`` holds a
decompressed index, ``names-<digest>`` the places of its names. All of it can be lost at any time.
"""

from __future__ import annotations

import hashlib
import os
from mmap import ACCESS_READ, mmap
from pathlib import Path

import msgspec

from pumice import files
from pumice.cache_keys import code_version
from pumice.errors import FormatError
from pumice.formats import aptindex
from pumice.os_errors import translate_os_errors

_DAY = 86_400
_STAMP = 16
"""Bytes of each mark between an index's look and its table: one tells versions of the code apart, one starts
of the machine."""


class KeptRelease(msgspec.Struct, frozen=True, array_like=True):
    """A Release file as it came, from where, and its Date.

    ``signature`` is empty for a clear-signed one; ``indexes`` are the digests of the package indexes
    that were taken from it.
    """

    url: str
    suite: str
    date: int
    content: bytes
    signature: bytes = b""
    etag: str = ""
    modified: str = ""
    indexes: tuple[str, ...] = ()


def release(folder: Path, url: str, suite: str) -> KeptRelease | None:
    """Return what was last accepted from a mirror and suite; a damaged record counts as none."""
    try:
        data = _release_path(folder, url, suite).read_bytes()
        kept = msgspec.msgpack.decode(data, type=KeptRelease)
    except (OSError, msgspec.MsgspecError):
        return None
    return kept if (kept.url, kept.suite) == (url, suite) else None


def keep_release(folder: Path, kept: KeptRelease) -> None:
    """Keep ``kept``, durably: it is what tells old from new."""
    files.replace(_release_path(folder, kept.url, kept.suite), msgspec.msgpack.encode(kept))


def index(folder: Path, key: str, suite: str) -> aptindex.Index | None:
    """Return the index kept under the digest ``key``, None if there is none that is sound."""
    try:
        with (folder / f"packages-{key}").open("rb") as file:
            look = _look(os.fstat(file.fileno()))
            names = (folder / f"names-{key}").read_bytes()
            if names[: len(look)] != look:
                return None
            data = mmap(file.fileno(), 0, access=ACCESS_READ) if os.fstat(file.fileno()).st_size else b""
        marks, rest = names[len(look) : len(look) + 2 * _STAMP], names[len(look) + 2 * _STAMP :]
        code, boot = marks[:_STAMP], marks[_STAMP:]
        if boot != _boot() and hashlib.sha256(data).hexdigest() != key:
            return None
        table = aptindex.read_table(rest) if code == _code() else aptindex.scan_index(data)
        if marks != _code() + _boot():
            _write(folder / f"names-{key}", look + _code() + _boot() + aptindex.encode_table(table))
        return aptindex.Index(data, table, suite)
    except (OSError, ValueError, FormatError):
        return None


def keep_index(folder: Path, key: str, data: bytes | bytearray, table: aptindex.NameTable) -> None:
    """Keep an index whose content was verified. Raises StoreError.

    A process that prunes meanwhile may remove it at once; then it is fetched again.
    """
    path = folder / f"packages-{key}"
    with translate_os_errors(path):
        _write(path, data)
        try:
            look = _look(path.stat())
        except FileNotFoundError:
            return
        _write(folder / f"names-{key}", look + _code() + _boot() + aptindex.encode_table(table))


def _write(path: Path, data: bytes | bytearray) -> None:
    """Write a file that need not survive a crash: waiting for the disk would take longer than a build.

    What a crash can leave is noticed by the stamp of another boot; without stamps, wait.
    """
    scratch = path.with_name(f".{path.name}.{files.scratch_name()}")
    files.install(str(scratch), str(path), data, fs=files.OS, sync=not any(_boot()))


def _code() -> bytes:
    """What differs from one version of the code that makes tables to the next."""
    return bytes.fromhex(code_version("package-index"))[:_STAMP]


def _boot() -> bytes:
    """What differs from one start of the machine to the next, zeros where that cannot be known."""
    try:
        return bytes.fromhex(Path("/proc/sys/kernel/random/boot_id").read_text().strip().replace("-", ""))
    except (OSError, ValueError):
        return bytes(_STAMP)


def prune(folder: Path, now: int) -> None:
    """Remove the indexes that no kept Release names any more, and what was cut off in writing."""
    used: set[str] = set()
    found: list[Path] = []
    with translate_os_errors(folder):
        for path in sorted(folder.iterdir()):
            kind = path.name.partition("-")[0]
            if kind == "release":
                try:
                    used.update(msgspec.msgpack.decode(path.read_bytes(), type=KeptRelease).indexes)
                except (OSError, msgspec.MsgspecError):
                    continue
            elif kind in {"packages", "names"}:
                found.append(path)
            elif path.name.startswith(".") and _changed(path, now) < now - _DAY:
                files.forget(str(path))
    for path in found:
        if path.name.partition("-")[2] not in used:
            files.forget(str(path))


def _changed(path: Path, missing: int) -> float:
    """Return the time of a file that its writer may rename at any moment; ``missing`` if it has."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return missing


def _release_path(folder: Path, url: str, suite: str) -> Path:
    key = hashlib.sha256(f"{url}\0{suite}".encode()).hexdigest()[:40]
    return folder / f"release-{key}"


def _look(status: os.stat_result) -> bytes:
    """Size, inode, mtime and ctime: as long as they are the same, nobody has touched the file."""
    numbers = (status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
    return b"".join((number % (1 << 64)).to_bytes(8, "little") for number in numbers)
