"""What the user asks of a container, apart from its process, mounts and network."""

from __future__ import annotations

import msgspec

from pumice.runtime.container import HOSTNAME
from pumice.runtime.isolation.model import Isolation
from pumice.runtime.name_resolution import NameResolution


class ContainerRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The isolation and names of a container; with ``strict``, what cannot be honored is an error."""

    isolation: Isolation = Isolation()
    names: NameResolution = NameResolution()
    hostname: str = HOSTNAME
    strict: bool = False
