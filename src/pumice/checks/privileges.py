"""Set-id and world-writable files that no package brought."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from pumice.checks.finding import Finding
from pumice.packing.tree import RECIPE_OWNER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.checks.model import CheckedImage


def check_privileges(image: CheckedImage) -> Iterator[Finding]:
    """Yield a finding for each set-id or world-writable file among the recipe's own files."""
    for path, node in image.tree.nodes.items():
        entry = node.entry
        if node.owner != RECIPE_OWNER or entry.kind not in ("file", "dir"):
            continue
        mode = f"mode {entry.mode & 0o7777:04o}"
        if entry.kind == "file" and entry.mode & (stat.S_ISUID | stat.S_ISGID):
            yield Finding(
                check="set-id",
                message=f"/{path} runs with the rights of its owner ({mode})",
                hint="remove the set-id bit from its 'mode' under 'files' unless you need it",
                key="files",
                path=path,
            )
        if entry.mode & stat.S_IWOTH and not (entry.kind == "dir" and entry.mode & stat.S_ISVTX):
            yield Finding(
                check="world-writable",
                message=f"every user can write to /{path} ({mode})",
                hint="set an 'owner' instead, or add the sticky bit to a directory (1777)",
                key="files",
                path=path,
            )
