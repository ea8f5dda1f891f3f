"""What a user asks of an application, of the pod that it runs in, and of the image that it comes from.

Command lines, manifests and tests of images all lead to these values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.formats.oci import HealthCheck
from pumice.runtime.container import HOSTNAME, Mount
from pumice.runtime.isolation.model import Isolation
from pumice.runtime.name_resolution import NameResolution
from pumice.runtime.network.request import NetworkRequest
from pumice.runtime.pods.records import Dependency
from pumice.runtime.prepared_tree import Verification
from pumice.runtime.process import Overrides

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.formats.oci import Platform
    from pumice.image.model import Image
    from pumice.runtime.quick.command_line import RunCommand
    from pumice.trust.unsigned_images import UnsignedImage


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """A directory that exists as long as the pod, with files by name.

    Only root can give it another owner than the program.
    """

    name: str
    files: dict[str, bytes] = {}
    mode: int = 0o777
    uid: int = 0
    gid: int = 0


class VolumeMount(msgspec.Struct, frozen=True, kw_only=True):
    """Where an app has a volume of its pod, or a file or directory ``path`` in it."""

    volume: str
    target: str
    path: str = ""
    read_only: bool = False
    relabel: bool = False


class AppOptions(msgspec.Struct, frozen=True, kw_only=True):
    """An application: the changes to the process of its image, its isolation and its mounts.

    With ``read_only``, only mounts, ``/tmp`` and ``/run`` are writable. ``init`` and ``setup`` are as in
    `Container`. With a ``terminal``, the process gets a ``TERM``, and in the background a terminal of
    its own; there, clients can write to the input of an ``interactive`` one. ``stop_signal`` and
    ``health_check`` replace those of the image.

    ``pod_app`` is the app of an App Container pod manifest as JSON, which replaces that of the image,
    ``pod_isolators`` are those of the pod, and
    ``image_id`` the image ID and ``annotations`` the annotations there.

    In a pod of several, the app has a ``name``, starts ``after`` others, and can have ``volumes`` of the pod.
    """

    name: str = ""
    after: tuple[Dependency, ...] = ()
    volumes: tuple[VolumeMount, ...] = ()

    process: Overrides = Overrides()
    isolation: Isolation = Isolation()
    mounts: tuple[Mount, ...] = ()
    read_only: bool = False
    init: bool = False
    setup: tuple[tuple[str, ...], ...] = ()
    terminal: bool = False
    interactive: bool = False
    stop_signal: str = ""
    health_check: HealthCheck | None = None
    pod_app: bytes = b""
    pod_isolators: bytes = b""
    image_id: str = ""
    annotations: tuple[tuple[str, str], ...] = ()


class MetadataRequest(msgspec.Struct, frozen=True, kw_only=True):
    """Access to the metadata service; with ``audiences``, the pod can have tokens only for these."""

    audiences: tuple[str, ...] = ()


class PodOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A pod: what its applications share, and how it is kept.

    ``stage1`` is one of `stage1.NAMES`. Without a ``network``, it is that of the host. With ``strict``, what
    cannot be honored is an error. ``verify`` says how the unpacked files are checked for changes.

    ``id`` is that of `pod_store.new_id`; without one, the program runs in the foreground and leaves nothing.
    A ``name`` is chosen if it is empty. A ``detached`` pod runs in the background, another one in the
    foreground; ``remove`` removes it at its end. The fields from ``run_options`` are as in `records.Pod`.
    ``volumes`` exist as long as the pod, and ``annotations`` are for the metadata service (default: the
    labels). A pod of several apps can share process ids among them. Only a pod with an id can have
    ``metadata``.
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
    run_verb: str = "run"
    volumes: tuple[Volume, ...] = ()
    annotations: dict[str, str] = {}
    is_pod_of_several: bool = False
    shares_pids: bool = False


class PodApp(msgspec.Struct, frozen=True):
    """An app with the image that it runs, and how that is chosen and admitted."""

    image: Image
    options: AppOptions
    source: ImageOptions


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
