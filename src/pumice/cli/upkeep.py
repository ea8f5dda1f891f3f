"""``pumice serve --check`` and ``--collect``: looking after a registry that nobody serves."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pumice.cli import output
from pumice.clock import SystemClock
from pumice.errors import StoreError, UsageError
from pumice.registry.server import check as checking
from pumice.registry.server import collect as collecting
from pumice.registry.server.storage.disk.storage import Storage, open_storage

if TYPE_CHECKING:
    from pathlib import Path


def check(root: Path) -> int:
    """Read and hash everything, print what was looked at and what is wrong; return the exit code."""
    with _opened(root) as storage:
        found = checking.check(storage)
    for one in (*found.problems, *found.incomplete):
        kind = "damaged" if one in found.problems else "incomplete"
        print(output.printable(f"{kind}  {one.where}: {one.message}"))
    print(
        f"{found.repositories} repositories, {found.manifests} manifests, {found.blobs} blobs "
        f"of {found.size} bytes: {len(found.problems)} damaged, {len(found.incomplete)} incomplete"
    )
    sys.stdout.flush()
    return StoreError.exit_code if found.problems else 0


def collect(root: Path, hours: float) -> None:
    """Remove what nothing needs and is older than ``hours``; print what that was."""
    now = SystemClock().now() + 1  # whole seconds, so a file of this one would be younger than now
    with _opened(root) as storage:
        gone = collecting.collect(storage, now, hours * 3600)
    print(
        f"{gone.manifests} manifests, {gone.blobs} blobs and {gone.uploads} unfinished uploads removed, "
        f"{gone.freed} bytes freed"
    )
    for repository in gone.damaged:
        print(
            f"warning: {repository} is left alone, for something in it is damaged; see --check",
            file=sys.stderr,
        )


def _opened(root: Path) -> Storage:
    if not (root / "layout").is_file():
        raise UsageError("there is no registry", where=str(root), hint="name its folder with --root")
    return open_storage(root)
