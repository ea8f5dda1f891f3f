"""The user namespace that another sandbox creates in that of its container, with all ids of the container.

bwrap maps one id only, unless another process writes the maps (``--userns-block-fd``). It keeps the user
that starts it, so it is started as the user of the program.
"""

from __future__ import annotations

import os

from pumice.runtime.sandbox.errors import SetupError
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


def map_child(options: Options) -> None:
    """Give the child of the program the ids of this namespace; without a child, do nothing."""
    if options.map_info < 0:
        return
    child = _read_child(options.map_info)
    if child:
        for kind, extents in options.maps.items():
            ids = [extent.split() for extent in extents or _read_own_map(kind)]
            text = "\n".join(f"{inside} {inside} {count}" for inside, _, count in ids)
            try:
                write_map(f"/proc/{child}/{kind}_map", text)
            except OSError as error:
                raise SetupError(f"cannot write the map of user ids ({error.strerror})") from None
        os.write(options.map_ready, b"11")  # for --userns-block-fd and for --block-fd
    os.close(options.map_ready)
    os.close(options.map_info)


def _read_own_map(kind: str) -> list[str]:
    """Return the ids of this process's namespace (user_namespaces(7))."""
    with open(f"/proc/self/{kind}_map") as file:
        return file.read().split("\n")[:-1]


def _read_child(info: int) -> int:
    """Return the process that the program names in its JSON, 0 if the program ended.

    All of the JSON is read: writing the rest to a closed pipe would end the program.
    """
    text = ""
    while "}" not in text and len(text) < _MAX_INFO and (data := os.read(info, _MAX_INFO)):
        text += data.decode(errors="replace")
    digits = text.partition(_CHILD)[2].strip()
    number = digits.partition(",")[0].partition("}")[0].strip()
    return int(number) if number.isdigit() and number != digits else 0
