"""git as the oracle for ignore patterns."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.support.peers import need

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


class Git:
    """A repository to ask; what is in it plays no part."""

    def __init__(self, root: Path) -> None:
        self._program = need("git")
        self._root = root
        self._paths: tuple[str, ...] = ()
        self._environ = {
            **os.environ,
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_SYSTEM": "/dev/null",
            "GIT_CEILING_DIRECTORIES": str(root.parent),
        }
        self._run("init", "-q", ".")

    def ignored(self, patterns: Sequence[str], paths: Sequence[str]) -> set[str]:
        """Return which of the paths git ignores; one that ends in a slash is a folder's."""
        work = self._root / "work"
        if self._paths != tuple(paths):
            self._paths = tuple(paths)
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            for path in paths:  # git looks whether something is a folder; a file need not be there
                folder = path if path.endswith("/") else path.rpartition("/")[0]
                (work / folder).mkdir(parents=True, exist_ok=True)
        (work / ".gitignore").write_bytes("".join(f"{line}\n" for line in patterns).encode())
        names = {f"./{path.rstrip('/')}": path for path in paths}  # ./ because ":" begins magic
        input_bytes = b"\0".join(name.encode() for name in names)
        output = self._run("-C", "work", "check-ignore", "--no-index", "-z", "--stdin", stdin=input_bytes)
        return {names[path.decode()] for path in output.split(b"\0") if path}

    def _run(self, *arguments: str, stdin: bytes = b"") -> bytes:
        command = [self._program, *arguments]
        return subprocess.run(
            command, cwd=self._root, input=stdin, env=self._environ, stdout=subprocess.PIPE, check=False
        ).stdout
