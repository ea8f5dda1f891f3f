"""``pumice serve --check`` and ``--collect``: maintenance of a registry that is not being served."""

from __future__ import annotations

import sys

from pumice.cli.display import output
from pumice.clock import SystemClock
from pumice.errors import StoreError
from pumice.registry.server import collection, integrity
from pumice.registry.server.storage.backends import open_storage
from pumice.terminal import format_count


def check(location: str) -> int:
    """Read and hash everything, print what was checked and what is wrong; return the exit code."""
    with open_storage(location, create=False) as storage:
        result = integrity.check(storage)
    for kind, findings in (("damaged", result.damaged), ("incomplete", result.incomplete)):
        for finding in findings:
            print(output.printable(f"{kind}  {finding.where}: {finding.message}"))
    print(
        f"{format_count(result.repositories, 'repository', 'repositories')}, "
        f"{format_count(result.manifests, 'manifest')}, {format_count(result.blobs, 'blob')} "
        f"of {result.size} bytes: {len(result.damaged)} damaged, {len(result.incomplete)} incomplete"
    )
    sys.stdout.flush()
    return StoreError.exit_code if result.damaged else 0


def collect(location: str, grace_hours: float) -> None:
    """Remove what is not needed and older than ``grace_hours``; print what was removed."""
    now = SystemClock().now() + 1  # whole seconds, so a file of this second would be younger than now
    with open_storage(location, create=False) as storage:
        result = collection.collect(storage, now, grace_hours * 3600)
    print(
        f"{format_count(result.manifests, 'manifest')}, {format_count(result.blobs, 'blob')} and "
        f"{format_count(result.uploads, 'unfinished upload')} removed, {result.freed} bytes freed"
    )
    for repository in result.damaged:
        print(
            f"warning: skipped {repository}, which is damaged; run 'pumice serve --check'",
            file=sys.stderr,
        )
