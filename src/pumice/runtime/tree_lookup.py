"""Look up paths in a prepared tree; symbolic links never lead out of it."""

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
    """Return the file that ``path`` leads to, with links resolved as if ``root`` were ``/``.

    Returns None if it does not exist. The tree must not change in the meantime.
    """
    pending = [component for component in path.split("/") if component]
    resolved = root
    links = 0
    while pending:
        name = pending.pop(0)
        if name == ".":
            continue
        if name == "..":
            resolved = resolved if resolved == root else resolved.parent
            continue
        try:
            mode = (resolved / name).lstat().st_mode
            text = str((resolved / name).readlink()) if stat.S_ISLNK(mode) else ""
        except (OSError, ValueError):
            return None
        if not text:
            resolved = resolved / name
            continue
        links += 1
        if links > _MAX_LINKS:
            return None
        if text.startswith("/"):
            resolved = root
        pending = [component_of_link for component_of_link in text.split("/") if component_of_link] + pending
    return resolved


def resolve_with_mounts(root: Path, path: str, mounted: Mapping[str, str]) -> str | None:
    """Return ``path`` as an absolute path with links resolved as if ``root`` were ``/``.

    Missing components are kept as they are, without ``.`` and ``..``. ``mounted`` maps mount points, as this
    function returns them, to their source on the host, or to ``""`` for a new file system. Returns None
    for too many links.
    """
    components: list[str] = []
    pending = path.split("/")[::-1]
    links = 0
    while pending:
        component = pending.pop()
        if component in ("", "."):
            continue
        if component == "..":
            del components[-1:]
            continue
        text = _read_link(_visible_path(root, [*components, component], mounted))
        if text is None:
            components.append(component)
            continue
        links += 1
        if links > _MAX_LINKS:
            return None
        if text.startswith("/"):
            components = []
        pending += text.split("/")[::-1]
    return "/" + "/".join(components)


def _visible_path(root: Path, components: Sequence[str], mounted: Mapping[str, str]) -> Path | None:
    for count in range(len(components), 0, -1):
        source = mounted.get("/" + "/".join(components[:count]))
        if source is not None:
            return Path(source, *components[count:]) if source else None
    return Path(root, *components)


def _read_link(path: Path | None) -> str | None:
    with suppress(OSError, ValueError):
        return os.readlink(path) if path else None  # noqa: PTH115 - a Path would normalize it
    return None


def read_file(root: Path, path: str, limit: int) -> bytes | None:
    """Return the first ``limit`` bytes of the regular file at ``path``, None if there is none."""
    path_in_tree = resolve(root, path)
    if path_in_tree is None:
        return None
    try:
        # Opening a device can have effects, so its type is checked first.
        descriptor = os.open(path_in_tree, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return None
        with open(f"/proc/self/fd/{descriptor}", "rb") as file:  # noqa: PTH123 - a descriptor
            return file.read(limit)
    except OSError:
        return None
    finally:
        os.close(descriptor)
