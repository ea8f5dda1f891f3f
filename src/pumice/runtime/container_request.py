"""What the user asks of a container, apart from its process, mounts and network."""

from __future__ import annotations

import msgspec

from pumice.runtime.container import HOSTNAME
from pumice.runtime.isolation.model import Isolation
from pumice.runtime.name_resolution import NameResolution
from pumice.runtime.prepared_tree import Verification


class ContainerRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The isolation and names of a container; with ``strict``, what cannot be honored is an error.

    ``verify`` says how the unpacked files are checked for changes.
    """

    isolation: Isolation = Isolation()
    names: NameResolution = NameResolution()
    hostname: str = HOSTNAME
    strict: bool = False
    verify: Verification = "fast"
