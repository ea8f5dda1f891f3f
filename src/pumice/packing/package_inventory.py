"""The entries of a package, remembered so that another cut of it can stop after the last file it needs.

Links come last in packages, and the copyright file near the end, so that any slice with one of them would
decompress the whole package. They are in the inventory.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from pumice.cache_keys import cache_key
from pumice.errors import FormatError
from pumice.formats import deb, tar
from pumice.formats.tar import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pumice.digest import Digest

MAX_COPYRIGHT = 4 << 20


class PackageInventory(msgspec.Struct, frozen=True):
    """The entries of a package in their order, and the content of its copyright file if it is not large."""

    entries: tuple[Entry, ...]
    copyright: bytes = b""


def inventory_key(package_sha256: str) -> Digest:
    """Return the cache key of the inventory of a package."""
    return cache_key("segment", package_sha256, "inventory")


def is_copyright(path: str, package: str) -> bool:
    """Whether a path is that of the copyright file of a package."""
    return path == f"usr/share/doc/{package}/copyright"


def read_needed(
    file: BinaryIO, package: str, inventory: PackageInventory, is_needed: Callable[[Entry], bool]
) -> Iterator[tuple[Entry, tar.Source]]:
    """Yield all entries of a package, with the content of regular files that are needed.

    Raises FormatError if the package is not the one of the inventory.
    """

    def needs_package(entry: Entry) -> bool:
        is_known = is_copyright(entry.path, package) and len(inventory.copyright) == entry.size
        return entry.kind == "file" and entry.size > 0 and not is_known and is_needed(entry)

    numbers = [number for number, entry in enumerate(inventory.entries) if needs_package(entry)]
    count = numbers[-1] + 1 if numbers else 0
    shipped = tar.read_entries(deb.open_data(file)) if count else iter(())
    for expected in inventory.entries[:count]:
        item = next(shipped, None)
        if item is None or item[0] != expected:
            raise FormatError("the package is not the one whose files are known")
        yield item
    for entry in inventory.entries[count:]:
        known = inventory.copyright if is_copyright(entry.path, package) else b""
        yield entry, io.BytesIO(known)
