"""Checks of entry names: which paths and link targets a layer can hold.

A layer is a tar archive in which a name that begins with ``.wh.`` deletes another file (OCI image-spec
1.1, layer.md, "Whiteouts"), so it cannot hold a file of that name. Every writer of layers calls
`check_entry_name`. Control characters are valid in a file name.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pumice.errors import ImageError

if TYPE_CHECKING:
    from pumice.formats.tar import Entry

WHITEOUT = ".wh."
MAX_NAME = 255
"""The maximum size of a path component in bytes (NAME_MAX)."""
MAX_PATH = 4095
"""The maximum size of a path or link target in bytes (PATH_MAX without the final NUL)."""

_SUSPECT = re.compile(r"(?:^|/)(?:\.wh\.|\.\.?(?:/|$)|/|$)|[\x00\ud800-\udfff]|[^/]{64}")
"""Matches every invalid path and a few valid ones, so that most paths need only this search."""


def find_name_flaw(path: str, link: str = "") -> str | None:
    """Return why a layer cannot hold an entry with this path and link target; None if it can.

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
    if any(component in ("", ".", "..") for component in components):
        return "it is not a plain path"
    if "\0" in path:
        return "its name contains a NUL"
    try:
        lengths = [len(component.encode()) for component in components]
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
    """Return an image path for a message: absolute, quoted, escaped, and shortened if it is long."""
    text = "/" + path
    return repr(text if len(text) <= 200 else text[:150] + "..." + text[-40:])
