"""What a user asks of an application, of the pod that it runs in, and of the image that it comes from.

Command lines, manifests and tests of images all lead to these values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.runtime.container import HOSTNAME, Mount
from pumice.runtime.isolation.model import Isolation
from pumice.runtime.name_resolution import NameResolution
from pumice.runtime.network.request import NetworkRequest
from pumice.runtime.prepared_tree import Verification
from pumice.runtime.process import Overrides

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.formats.oci import Platform
    from pumice.runtime.quick.command_line import RunCommand
    from pumice.trust.unsigned_images import UnsignedImage


class AppOptions(msgspec.Struct, frozen=True, kw_only=True):
    """An application: the changes to the process of its image, its isolation and its mounts.

    With ``read_only``, only mounts, ``/tmp`` and ``/run`` are writable. ``init`` and ``setup`` are as in
    `Container`. With a ``terminal``, the process gets a ``TERM``.
    """

    process: Overrides = Overrides()
    isolation: Isolation = Isolation()
    mounts: tuple[Mount, ...] = ()
    read_only: bool = False
    init: bool = False
    setup: tuple[tuple[str, ...], ...] = ()
    terminal: bool = False


class MetadataRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Access to the metadata service; with ``audiences``, the pod can have tokens only for these."""

    audiences: tuple[str, ...] = ()


class PodOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A pod: what its applications share, and how it is kept.

    ``stage1`` is one of `stage1.NAMES`. Without a ``network``, it is that of the host. With ``strict``, what
    cannot be honored is an error. ``verify`` says how the unpacked files are checked for changes.

    ``id`` is that of `pod_store.new_id`; without one, the program runs in the foreground and leaves nothing.
    A ``name`` is chosen if it is empty. A ``detached`` pod runs in the background, another one in the
    foreground; ``remove`` removes it at its end. The last three are as in `records.Pod`. Only a pod with an
    id can have ``metadata``.
    """

    stage1: str = "builtin"
    network: NetworkRequest | None = None
    hostname: str = HOSTNAME
    names: NameResolution = NameResolution()
    strict: bool = False
    verify: Verification = "fast"
    id: str = ""
    name: str = ""
    labels: dict[str, str] = {}
    detached: bool = False
    remove: bool = False
    metadata: MetadataRequest | None = None
    run_options: tuple[str, ...] = ()
    run_arguments: tuple[str, ...] = ()
    run_directory: str = "/"


class ImageOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How an image is chosen and admitted.

    ``reference`` is the requested reference (default: its digest), ``name`` the name that it must be signed
    as. ``platform`` is that of this machine by default. ``confirm`` asks about an unsigned image.
    ``command`` is the command line for which a plan of the run is kept.
    """

    reference: str = ""
    name: str = ""
    platform: Platform | None = None
    is_insecure: bool = False
    allow_older: bool = False
    confirm: Callable[[UnsignedImage], bool] | None = None
    command: RunCommand | None = None
