"""Python bytecode, compiled by the image's own interpreter in the built-in sandbox.

``compileall`` with unchecked hashes (PEP 552) writes files that hold no times and that Python never
compares with their sources. One process compiles all of them, sorted by name and with a fixed hash
seed, so that equal images get equal bytecode.
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pumice import ownership
from pumice.assembly import image_programs
from pumice.errors import ImageError, SandboxError
from pumice.formats.tar import Entry
from pumice.packing.tree import GeneratedEntry
from pumice.runtime import tree_lookup
from pumice.runtime.container import Container, Mount, Process
from pumice.runtime.run import execute
from pumice.runtime.stage1.builtin import Builtin

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.formats.oci import Platform

_INTERPRETER = "/usr/bin/python3"
_OUTPUT = "/run/pumice-bytecode"
_BY = "python.bytecode"
_CACHE_DIRECTORY = "__pycache__"
_COMPILED_NAME = re.compile(r"(?P<module>.+)\.(?P<tag>[a-z]+-[0-9]+)\.pyc")
_UNCHECKED = b"\x01\x00\x00\x00"
_MAX_FILE = 64 << 20
_MAX_TOTAL = 1 << 30
_MAX_MESSAGE = 2000
_SOME_FAILED = 1


def compile_bytecode(
    root: Path, directories: Sequence[str], *, platform: Platform, scratch: Path
) -> list[GeneratedEntry]:
    """Return the bytecode of every Python file below ``directories`` (paths like `Entry.path`).

    ``root`` is the unpacked image, which is not changed; ``scratch`` is a directory for temporary
    files. The entries are sorted by path. Sources that are not valid Python are skipped, as Python
    itself does. Raises ImageError if the image has no ``python3`` or is for an architecture that this
    machine cannot run, SandboxError if the sandbox does not work here.
    """
    check_platform(platform)
    if tree_lookup.resolve(root, _INTERPRETER) is None:
        raise ImageError(
            "cannot compile bytecode: the image has no /usr/bin/python3",
            hint="add the package python3-minimal",
        )
    directories_present = [
        path for path in sorted(set(directories)) if tree_lookup.resolve(root, path) == root / path
    ]
    if not directories_present:
        return []
    with tempfile.TemporaryDirectory(prefix="bytecode-", dir=scratch) as folder:
        out = Path(folder, "out")
        ownership.make_directory(out)
        message = _run_compileall(root, directories_present, out, Path(folder, "messages"))
        entries = list(_read_compiled(root, directories_present, out))
    if message and not entries:
        raise ImageError(f"the image's python3 cannot compile bytecode ({message})")
    return entries


def check_platform(platform: Platform) -> None:
    """Raise ImageError unless this machine can run the interpreter of an image for ``platform``."""
    image_programs.check_platform(
        platform, "compile bytecode", "the image's own interpreter", "python.bytecode"
    )


def _run_compileall(root: Path, directories: Sequence[str], out: Path, messages: Path) -> str:
    """Run compileall with ``out`` as its cache; return the last line of its messages, empty on success."""
    # -B: the interpreter must not write bytecode of its own imports, which would be checked by time.
    command = ("-B", "-s", "-S", "-m", "compileall", "-q", "-j", "1", "--invalidation-mode", "unchecked-hash")
    process = Process(
        arguments=(_INTERPRETER, *command, *(f"/{path}" for path in directories)),
        environment={
            "PATH": "/usr/bin:/bin",
            "PYTHONHASHSEED": "0",
            "PYTHONPYCACHEPREFIX": _OUTPUT,
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
        },
    )
    # With an init, because process 1 ignores signals that would end the interpreter.
    container = Container(
        root=str(root),
        process=process,
        mounts=(Mount(str(out), _OUTPUT),),
        network="none",
        read_only=True,
        init=True,
    )
    with messages.open("w+b") as log, Path(os.devnull).open("rb") as stdin:
        try:
            streams = (stdin.fileno(), log.fileno(), log.fileno())
            exit_code = execute(container, Builtin(), out.parent, streams)
        except SandboxError as error:
            error.message = f"cannot compile bytecode without the sandbox: {error.message}"
            raise
        if exit_code == 0:
            return ""
        log.seek(max(0, log.seek(0, os.SEEK_END) - _MAX_MESSAGE))
        message = log.read().decode(errors="replace").strip().rpartition("\n")[2] or f"exit code {exit_code}"
    if exit_code != _SOME_FAILED:
        raise ImageError(f"the image's python3 cannot compile bytecode ({message})")
    return message


def _read_compiled(root: Path, directories: Sequence[str], out: Path) -> Iterator[GeneratedEntry]:
    """Yield the bytecode files whose sources exist, and the directories that they need.

    The interpreter's output is as untrusted as the image, so no link in it is followed.
    """
    remaining = _MAX_TOTAL
    for directory in directories:
        for folder, names in _walk_directories(root, out, directory):
            compiled = []
            for name in sorted(names):
                match = _COMPILED_NAME.fullmatch(name)
                if match is None or not _is_regular_file(root / folder / f"{match['module']}.py"):
                    continue
                data = tree_lookup.read_file(out, f"{folder}/{name}", min(remaining, _MAX_FILE) + 1) or b""
                remaining -= len(data)
                if len(data) > _MAX_FILE or remaining < 0:
                    raise ImageError("the image's python3 wrote too much bytecode")
                if data[4:8] == _UNCHECKED:
                    compiled.append((name, data))
            if compiled:
                cache_directory = posixpath.join(folder, _CACHE_DIRECTORY)
                if not (root / cache_directory).is_dir():
                    yield GeneratedEntry(entry=Entry(cache_directory, "dir", 0o755), origin=_BY)
                for name, data in compiled:
                    entry = Entry(posixpath.join(cache_directory, name), "file", 0o644, size=len(data))
                    yield GeneratedEntry(entry=entry, content=data, origin=_BY)


def _walk_directories(root: Path, out: Path, path: str) -> Iterator[tuple[str, list[str]]]:
    """Yield each directory at and below ``path`` that exists in both trees, with the names in ``out``."""
    try:
        if not (stat.S_ISDIR((out / path).lstat().st_mode) and stat.S_ISDIR((root / path).lstat().st_mode)):
            return
        names = sorted(entry.name for entry in (out / path).iterdir())
    except OSError:
        return
    yield path, names
    for name in names:
        yield from _walk_directories(root, out, f"{path}/{name}")


def _is_regular_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except OSError:
        return False
