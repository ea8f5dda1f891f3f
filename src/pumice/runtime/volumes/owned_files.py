"""Files that a container of an ordinary user gave to subordinate ids, so that only they can remove them."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from pumice.errors import StoreError
from pumice.runtime import id_maps
from pumice.runtime.sandbox.errors import SetupError
from pumice.runtime.sandbox.options import Options
from pumice.runtime.sandbox.user_namespace import enter_user_namespace

if TYPE_CHECKING:
    from pathlib import Path


def remove_owned_tree(directory: Path) -> None:
    """Remove a directory in a user namespace that has the subordinate ids of this user; raises StoreError."""
    maps = id_maps.subordinate_maps()
    child = os.fork() if maps else 0
    if maps and child == 0:
        try:
            options = Options()
            options.map_helpers = maps.helpers
            for kind, extents in (("uid", maps.users), ("gid", maps.groups)):
                options.maps[kind] = [" ".join(map(str, extent)) for extent in extents]
            enter_user_namespace(options, 0)
            os.setresgid(0, 0, 0)
            os.setresuid(0, 0, 0)
            shutil.rmtree(directory)
            os._exit(0)
        except (OSError, SetupError):
            os._exit(1)
        finally:
            os._exit(1)
    if not maps or os.waitpid(child, 0)[1]:
        raise StoreError(
            "cannot remove files that a pod gave to another user",
            where=str(directory),
            hint="remove them as root",
        )
