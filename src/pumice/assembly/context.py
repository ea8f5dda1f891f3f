"""What a build runs with: the store, the source of packages, processors, progress and the clock."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pumice.assembly.cutting_pool import CuttingPool
    from pumice.digest import Digest
    from pumice.progress import Progress
    from pumice.recipe.lock import LockedPackage
    from pumice.store.home import Home

    FetchPackage = Callable[[LockedPackage], Digest]

_MAX_PROCESSORS = 6
_MAX_DIGITS = 11


class BuildContext(msgspec.Struct, frozen=True, kw_only=True):
    """The surroundings of a build, passed unchanged through all its steps.

    Only ``source_date_epoch`` may decide a byte of an image; what else decides one is in
    `pumice.assembly.platform_model.PlatformInputs`.
    """

    home: Home
    fetch_package: FetchPackage
    """Puts a verified package into the store and returns its digest; called from several threads."""
    processors: int
    """How many packages are cut at a time."""
    cutting_pool: CuttingPool | None = None
    """Cuts the packages of all builds of a command; None for a build that cuts its own."""
    progress: Progress
    source_date_epoch: int | None = None
    """The creation time to record, in seconds since 1970, instead of the newest package's."""
    rounds: int = 1
    """How often to run the commands of ``generate``; more than once compares what they write."""


def default_processors() -> int:
    """Return how many packages to cut at a time on this machine.

    Each takes about 12 MB of memory, most of it for the dictionary of xz. More than six gain little,
    because the largest package alone takes longest.
    """
    return max(1, min(os.cpu_count() or 1, _MAX_PROCESSORS))


def read_source_date_epoch(environ: Mapping[str, str]) -> int | None:
    """Return ``SOURCE_DATE_EPOCH`` (reproducible-builds.org) in seconds, None if it is not set.

    Raises UsageError.
    """
    text = environ.get("SOURCE_DATE_EPOCH", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > _MAX_DIGITS:
        raise UsageError(
            f"SOURCE_DATE_EPOCH is {text[:40]!r}", hint="it must be a number of seconds since 1970"
        )
    return int(text)
