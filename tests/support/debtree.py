"""A tree straight from package files, whole and uncompressed, for tests of what stands on trees."""

from __future__ import annotations

import hashlib
import posixpath
from typing import IO, TYPE_CHECKING, BinaryIO

import msgspec

from pumice.formats import deb, elf, tar
from pumice.formats.tar import Entry
from pumice.packing.selection import ALIASED_DIRECTORIES, merged_usr_path
from pumice.packing.tree import Node, PackageFacts, Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path


class Loaded(msgspec.Struct):
    """Nodes, where the content of each file stands in the spool (offset and size), and packages."""

    nodes: dict[str, Node] = {}
    places: dict[str, tuple[int, int]] = {}
    packages: list[PackageFacts] = []


def load(
    packages: Iterable[Path],
    spool: IO[bytes],
    *,
    wanted: Callable[[str], bool] = lambda _path: True,
    data_only: Iterable[str] = (),
    diversions: Mapping[str, tuple[str, str]] | None = None,
) -> Loaded:
    """Return what ``packages`` make together; file contents go into ``spool``."""
    loaded = Loaded()
    for package in packages:
        with package.open("rb") as file:
            _add(loaded, file, spool, wanted, frozenset(data_only), diversions or {})
    for folder in sorted({posixpath.dirname(path) for path in loaded.nodes}):
        parent = folder
        while parent and parent not in loaded.nodes:
            loaded.nodes[parent] = Node(Entry(parent, "dir", 0o755))
            parent = posixpath.dirname(parent)
    return loaded


def tree(loaded: Loaded, spool: IO[bytes]) -> Tree:
    """Return the tree of what was loaded, reading from its spool."""

    def read(path: str) -> bytes:
        offset, size = loaded.places[path]
        spool.seek(offset)
        return spool.read(size)

    return Tree(loaded.nodes, read, sorted(loaded.packages, key=lambda package: package.name))


def _add(
    loaded: Loaded,
    file: BinaryIO,
    spool: IO[bytes],
    wanted: Callable[[str], bool],
    data_only: frozenset[str],
    diversions: Mapping[str, tuple[str, str]],
) -> None:
    control = deb.read_control(file)
    name = control.fields["Package"]
    stated = control.files.get("conffiles", b"").decode().splitlines()
    conffiles = {line: "" for line in stated if line.startswith("/")}
    for entry, body in tar.read_entries(deb.open_data(file)):
        path = merged_usr_path(entry.path)
        if not path or (entry.kind == "dir" and path in ALIASED_DIRECTORIES) or not wanted(path):
            continue
        if path in diversions and diversions[path][0] != name:
            path = diversions[path][1]
        moved = msgspec.structs.replace(entry, path=path)
        facts = None
        if entry.kind == "file":
            data = body.read(entry.size) if entry.size else b""
            loaded.places[path] = (spool.seek(0, 2), len(data))
            spool.write(data)
            facts = elf.read_shared_object(lambda at, count, data=data: data[at : at + count], len(data))  # type: ignore[misc]
            if "/" + entry.path in conffiles:
                conffiles["/" + entry.path] = hashlib.md5(data).hexdigest()
        elif entry.kind == "hardlink":
            moved = msgspec.structs.replace(moved, link=merged_usr_path(entry.link))
        if entry.kind != "dir" or path not in loaded.nodes:
            loaded.nodes[path] = Node(moved, name, facts)
    loaded.packages.append(
        PackageFacts(
            name=name,
            version=control.fields["Version"],
            architecture=control.fields["Architecture"],
            fields=control.fields,
            files={key: value for key, value in control.files.items() if key != "md5sums"},
            conffiles={path: md5 for path, md5 in conffiles.items() if md5},
            installed=name not in data_only,
        )
    )
