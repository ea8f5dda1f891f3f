"""Names that a layer can hold.

A layer is a tar archive in which a name that begins with ``.wh.`` deletes another file (image-spec 1.1,
layer.md, "whiteouts"), so a real file of that name would vanish and take its neighbor with it. Every
writer of layers goes through `check`. Control characters are unusual but valid in a file's name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pumice.errors import ImageError

if TYPE_CHECKING:
    from pumice.formats.tar import Entry

WHITEOUT = ".wh."
MAX_NAME = 255
"""Bytes of one component of a path, on every file system that images are unpacked on (NAME_MAX)."""
MAX_PATH = 4095
"""Bytes of a path or of a link's target (PATH_MAX without its final NUL)."""

_SUSPECT = re.compile(r"(?:^|/)(?:\.wh\.|\.\.?(?:/|$)|/|$)|[\x00\ud800-\udfff]|[^/]{64}")
"""Matches every path with a flaw, and some without: most paths need only this one search."""


def find_name_flaw(path: str, link: str = "") -> str | None:
    """Return why a layer cannot hold an entry with this path and link target, or None if it can.

    ``path`` is relative, as in `Entry.path`; the root (``""``) is valid.
    """
    if path and (len(path) > MAX_PATH // 4 or _SUSPECT.search(path)) and (flaw := _find_path_flaw(path)):
        return flaw
    if len(link) > MAX_PATH // 4 and len(link.encode("utf-8", "surrogateescape")) > MAX_PATH:
        return f"its link target is longer than {MAX_PATH} bytes"
    return "its link target contains a NUL" if "\0" in link else None


def _find_path_flaw(path: str) -> str | None:
    components = path.split("/")
    if any(component.startswith(WHITEOUT) for component in components):
        return f"a name that begins with {WHITEOUT!r} deletes other files in an image layer"
    if any(part in ("", ".", "..") for part in components):
        return "it is not a plain path"
    if "\0" in path:
        return "its name contains a NUL"
    try:
        lengths = [len(part.encode()) for part in components]
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    if max(lengths) > MAX_NAME:
        return f"its name is longer than {MAX_NAME} bytes"
    if sum(lengths) + len(lengths) - 1 > MAX_PATH:
        return f"its path is longer than {MAX_PATH} bytes"
    return None


def check_entry_name(entry: Entry) -> None:
    """Raise ImageError if a layer cannot hold an entry with this name."""
    flaw = find_name_flaw(entry.path, entry.link)
    if flaw:
        raise ImageError(f"cannot add {quote_path(entry.path)} to the image: {flaw}")


def quote_path(path: str) -> str:
    """Return an image path for a message: absolute, quoted, without control characters, not endless."""
    text = "/" + path
    return repr(text if len(text) <= 200 else text[:150] + "..." + text[-40:])
