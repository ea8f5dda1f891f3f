"""Where the store is; apart from the store, so that completion finds it without loading that."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.errors import StoreError

if TYPE_CHECKING:
    from collections.abc import Mapping


def locate(environ: Mapping[str, str]) -> Path:
    """Return the directory of the store: ``PUMICE_HOME``, else ``pumice`` in the XDG data directory.

    XDG Base Directory 0.8: a relative ``XDG_DATA_HOME`` is ignored. Raises StoreError if there is
    no home directory either.
    """
    if configured_path := environ.get("PUMICE_HOME"):
        return Path(os.path.abspath(configured_path))
    data_directory = environ.get("XDG_DATA_HOME", "")
    if os.path.isabs(data_directory):
        return Path(data_directory, "pumice")
    if home_directory := environ.get("HOME"):
        return Path(os.path.abspath(home_directory), ".local", "share", "pumice")
    raise StoreError("there is no home directory to keep the store in", hint="set PUMICE_HOME")
