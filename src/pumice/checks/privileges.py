"""Set-id and world-writable files that no package brought, or whose permissions the recipe changes."""

from __future__ import annotations

import stat
from typing import TYPE_CHECKING

from pumice.checks.finding import Finding
from pumice.packing.tree import RECIPE_OWNER

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.checks.model import CheckedImage


def check_privileges(image: CheckedImage) -> Iterator[Finding]:
    """Yield a finding for each set-id or world-writable file that has its mode from the recipe."""
    for path, node in image.tree.nodes.items():
        entry = node.entry
        is_changed = path in image.permission_paths
        if not (is_changed or node.owner == RECIPE_OWNER) or entry.kind not in ("file", "dir"):
            continue
        key = "permissions" if is_changed else "files"
        mode = f"mode {entry.mode & 0o7777:04o}"
        if entry.kind == "file" and entry.mode & (stat.S_ISUID | stat.S_ISGID):
            yield Finding(
                check="set-id",
                message=f"/{path} runs with the rights of its owner ({mode})",
                hint=f"remove the set-id bit from its 'mode' under '{key}' unless you need it",
                key=key,
                path=path,
            )
        if entry.mode & stat.S_IWOTH and not (entry.kind == "dir" and entry.mode & stat.S_ISVTX):
            yield Finding(
                check="world-writable",
                message=f"every user can write to /{path} ({mode})",
                hint="set an 'owner' instead, or add the sticky bit to a directory (1777)",
                key=key,
                path=path,
            )
