"""An image as the programs in it see it: its tree and its settings."""

from __future__ import annotations

import functools
import posixpath
from typing import TYPE_CHECKING

import msgspec

from pumice.packing.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pumice.formats.tar import Entry

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class RunSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What an image's config says of the process (OCI image-spec 1.1, config.md).

    ``user`` is ``user[:group]``, names or numbers.
    """

    command: tuple[str, ...] = ()
    health: tuple[str, ...] = ()
    environment: Mapping[str, str] = {}
    user: str = ""
    directory: str = ""
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()


class RunnableImage:
    """The tree and the settings of an image, and what a program in it would find."""

    def __init__(
        self,
        tree: Tree,
        read_at: Callable[[str, int, int], bytes],
        run: RunSettings,
        permission_paths: frozenset[str] = frozenset(),
    ) -> None:
        """``read_at(path, offset, size)`` reads a part of the regular file at exactly ``path``.

        ``permission_paths`` are paths of packages whose mode or owner the recipe changes.
        """
        self.permission_paths = permission_paths
        self.tree = tree
        self.run = run
        self._read_at = read_at

    def entry(self, path: str) -> Entry | None:
        """Return the entry that ``path`` leads to, following links; None if there is none."""
        node = self.tree.nodes.get(self.real_path(path) or "\0")
        return node.entry if node else None

    def real_path(self, path: str) -> str | None:
        """Return the path of the entry that ``path`` leads to, hard links included."""
        resolved = self.tree.resolve(path)
        node = self.tree.nodes.get(resolved) if resolved is not None else None
        return node.entry.link if node and node.entry.kind == "hardlink" else resolved

    def size(self, path: str) -> int:
        """Return the size of the regular file at ``path`` in bytes, 0 for anything else."""
        node = self.tree.nodes.get(path)
        return node.entry.size if node and node.entry.kind == "file" else 0

    def read_at(self, path: str, offset: int, size: int) -> bytes:
        """Return a part of the regular file at ``path``, which `real_path` returned."""
        return self._read_at(path, offset, size)

    def read_text(self, path: str, limit: int = 1 << 20) -> str:
        """Return the text of a file, empty if there is none or it is larger than ``limit`` bytes."""
        real = self.real_path(path)
        if real is None or not 0 < self.size(real) <= limit:
            return ""
        return self._read_at(real, 0, self.size(real)).decode("utf-8", "replace")

    def search_path(self) -> list[str]:
        """Return the directories of the image's ``PATH``."""
        return [part for part in self.run.environment.get("PATH", DEFAULT_PATH).split(":") if part]

    def find_command(self, name: str) -> str | None:
        """Return the path of a program as execvp(3) finds it; None if there is none.

        A name with a slash is a path, relative to the working directory.
        """
        if "/" in name:
            path = posixpath.join(self.run.directory or "/", name)
            return path if self.entry(path) else None
        candidates = (f"{directory}/{name}" for directory in self.search_path())
        return next((path for path in candidates if _is_program(self.entry(path))), None)

    @functools.cached_property
    def paths_by_name(self) -> dict[str, str]:
        """The path of a library by its file name, wherever it is in the image."""
        return {posixpath.basename(path): path for path in self._library_paths()}

    def _library_paths(self) -> Iterator[str]:
        return (path for path in self.tree.nodes if ".so" in path)


def _is_program(entry: Entry | None) -> bool:
    return entry is not None and entry.kind == "file" and bool(entry.mode & 0o111)
