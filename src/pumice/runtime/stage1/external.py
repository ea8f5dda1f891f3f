"""What the stages that drive another program have in common."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.errors import SandboxError
from pumice.runtime import sandbox, tree_lookup

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.runtime.container import Container

CAPABILITIES = tuple(f"CAP_{name}" for name in sandbox.CAPABILITIES)
"""All that root has inside, as the engines spell it."""


def need(program: str, package: str) -> str:
    """Return the path of ``program``; raises SandboxError where it is not installed."""
    path = shutil.which(program) or shutil.which(program, path="/usr/local/sbin:/usr/sbin:/sbin")
    if path is None:
        raise SandboxError(
            f"{program} is not installed",
            hint=f"install {package}, or leave --stage1 out to use the built-in",
        )
    return path


def memory(data: bytes) -> int:
    """Return a descriptor, for a child to inherit, of a file in memory with ``data``."""
    descriptor = os.memfd_create("pumice", 0)
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def check_words(words: Sequence[str]) -> None:
    """Raise SandboxError for a word that no program can be given, or that would become two."""
    for word in words:
        try:
            data = word.encode(errors="surrogateescape")
        except UnicodeEncodeError:
            raise SandboxError(f"{word[:100]!r} is not Unicode text") from None
        if b"\0" in data:
            raise SandboxError(f"{word[:100]!r} contains a NUL")


def null_separated(words: Sequence[str]) -> bytes:
    """Return words as the ``--args`` of bwrap; raises SandboxError as `check_words`."""
    check_words(words)
    return b"".join(word.encode(errors="surrogateescape") + b"\0" for word in words)


def writable(container: Container) -> str:
    """Return where ``--only-root`` puts the root that may be written to."""
    return f"{container.root}/root"


class NotRunnableError(SandboxError):
    """The image's program cannot be executed; the exit code is the one that a shell would give."""

    def __init__(self, program: str, code: int, reason: str) -> None:
        super().__init__(f"{program}: {reason}")
        self.exit_code = code


def check(container: Container) -> None:
    """Raise NotRunnableError for a program that the tree does not have, or has but not as a program.

    The engines would each say so in their own way and with exit code 1. A program on a mount is
    theirs to find.
    """
    process = container.process
    name, root = process.arguments[0], Path(container.root)
    if "/" in name:
        candidates = [name if name.startswith("/") else f"{process.directory}/{name}"]
    else:
        search = process.environment.get("PATH", sandbox.PATH)
        candidates = [f"{directory}/{name}" for directory in search.split(":")]
    if any(_is_mounted(path, container) for path in candidates):
        return
    found = [place for path in candidates if (place := tree_lookup.resolve(root, path))]
    if not found:
        raise NotRunnableError(name, sandbox.NOT_FOUND, "not found in the image")
    if not any(_is_program(place) for place in found):
        raise NotRunnableError(
            name, sandbox.NOT_EXECUTABLE, "cannot be executed: it is not an executable file"
        )


def _is_mounted(path: str, container: Container) -> bool:
    return any(
        f"{path}/".startswith(f"{mount.target.rstrip('/')}/") for mount in container.mounts if mount.source
    )


def _is_program(place: Path) -> bool:
    mode = place.lstat().st_mode
    return stat.S_ISREG(mode) and bool(mode & 0o111)
