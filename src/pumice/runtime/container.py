"""The description of a container, which any stage 1 can run."""

from __future__ import annotations

from typing import Literal

import msgspec

from pumice.runtime.isolation.model import DEFAULT_HOSTNAME, Isolation, Limits

Network = Literal["host", "none", "private"]
HOSTNAME = DEFAULT_HOSTNAME


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """The process to execute (runtime-spec 1.0, config.md, "Process").

    ``arguments`` starts with the program; ``directory`` is an absolute path inside the container.
    """

    arguments: tuple[str, ...]
    environment: dict[str, str]
    directory: str = "/"
    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()


class Mount(msgspec.Struct, frozen=True):
    """A mount of a host file or directory at ``target``; an empty ``source`` is a tmpfs.

    A ``volume`` is a named one, and an ``image`` a reference: their ``source`` is found when the container
    starts, and ``lock`` is a descriptor that protects it while a process has it. A new volume gets what the
    image has at ``target`` if it ``copies``; ``subpath`` is a path in an image.

    ``data`` are the options of a tmpfs, such as ``size=1048576,mode=0755``; by default everyone can write
    to it. `tmpfs_options` are those with which it is mounted. With ``no_exec``, programs in a tmpfs cannot
    be executed. With ``owned``, the files of ``source`` are given to the user of the program. Without
    ``recursive``, what is mounted below ``source`` stays invisible. ``relabel`` asks for the SELinux label of
    a container on the files of ``source``.
    """

    source: str
    target: str
    read_only: bool = False
    data: str = ""
    no_exec: bool = False
    owned: bool = False
    volume: str = ""
    copies: bool = True
    image: str = ""
    subpath: str = ""
    lock: int = -1
    recursive: bool = True
    relabel: bool = False

    @property
    def tmpfs_options(self) -> str:
        """The options of a tmpfs for the kernel, which takes ``ro`` among them."""
        return f"{self.data or 'mode=1777'}{',ro' if self.read_only else ''}"


class IdMaps(msgspec.Struct, frozen=True):
    """The id maps of a user namespace: (inside, outside, count) for users and groups.

    Without extents, root maps all ids and an ordinary user only its own. With ``helpers``, newuidmap and
    newgidmap must write the maps.
    """

    users: tuple[tuple[int, int, int], ...] = ()
    groups: tuple[tuple[int, int, int], ...] = ()
    helpers: bool = False


class Container(msgspec.Struct, frozen=True, kw_only=True):
    """A container, as a stage 1 runs it.

    ``root`` is the prepared tree, which is never written to, unless ``in_place``: then it is a directory of
    this user's own, which is the root itself, and there is only one user id. ``last_pid`` shifts the numbers
    of processes. ``owner_record`` is a file to which `sandbox.owner_recorder` adds. Only the built-in sandbox
    has these three. ``owners`` is the file with the owners that the
    tree lacks, empty if there are none. ``files`` are names and texts of files that exist only while the
    container runs; their mounts have the source ``{root}/{name}``. With ``init``, process 1 is an init that
    forwards signals and reaps orphans, else it is the program. ``setup`` are commands that run before the
    program, as the same user; they need ``init``, and only the built-in sandbox supports them.
    ``pre_start`` and ``post_stop`` are event
    handlers of App Container: commands that run before and after the program, with its user and its output;
    where there is an init, they need it. ``listen`` are sockets that the program gets: a
    name, and ``tcp``, ``udp`` or ``fd`` with a port or a descriptor. A private
    network is connected by `network.attachment`; ``ports`` are those that are published, such as ``80/tcp``.
    ``machine`` is the size of a virtual machine. ``filters`` is a directory that keeps compiled filters of
    system calls, empty for none. ``maps`` are those of its pod of several, None for the usual ones; with
    ``pod_pids``, it shares the process ids of that. ``terminal`` says whether its streams are a terminal;
    None if they are those of this process. With
    ``has_name_servers``, its resolv.conf has those that the user chose, or none.
    """

    root: str
    process: Process
    owners: str = ""
    mounts: tuple[Mount, ...] = ()
    files: tuple[tuple[str, str], ...] = ()
    init: bool = False
    setup: tuple[tuple[str, ...], ...] = ()
    pre_start: tuple[str, ...] = ()
    post_stop: tuple[str, ...] = ()
    listen: tuple[tuple[str, str, str], ...] = ()
    network: Network = "host"
    ports: tuple[str, ...] = ()
    read_only: bool = False
    hostname: str = HOSTNAME
    isolation: Isolation = Isolation()
    machine: Limits = Limits()
    filters: str = ""
    in_place: bool = False
    last_pid: int = 0
    owner_record: str = ""
    maps: IdMaps | None = None
    pod_pids: bool = False
    terminal: bool | None = None
    has_name_servers: bool = False

    @property
    def is_in_pod(self) -> bool:
        """Return whether it shares the network, IPC and the host name of a pod of several."""
        return self.maps is not None
