"""Directories of other users that root uses nevertheless: the opt-out of `pumice.ownership.check_owner`.

``PUMICE_SAFE_DIRECTORIES`` holds paths separated by colons, ``safe_directories`` of the configuration a
list of them; ``*`` is every directory. The configuration counts only if it is root's own.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice import ownership

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def check(path: str | os.PathLike[str], environ: Mapping[str, str]) -> None:
    """Raise StoreError if root is about to use another user's directory that is not declared safe."""
    ownership.check_owner(path, _declared(environ))


def _declared(environ: Mapping[str, str]) -> Iterator[str]:
    """Yield the directories. A generator, because the configuration is rarely needed."""
    yield from (item for item in environ.get("PUMICE_SAFE_DIRECTORIES", "").split(":") if item)
    from pumice.recipe import config

    file = config.locate(environ)
    try:
        if {os.lstat(file).st_uid, os.stat(file).st_uid} != {os.geteuid()}:
            return
    except OSError:
        return
    yield from config.load(environ).safe_directories
