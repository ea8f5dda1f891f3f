"""What a file of any format says of a pod."""

from __future__ import annotations

import msgspec

from pumice.runtime.name_resolution import NameResolution
from pumice.runtime.network.port_options import PortRequest
from pumice.runtime.run_options import AppOptions, Volume


class InputApp(msgspec.Struct, frozen=True):
    """An app and the reference of its image.

    An app of an App Container pod manifest has the image with ``options.image_id``. ``image_name`` and
    ``image_labels`` say where it may be discovered; the name may be empty.
    """

    reference: str
    options: AppOptions
    image_name: str = ""
    image_labels: tuple[tuple[str, str], ...] = ()


class PodInput(msgspec.Struct, frozen=True, kw_only=True):
    """A pod in a file. ``network`` is a mode of `network.request`, empty for the usual one.

    With ``has_metadata``, the pod has access to the metadata service.
    ``ignored`` are sentences about what the file asks for and the pod will not have.
    """

    name: str = ""
    apps: tuple[InputApp, ...] = ()
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    hostname: str = ""
    names: NameResolution = NameResolution()
    network: str = ""
    publish: tuple[PortRequest, ...] = ()
    volumes: tuple[Volume, ...] = ()
    shares_pids: bool = False
    has_metadata: bool = False
    ignored: tuple[str, ...] = ()
