"""A program and the place it runs in, ready for any stage 1."""

from __future__ import annotations

from typing import Literal

import msgspec

Network = Literal["host", "none"]
HOSTNAME = "pumice"


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """What is executed, as whom, and where (runtime-spec 1.0, config.md, "Process").

    ``arguments`` has at least the program; ``directory`` is an absolute path inside the container.
    """

    arguments: tuple[str, ...]
    environment: dict[str, str]
    directory: str = "/"
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()


class Mount(msgspec.Struct, frozen=True):
    """A file or directory of this machine at ``target``; an empty ``source`` is a file system in memory."""

    source: str
    target: str
    read_only: bool = False


class Maps(msgspec.Struct, frozen=True):
    """Who the ids of the container are on this machine: (inside, outside, count) for users and groups.

    No extents mean everyone as root, and only oneself otherwise. ``helpers``: newuidmap and newgidmap
    must write them.
    """

    users: tuple[tuple[int, int, int], ...] = ()
    groups: tuple[tuple[int, int, int], ...] = ()
    helpers: bool = False


class Container(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that a stage 1 needs to know.

    ``root`` is the prepared tree, which is never written to. ``owners`` is the file with the owners
    that the tree could not be given, empty if there are none. ``files`` are names and texts of files
    that exist only while it runs: mounts find them as ``{root}/{name}``. With ``init`` process 1 is an
    init that forwards signals and reaps orphans, else it is the program.
    """

    root: str
    process: Process
    owners: str = ""
    mounts: tuple[Mount, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    init: bool = False
    network: Network = "host"
    read_only: bool = False
    hostname: str = HOSTNAME
