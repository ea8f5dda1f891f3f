"""The files that the supervisor writes into the directory of its pod."""

from __future__ import annotations

import os
import time

RESERVE = 1024
"""Bytes that `pod_store` reserves for the record of the end, so that a full disk cannot prevent it."""


def write_record(directory: int, name: str, fields: dict[str, str | int | None]) -> None:
    """Write a JSON object to the file ``name`` atomically; raises OSError.

    The file ``.name`` is overwritten if it exists, and then renamed, which needs no space on the disk.
    """
    text = ", ".join(f'"{key}": {_encode(value)}' for key, value in fields.items())
    descriptor = os.open(f".{name}", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644, dir_fd=directory)
    try:
        data = f"{{{text}}}\n".encode("ascii")
        size = os.fstat(descriptor).st_size
        os.write(descriptor, data.ljust(size))
    finally:
        os.close(descriptor)
    os.rename(f".{name}", name, src_dir_fd=directory, dst_dir_fd=directory)


def write_start(directory: int, sandbox: int) -> None:
    """Write ``started``: `records.Started` describes it. ``sandbox`` is the process that gets signals."""
    pid = os.getpid()
    fields: dict[str, str | int | None] = {
        "supervisor": pid,
        "supervisor_start": read_start_time(pid),
        "sandbox": sandbox,
        "sandbox_start": read_start_time(sandbox),
        "boot": read_boot_id(),
        "time": format_time(time.time()),
    }
    write_record(directory, "started", fields)


def write_end(directory: int, code: int, reason: str) -> None:
    """Write ``ended``: `records.Ended` describes it."""
    fields: dict[str, str | int | None] = {
        "exit_code": code,
        "error": reason,
        "time": format_time(time.time()),
    }
    write_record(directory, "ended", fields)


def _encode(value: str | int | None) -> str:
    if value is None:
        return "null"
    if isinstance(value, int):
        return str(value)
    return '"' + "".join(map(_escape, value[: RESERVE // 8])) + '"'


def _escape(character: str) -> str:
    code = ord(character)
    if 0x20 <= code < 0x7F and character not in '"\\':
        return character
    return f"\\u{code:04x}" if code <= 0xFFFF and not 0xD800 <= code < 0xE000 else "?"


def format_time(seconds: float) -> str:
    """Return a time as RFC 3339 in UTC with microseconds."""
    whole = int(seconds)
    year, month, day, hour, minute, second, *_ = time.gmtime(whole)
    micros = int((seconds - whole) * 1_000_000)
    return f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z"


def read_start_time(pid: int) -> int:
    """Return when a process started, in clock ticks since the boot (proc(5)); raises OSError."""
    with open(f"/proc/{pid}/stat", "rb") as file:
        # The second field is the name of the program, which can contain anything.
        return int(file.read().rpartition(b")")[2].split()[19])


def read_boot_id() -> str:
    """Return the id of this boot, ``""`` if the kernel has none."""
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            return file.read().strip()
    except OSError:
        return ""


def remove_directory(path: str, trash: str) -> None:
    """Move the directory of a pod away atomically, then remove what is in it, as far as possible."""
    target = f"{trash}/pod-{path.rpartition('/')[2]}-{os.getpid()}"
    try:
        os.rename(path, target)
    except FileNotFoundError:
        return
    _remove(target)


def _remove(path: str) -> None:
    try:
        for entry in list(os.scandir(path)):
            if entry.is_dir(follow_symlinks=False):
                _remove(entry.path)
            else:
                os.unlink(entry.path)
        os.rmdir(path)
    except OSError:  # what remains is left to the next collection
        pass
