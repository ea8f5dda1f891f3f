"""A static registry in memory, which is checked after every change as a client would see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice import digest
from pumice.formats import oci
from pumice.image import graph

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.publish.tree import Tree


class MemoryTree:
    """The files of a tree, and the paths in the order in which they were written and removed."""

    def __init__(self) -> None:
        self.files: dict[str, tuple[str, bytes]] = {}
        self.log: list[str] = []
        self.failing = ""

    def list_files(self) -> dict[str, int]:
        return {path: len(data) for path, (_, data) in self.files.items() if path.startswith("v2/")}

    def read(self, path: str) -> bytes | None:
        return self.files[path][1] if path in self.files else None

    def write(self, path: str, media_type: str, chunks: Iterable[bytes], *, since_read: bool = False) -> None:
        data = b"".join(chunks)
        if self.failing and self.failing in path:
            raise OSError(28, "no space left on the device")
        self.files[path] = (media_type, data)
        self.log.append(path)
        assert find_missing(self) == [], path

    def link(self, source: str, path: str) -> bool:
        self.files[path] = self.files[source]
        self.log.append(path)
        return True

    def remove(self, path: str) -> None:
        self.files.pop(path, None)
        self.log.append(path)
        assert find_missing(self) == [], path


def find_missing(tree: Tree) -> list[str]:
    """Return what a client that pulls each tag with its referrers would not find."""
    files = tree.list_files()
    missing = []
    pending = [path for path in files if "/manifests/" in path and ":" not in path]
    seen = set()
    while pending:
        path = pending.pop()
        if path in seen:
            continue
        seen.add(path)
        data = tree.read(path)
        if data is None:
            missing.append(path)
            continue
        folder = path.partition("/manifests/")[0]
        node = graph.parse_node(oci.Descriptor("", digest.of(data), len(data)), data)
        missing += [
            blob.digest
            for blob in node.blobs
            if files.get(f"{folder}/blobs/{blob.digest}") != blob.size and not graph.may_be_absent(blob)
        ]
        children = [child.digest for child in node.children]
        listed = tree.read(f"{folder}/referrers/{node.descriptor.digest}")
        if listed:
            children += [entry["digest"] for entry in msgspec.json.decode(listed)["manifests"]]
        pending += [f"{folder}/manifests/{name}" for name in children]
    return missing
