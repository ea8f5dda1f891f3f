"""Which of two versions of an image is newer.

An image's version is its author's, and no standard orders such versions. Pumice orders them as Debian
orders package versions (deb-version(7)): numbers by value (``1.9`` before ``1.10``), ``~`` before the
end of a version (``1.0~rc1`` before ``1.0``), and what follows a hyphen as a later revision (``1.0``
before ``1.0-1``). A version that does not begin with a digit, such as ``latest``, has no order. This is
a rule for images of every distribution; only its implementation is that of package versions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.distro import versions
from pumice.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterable


def is_ordered(version: str) -> bool:
    """Return whether a version can be compared with others."""
    try:
        versions.check_version(version)
    except FormatError:
        return False
    return True


def compare_versions(first: str, second: str) -> int | None:
    """Return -1, 0 or 1 as ``first`` is older than, equal to or newer than ``second``; None for no order."""
    if not (is_ordered(first) and is_ordered(second)):
        return 0 if first == second else None
    return versions.compare_versions(first, second)


def sort_newest_first(names: Iterable[str]) -> list[str]:
    """Return versions sorted, the newest first; those without an order come last, sorted by name."""
    ordered: list[str] = []
    others: list[str] = []
    for name in sorted(names):
        (ordered if is_ordered(name) else others).append(name)
    return [*sorted(ordered, key=versions.sort_key, reverse=True), *others]
