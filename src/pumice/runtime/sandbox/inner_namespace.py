"""The user namespace that another sandbox creates in that of its container, with all ids of the container.

bwrap maps one id only, unless another process writes the maps (``--userns-block-fd``). It keeps the user
that starts it, so it is started as the user of the program.
"""

from __future__ import annotations

import os

from pumice.runtime.sandbox.errors import SetupError
from pumice.runtime.sandbox.supervision import find_child
from pumice.runtime.sandbox.user_namespace import write_map

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pumice.runtime.sandbox.options import Options

_MAX_INFO = 4096
_CHILD = '"child-pid":'


def become_user(options: Options) -> None:
    """Become the user of the program, if `map_child` maps it."""
    if options.map_info >= 0:
        os.setgroups(options.groups)
        os.setresgid(options.gid, options.gid, options.gid)
        os.setresuid(options.uid, options.uid, options.uid)


def map_child(options: Options, program: int) -> None:
    """Give the child of the process ``program`` the ids of this namespace; without a child, do nothing.

    The number that it writes of the child is that of another namespace. Raises SetupError.
    """
    if options.map_info < 0:
        return
    if _has_child(options.map_info) and (child := find_child(f"/proc/{program}")):
        for kind, extents in options.maps.items():
            ids = [extent.split() for extent in extents or _read_own_map(kind)]
            text = "\n".join(f"{inside} {inside} {count}" for inside, _, count in ids)
            try:
                write_map(f"{child}/{kind}_map", text)
            except OSError as error:
                raise SetupError(f"cannot write the map of user ids ({error.strerror})") from None
        os.write(options.map_ready, b"11")  # for --userns-block-fd and for --block-fd
    os.close(options.map_ready)
    os.close(options.map_info)


def _read_own_map(kind: str) -> list[str]:
    """Return the ids of this process's namespace (user_namespaces(7))."""
    with open(f"/proc/self/{kind}_map") as file:
        return file.read().split("\n")[:-1]


def _has_child(info: int) -> bool:
    """Return whether the program names its child in its JSON, False if it ended.

    All of the JSON is read: writing the rest to a closed pipe would end the program.
    """
    text = ""
    while "}" not in text and len(text) < _MAX_INFO and (data := os.read(info, _MAX_INFO)):
        text += data.decode(errors="replace")
    return _CHILD in text and "}" in text
