"""The storage backends, and how a location selects one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pumice.errors import UsageError
from pumice.registry.server.storage.disk.storage import open_directory

if TYPE_CHECKING:
    from pumice.registry.server.storage.protocol import Storage


class Backend(Protocol):
    """Opens storage at a location, which is what follows ``SCHEME://``."""

    def __call__(self, location: str, *, create: bool) -> Storage:
        """Open the storage; without ``create`` it must exist. Raises StoreError, UsageError."""


DIRECTORY = "file"

BACKENDS: dict[str, Backend] = {
    DIRECTORY: open_directory,
}
"""By scheme. A location without a scheme is a directory."""


def open_storage(location: str, *, create: bool = True) -> Storage:
    """Open the storage at ``location``: a directory, or ``SCHEME://`` and what its backend expects.

    Raises StoreError if it cannot be opened, and UsageError if no backend has that scheme, or if there
    is not a registry and ``create`` is not set.
    """
    scheme, separator, rest = location.partition("://")
    if not separator:
        scheme, rest = DIRECTORY, location
    if scheme not in BACKENDS:
        raise UsageError(
            f"no storage backend has the scheme {scheme[:40]!r}", hint=f"use one of: {', '.join(BACKENDS)}"
        )
    return BACKENDS[scheme](rest, create=create)
