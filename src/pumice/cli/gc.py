"""``pumice gc``: delete data that no image needs."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from pumice.cli.display import output, progress_modes
from pumice.cli.parsing import arguments as command_line
from pumice.cli.parsing import numbers
from pumice.terminal import format_count

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.progress import Progress
    from pumice.store.garbage_collection import Collected
    from pumice.store.home import Home

_DEFAULT_DAYS = 30
_DEFAULT_HOURS = 24

_EPILOG = """Everything that images in the store consist of is kept. The rest (packages, their segments,
results of earlier builds) is a cache that speeds up the next build; it is deleted some days after
its last use."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice gc``."""
    parser = command_line.make_parser(
        "gc",
        "Free space: delete data that no image needs.",
        epilog=_EPILOG,
        examples=("pumice gc",),
    )
    cache_options = parser.add_mutually_exclusive_group()
    cache_options.add_argument(
        "--all", action="store_true", help="delete the whole cache; the next build starts from scratch"
    )
    cache_options.add_argument(
        "--keep-cache",
        type=numbers.whole_number(100_000, "days"),
        default=_DEFAULT_DAYS,
        metavar="DAYS",
        help="keep cached data for DAYS days after its last use (default: 30)",
    )
    parser.add_argument(
        "--grace-period",
        type=numbers.whole_number(100_000, "hours"),
        default=_DEFAULT_HOURS,
        metavar="HOURS",
        help="remove pods that ended, or were created and never started, HOURS hours ago (default: 24)",
    )
    parser.add_argument("--dry-run", action="store_true", help="only print what would be freed")
    # Nothing is asked, so nothing needs to be forced.
    parser.add_argument("-f", "--force", action="store_true", help=argparse.SUPPRESS)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    from pumice.clock import SystemClock
    from pumice.store import garbage_collection
    from pumice.store.home import Home, locate

    progress = progress_modes.make_progress(options.progress)
    with Home(locate(os.environ), progress=progress) as home:
        result = garbage_collection.collect(
            home,
            SystemClock(),
            keep_days=None if options.all else options.keep_cache,
            dry_run=options.dry_run,
        )
        if not options.dry_run:
            _drop_pods(home, options.grace_period, progress)
            _drop_trees(home, result)
    verb = "would free" if options.dry_run else "freed"
    counts = f"{format_count(result.blobs, 'blob')} and {format_count(result.records, 'record')}"
    print(f"{verb} {output.format_size(result.freed)}: {counts}")
    if result.cache:
        progress.note(f"{output.format_size(result.cache)} of cache kept; use --all to delete it too")
    return 0


def _drop_pods(home: Home, hours: int, progress: Progress) -> None:
    """Remove pods that ended ``hours`` ago, and what programs left that were killed."""
    if not any((home.root / name).is_dir() for name in ("pods", "trees")):
        return
    from pumice.runtime.pods import collection

    count = collection.collect_pods(home, hours * 3600)
    if count:
        progress.note(f"{format_count(count, 'pod')} removed")


def _drop_trees(home: Home, result: Collected) -> None:
    """Remove the prepared trees of deleted images, if this platform can run images."""
    try:
        from pumice.runtime import prepared_tree
    except ImportError:  # no fcntl, so no tree was ever prepared
        return
    prepared_tree.remove_unused(home, result.image_blobs.__contains__)
