"""dpkg's files that list the files of a package, without those that are not in an image."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

LIST_SUFFIXES = ("list", "md5sums", "conffiles")
"""The suffixes of dpkg's files that list the files of a package."""


def filter_list(content: bytes, suffix: str, stays: Callable[[str], bool]) -> bytes:
    """Return the lines of one of dpkg's files whose paths stay, as they are in the package."""
    lines = []
    for line in content.split(b"\n"):
        path = line.decode("utf-8", "surrogateescape")
        if suffix == "md5sums":
            path = path.partition("  ")[2].removeprefix("./")
        elif suffix == "conffiles":
            path = path[path.find("/") :].strip()  # a flag may precede it
        if not path or stays(path):
            lines.append(line)
    return b"\n".join(lines)
