"""``pumice gc``: free the space of what no image needs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import output

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.store.garbage_collection import Collected
    from pumice.store.home import Home

_DEFAULT_DAYS = 30

_EPILOG = """Images in the store keep everything they consist of. The rest (packages, their segments, results
of earlier builds) is a cache that makes the next build fast; it is kept for some days after its last use."""


def _parser() -> argparse.ArgumentParser:
    made = command_line.parser("gc", "Free the space of what no image needs.", epilog=_EPILOG)
    keep = made.add_mutually_exclusive_group()
    keep.add_argument("--all", action="store_true", help="keep no cache: the next build starts from nothing")
    keep.add_argument(
        "--keep-cache",
        type=_days,
        default=_DEFAULT_DAYS,
        metavar="DAYS",
        help="days to keep what no image needs after its last use (default: 30)",
    )
    made.add_argument("--dry-run", action="store_true", help="remove nothing, only say what would be freed")
    return made


def _days(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 100_000:
        raise ValueError(text)
    return number


_days.__name__ = "days"  # argparse shows it


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = _parser().parse_args(arguments)
    from pumice.clock import SystemClock
    from pumice.store import garbage_collection
    from pumice.store.home import Home, locate

    progress = output.progress(asked.progress)
    with Home(locate(os.environ), progress=progress) as home:
        result = garbage_collection.collect(
            home, SystemClock(), keep_days=None if asked.all else asked.keep_cache, dry_run=asked.dry_run
        )
        if not asked.dry_run:
            _drop_trees(home, result)
    verb = "would free" if asked.dry_run else "freed"
    print(f"{verb} {output.size(result.freed)}: {result.blobs} blobs and {result.records} records")
    if result.cache:
        progress.note(f"{output.size(result.cache)} of cache stay; --all frees them too")
    return 0


def _drop_trees(home: Home, result: Collected) -> None:
    """Remove the prepared trees of images that are gone, where this machine can run images at all."""
    try:
        from pumice.runtime import prepared_tree
    except ImportError:  # no fcntl: nothing was ever prepared here
        return
    prepared_tree.drop(home, result.wanted.__contains__)
