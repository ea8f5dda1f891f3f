"""Where the store is; apart from the store, so that completion finds it without loading that."""

from __future__ import annotations

import os

from pumice.errors import StoreError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def locate(environ: Mapping[str, str]) -> Path:
    """Return the directory of the store as `find_directory` does."""
    from pathlib import Path

    return Path(find_directory(environ))


def find_directory(environ: Mapping[str, str]) -> str:
    """Return the directory of the store: ``PUMICE_HOME``, else ``pumice`` in the XDG data directory.

    XDG Base Directory 0.8: a relative ``XDG_DATA_HOME`` is ignored. Raises StoreError if there is
    no home directory either.
    """
    if configured_path := environ.get("PUMICE_HOME"):
        return os.path.abspath(configured_path)
    data_directory = environ.get("XDG_DATA_HOME", "")
    if os.path.isabs(data_directory):
        return os.path.join(data_directory, "pumice")
    if home_directory := environ.get("HOME"):
        return os.path.join(os.path.abspath(home_directory), ".local", "share", "pumice")
    raise StoreError("there is no home directory to keep the store in", hint="set PUMICE_HOME")
