"""Resolve the paths of one layer's entries by following the symbolic links of that layer.

An engine unpacks a layer into a directory of its own before it puts the directory over the layers
below. So an entry below a link of the *same* layer is at the target of the link, never outside the layer's
root, and links of the layers below have no effect (containerd's and containers-storage's diff
directories; umoci follows both).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.formats.tar import Entry

_MAX_LINKS = 40
_MAX_PATH = 4096
_MAX_STEPS = 10_000_000
"""Maximum number of path components to resolve for one layer; real layers need less than a million."""


class LayerLinks:
    """The symbolic links of a layer while its entries are read in order."""

    def __init__(self) -> None:
        self._links: dict[str, str] = {}
        self._above: dict[str, int] = {}
        """Directories with links somewhere below them, and how many."""
        self._resolved: dict[str, str] = {}
        """Resolved directories; cleared when a link on the way to one of them changes."""
        self._touched: set[str] = set()
        self._steps = 0

    def resolve_entry(self, entry: Entry) -> str:
        """Return the resolved path of ``entry``, and record it if it is a link.

        Raises FormatError if the links on the way form a loop or a path that is too long.
        """
        path = self.resolve_parents(entry.path)
        if self._links or entry.kind == "symlink":
            self._replace(path, entry)
        return path

    def resolve_parents(self, path: str) -> str:
        """Return ``path`` with the links in its parent directories resolved."""
        parent, _, name = path.rpartition("/")
        return f"{self.resolve(parent)}/{name}".lstrip("/") if parent and self._links else path

    def _replace(self, path: str, entry: Entry) -> None:
        if path in self._links:
            self._forget(path)
        if entry.kind != "dir" and path in self._above:
            for link in [link for link in self._links if link.startswith(path + "/")]:
                self._forget(link)
        if entry.kind == "symlink":
            self._links[path] = entry.link
            self._count(path, 1)

    def _forget(self, path: str) -> None:
        del self._links[path]
        self._count(path, -1)

    def _count(self, path: str, change: int) -> None:
        if path in self._touched:
            self._resolved.clear()
            self._touched.clear()
        parent = path.rpartition("/")[0]
        while parent:
            self._above[parent] = self._above.get(parent, 0) + change
            if not self._above[parent]:
                del self._above[parent]
            parent = parent.rpartition("/")[0]

    def resolve(self, path: str) -> str:
        """Return ``path`` with all links resolved."""
        if not self._links:
            return path
        resolved = self._resolved.get(path)
        if resolved is None:
            resolved = self._resolved[path] = follow_links(path, self._link, self._check)
        return resolved

    def _link(self, path: str) -> str | None:
        self._touched.add(path)
        return self._links.get(path)

    def _check(self) -> None:
        self._steps += 1
        if self._steps > _MAX_STEPS:
            raise FormatError("the symbolic links of the layer are nested too deeply")


def follow_links(path: str, read_link: Callable[[str], str | None], check: Callable[[], None]) -> str:
    """Return ``path`` with every link resolved, within the root.

    ``read_link`` returns the target of a path that is a link, None for any other; ``check`` is called
    for each component. A path that does not exist counts as a directory.
    """
    pending = path.split("/")[::-1]
    components: list[str] = []
    length = link_count = 0
    while pending:
        check()
        component = pending.pop()
        if component in ("", "."):
            continue
        if component == "..":
            length -= len(components.pop()) + 1 if components else 0
            continue
        target = read_link("/".join([*components, component]))
        if target is None:
            components.append(component)
            length += len(component) + 1
        else:
            link_count += 1
            if target.startswith("/"):
                components, length = [], 0
            pending += target.split("/")[::-1]
        if link_count > _MAX_LINKS or length + len(pending) > _MAX_PATH:
            raise FormatError(f"the links on the way to {path[:200]!r} form a loop, or are nested too deeply")
    return "/".join(components)
