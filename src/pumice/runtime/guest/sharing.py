"""Whether the virtual machine can share files with the host, through virtiofsd.

Debian's virtiofsd of qemu 7 sets the ids of the one who uses a file, for which it needs more than one.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from pumice.runtime import id_maps

if TYPE_CHECKING:
    from pumice.runtime.container import Container, IdMaps

_DIRECTORIES = "/usr/libexec:/usr/lib/qemu:/usr/lib"


def find_server(container: Container) -> str:
    """Return the path of virtiofsd, "" if it is not installed, or if there are no ids that it can use."""
    if choose_maps(container) is None:
        return ""
    return shutil.which("virtiofsd") or shutil.which("virtiofsd", path=_DIRECTORIES) or ""


def choose_maps(container: Container) -> IdMaps | None:
    """Return the ids of the files; None if there is only one."""
    return id_maps.subordinate_maps() if id_maps.is_ordinary_user() else id_maps.choose_maps(container)


def machine_options(megabytes: int) -> tuple[str, ...]:
    """Return the options of qemu for a machine that shares files, with so many MiB of memory."""
    return (
        *("-object", f"memory-backend-memfd,id=memory,size={megabytes}M,share=on"),
        *("-machine", "pc,memory-backend=memory"),
    )
