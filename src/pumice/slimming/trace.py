"""The files that a program used, from the output of strace(1).

strace watches a sandbox from its start. What counts begins with pivot_root(2): before it, paths are those
of the machine. Only calls that succeeded are in the output (``--successful-only``).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

OPTIONS = (
    *("-D", "-f", "-y", "-z", "-qq", "--seccomp-bpf"),
    *("-e", "trace=%file,%process", "-e", "signal=none"),
)
"""Options of strace: as a process beside the program (``-D``), whose signals and exit code stay its own."""

_LINE = re.compile(r"(\d+) +(\w+)\((.*)")
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"')
_DIRECTORY = re.compile(r"(?:AT_FDCWD|\d+)<(/[^>]*)>")
_RESULT = re.compile(r"= \d+<(/[^>]*)>$")
_ESCAPE = re.compile(r"\\([0-7]{1,3}|x[0-9a-f]{2}|.)")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "v": "\v", "f": "\f", "\\": "\\", '"': '"'}
_PATH_FIRST = frozenset(
    ("execve", "open", "access", "stat", "lstat", "readlink", "chdir", "creat", "statfs", "truncate")
)
_PATH_SECOND = frozenset(
    ("execveat", "openat", "openat2", "faccessat", "faccessat2", "newfstatat", "statx", "readlinkat")
)
_MAX_PATHS = 200_000


def read_trace(lines: Iterable[str]) -> list[str]:
    """Return the absolute paths that the processes of a container used, each once.

    They are those that programs named, and those that descriptors lead to; they may not exist in the image.
    """
    outside: set[str] = set()
    root_process = ""
    directories: dict[str, str] = {}
    paths: dict[str, None] = {}
    for line in lines:
        call = _LINE.match(line)
        if call is None:
            continue
        process, name, rest = call.groups()
        if not root_process:
            if name == "pivot_root":
                root_process = process
                outside.discard(process)
            else:
                outside.add(process)
            continue
        if process in outside or len(paths) >= _MAX_PATHS:
            continue
        paths.update(dict.fromkeys(_read_call(process, name, rest, directories)))
    return list(paths)


def _read_call(process: str, name: str, rest: str, directories: dict[str, str]) -> Iterable[str]:
    """Yield the paths of one call; ``directories`` are the working directories of processes, renewed here."""
    if name in _PATH_SECOND:
        base = _DIRECTORY.match(rest)
        if base is None:
            return
        directory, rest = base[1], rest[base.end() :]
        if "AT_FDCWD" in base[0]:
            directories[process] = directory
    elif name in _PATH_FIRST:
        directory = directories.get(process, "/")
    else:
        return
    argument = _TEXT.search(rest.partition(", ")[2] if name in _PATH_SECOND else rest)
    path = _unescape(argument[1]) if argument else ""
    path = path if path.startswith("/") else f"{directory.rstrip('/')}/{path}".rstrip("/")
    if name == "chdir":
        directories[process] = path
        return
    if path:
        yield path
    opened = _RESULT.search(rest)
    if opened:
        yield _unescape(opened[1])


def _unescape(text: str) -> str:
    """Return a text without the escapes of strace, which are those of C; bytes become UTF-8."""

    def value(match: re.Match[str]) -> str:
        code = match[1]
        if code[0] in "01234567":
            return chr(int(code, 8) & 0xFF)
        return chr(int(code[1:], 16)) if len(code) > 1 else _ESCAPES.get(code, code)

    if "\\" not in text:
        return text
    return _ESCAPE.sub(value, text).encode("latin-1", "replace").decode("utf-8", "surrogateescape")
