"""Looking into a prepared tree without ever being led out of it by a link."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_MAX_LINKS = 40


def resolve(root: Path, path: str) -> Path | None:
    """Return where ``path`` leads inside ``root``, every link followed as if ``root`` were ``/``.

    None if there is nothing. The tree must not change meanwhile.
    """
    pending = [part for part in path.split("/") if part]
    found = root
    links = 0
    while pending:
        part = pending.pop(0)
        if part == ".":
            continue
        if part == "..":
            found = found if found == root else found.parent
            continue
        try:
            mode = (found / part).lstat().st_mode
            text = str((found / part).readlink()) if stat.S_ISLNK(mode) else ""
        except (OSError, ValueError):
            return None
        if not text:
            found = found / part
            continue
        links += 1
        if links > _MAX_LINKS:
            return None
        if text.startswith("/"):
            found = root
        pending = [piece for piece in text.split("/") if piece] + pending
    return found


def locate(root: Path, path: str, mounted: Mapping[str, str]) -> str | None:
    """Return ``path`` with every link on the way followed as if ``root`` were ``/``, absolute.

    What is not there needs no following: the rest of the path is as given, without ``.`` and ``..``.
    ``mounted`` are directories (as `locate` returns them) where something else is seen: its path on
    this machine, or "" for something new. None if the links lead in circles.
    """
    parts: list[str] = []
    pending = path.split("/")[::-1]
    links = 0
    while pending:
        part = pending.pop()
        if part in ("", "."):
            continue
        if part == "..":
            del parts[-1:]
            continue
        text = _link(_seen(root, [*parts, part], mounted))
        if text is None:
            parts.append(part)
            continue
        links += 1
        if links > _MAX_LINKS:
            return None
        if text.startswith("/"):
            parts = []
        pending += text.split("/")[::-1]
    return "/" + "/".join(parts)


def _seen(root: Path, parts: Sequence[str], mounted: Mapping[str, str]) -> Path | None:
    for count in range(len(parts), 0, -1):
        source = mounted.get("/" + "/".join(parts[:count]))
        if source is not None:
            return Path(source, *parts[count:]) if source else None
    return Path(root, *parts)


def _link(place: Path | None) -> str | None:
    with suppress(OSError, ValueError):
        return os.readlink(place) if place else None  # noqa: PTH115 - it may not be valid UTF-8
    return None


def read(root: Path, path: str, limit: int) -> bytes | None:
    """Return the first ``limit`` bytes of the regular file that ``path`` leads to, None without one."""
    found = resolve(root, path)
    if found is None:
        return None
    try:
        # To open a device can be to use it, so it is first looked at.
        place = os.open(found, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(place).st_mode):
            return None
        with open(f"/proc/self/fd/{place}", "rb") as file:  # noqa: PTH123 - a descriptor
            return file.read(limit)
    except OSError:
        return None
    finally:
        os.close(place)
