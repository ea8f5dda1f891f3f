"""Trees directly from package files, for tests that need a tree without segments."""

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


class LoadedPackages(msgspec.Struct):
    """Nodes, the position of each file's content in the spool (offset and size), and packages."""

    nodes: dict[str, Node] = {}
    positions: dict[str, tuple[int, int]] = {}
    packages: list[PackageFacts] = []


def load(
    packages: Iterable[Path],
    spool: IO[bytes],
    *,
    is_included: Callable[[str], bool] = lambda _path: True,
    data_only: Iterable[str] = (),
    diversions: Mapping[str, tuple[str, str]] | None = None,
) -> LoadedPackages:
    """Load ``packages``; write the contents of their files into ``spool``."""
    loaded_packages = LoadedPackages()
    for package in packages:
        with package.open("rb") as file:
            _load_package(loaded_packages, file, spool, is_included, frozenset(data_only), diversions or {})
    for directory in sorted({posixpath.dirname(path) for path in loaded_packages.nodes}):
        parent = directory
        while parent and parent not in loaded_packages.nodes:
            loaded_packages.nodes[parent] = Node(Entry(parent, "dir", 0o755))
            parent = posixpath.dirname(parent)
    return loaded_packages


def tree(loaded_packages: LoadedPackages, spool: IO[bytes]) -> Tree:
    """Return the tree of loaded packages, which reads contents from ``spool``."""

    def read(path: str) -> bytes:
        offset, size = loaded_packages.positions[path]
        spool.seek(offset)
        return spool.read(size)

    return Tree(
        loaded_packages.nodes, read, sorted(loaded_packages.packages, key=lambda package: package.name)
    )


def _identify(data: bytes) -> elf.SharedObject | None:
    return elf.read_shared_object(lambda offset, size: data[offset : offset + size], len(data))


def _load_package(
    loaded_packages: LoadedPackages,
    file: BinaryIO,
    spool: IO[bytes],
    is_included: Callable[[str], bool],
    data_only: frozenset[str],
    diversions: Mapping[str, tuple[str, str]],
) -> None:
    control = deb.read_control(file)
    name = control.fields["Package"]
    conffile_lines = control.files.get("conffiles", b"").decode().splitlines()
    conffiles = {line: "" for line in conffile_lines if line.startswith("/")}
    for entry, body in tar.read_entries(deb.open_data(file)):
        path = merged_usr_path(entry.path)
        if not path or (entry.kind == "dir" and path in ALIASED_DIRECTORIES) or not is_included(path):
            continue
        if path in diversions and diversions[path][0] != name:
            path = diversions[path][1]
        moved_entry = msgspec.structs.replace(entry, path=path)
        facts = None
        if entry.kind == "file":
            data = body.read(entry.size) if entry.size else b""
            loaded_packages.positions[path] = (spool.seek(0, 2), len(data))
            spool.write(data)
            facts = _identify(data)
            if "/" + entry.path in conffiles:
                conffiles["/" + entry.path] = hashlib.md5(data).hexdigest()
        elif entry.kind == "hardlink":
            moved_entry = msgspec.structs.replace(moved_entry, link=merged_usr_path(entry.link))
        if entry.kind != "dir" or path not in loaded_packages.nodes:
            loaded_packages.nodes[path] = Node(moved_entry, name, facts)
    loaded_packages.packages.append(
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
