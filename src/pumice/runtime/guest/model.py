from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pumice.runtime.container import Container


class Guest(msgspec.Struct, frozen=True, kw_only=True):
    """An app that the virtual machine runs. ``modules`` is the number of files ``/modules/N.ko`` to load.

    ``number`` is that of the app. If ``is_shared``, the host shares the root with all volumes, else it is in
    the archive.
    """

    container: Container
    number: int = 0
    modules: int
    filter: bytes
    has_network: bool
    read_only_paths: tuple[str, ...] = ()
    is_shared: bool = False
