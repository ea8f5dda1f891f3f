"""Opens the store and the registries that the Python API works with."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.progress import Silent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pumice.image.transports.locations import Access
    from pumice.progress import Progress
    from pumice.registry.client import Client
    from pumice.store.home import Home

    StrPath = str | os.PathLike[str]


def open_home(store: StrPath | None, environ: Mapping[str, str], progress: Progress | None) -> Home:
    """Return the store at ``store``, by default the one that ``environ`` names."""
    from pumice.store.home import Home, locate

    path = locate(environ) if store is None else Path(os.path.abspath(store))  # noqa: PTH100 - keeps links
    return Home(path, progress=progress or Silent(), environ=environ)


@contextmanager
def open_registries(home: Home, environ: Mapping[str, str], progress: Progress | None) -> Iterator[Access]:
    """Give the access to all locations, with the logins and settings that ``environ`` names."""
    from pumice.image.transports.access import open_access

    reporter = progress or Silent()

    def open_client() -> Client:
        from pumice.registry import registry_config
        from pumice.registry.client import Client, ClientSettings
        from pumice.registry.credentials import AuthFiles

        settings = ClientSettings(registry_configs=registry_config.load_registry_configs(environ))
        return Client(AuthFiles(environ), settings, progress=reporter)

    with open_access(home, open_client, reporter) as access:
        yield access
