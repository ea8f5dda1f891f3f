"""App Container pod manifests (spec/pods.md, "Pod Manifest Schema")."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.appc.image_manifest import encode_document
from pumice.appc.pod_manifest import read_pod_manifest
from pumice.errors import FormatError
from pumice.runtime.container import Mount
from pumice.runtime.isolation.model import Isolation
from pumice.runtime.network.port_options import PortRequest
from pumice.runtime.pod_inputs.model import InputApp, PodInput
from pumice.runtime.run_options import AppOptions, Volume, VolumeMount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.appc.isolators import Isolator
    from pumice.appc.pod_manifest import PodManifest, RuntimeApp
    from pumice.appc.volumes import Volume as ManifestVolume

_VOLUME_MODE = 0o755
"""The mode of an empty volume (spec/pods.md)."""


def read_manifest(data: bytes) -> PodInput:
    """Return the pod of a manifest; raises FormatError."""
    manifest, warnings = read_pod_manifest(data)
    ignored = list(warnings)
    volumes = {volume.name: volume for volume in manifest.volumes}
    apps = []
    pod_volumes = [_plan_volume(name, volume) for name, volume in volumes.items() if volume.kind == "empty"]
    for app in manifest.apps:
        app_volumes = {mount.volume: mount.app_volume for mount in app.mounts if mount.app_volume}
        pod_volumes += [
            _plan_volume(_name_app_volume(app, name), volume)
            for name, volume in app_volumes.items()
            if volume.kind == "empty"
        ]
        apps.append(_plan_app(app, volumes, manifest.isolators))
    if not apps:
        raise FormatError("the pod manifest has no apps")
    return PodInput(
        apps=tuple(apps),
        labels=manifest.user_labels,
        annotations={annotation.name: annotation.value for annotation in manifest.annotations},
        publish=tuple(_plan_ports(manifest)),
        volumes=tuple(pod_volumes),
        ignored=tuple(ignored),
        has_metadata=True,
    )


def _plan_volume(name: str, volume: ManifestVolume) -> Volume:
    mode = int(volume.mode, 8) if volume.mode else _VOLUME_MODE
    return Volume(name=name, mode=mode, uid=volume.uid, gid=volume.gid)


def _name_app_volume(app: RuntimeApp, name: str) -> str:
    """Return the name in the pod of a volume of one app, which no name in the manifest equals."""
    return f"{app.name}.{name}"


def _plan_app(
    app: RuntimeApp, volumes: dict[str, ManifestVolume], isolators: tuple[Isolator, ...]
) -> InputApp:
    version = next((label.value for label in app.image.labels if label.name == "version"), "")
    reference = (f"{app.image.name}:{version}" if version else app.image.name) or app.image.id
    mounts, volume_mounts = [], []
    for mount in app.mounts:
        volume = mount.app_volume or volumes.get(mount.volume)
        if volume is None:
            raise FormatError(f"the pod has no volume {mount.volume!r}", where=f"app {app.name!r}")
        if all(part in ("", ".") for part in mount.path.split("/")):
            raise FormatError(f"the mount path {mount.path!r} is not below /", where=f"app {app.name!r}")
        if volume.kind == "host":
            recursive = volume.recursive is not False
            mounts.append(Mount(volume.source, mount.path, volume.read_only, recursive=recursive))
        else:
            name = _name_app_volume(app, mount.volume) if mount.app_volume else mount.volume
            volume_mounts.append(VolumeMount(volume=name, target=mount.path, read_only=volume.read_only))
    options = AppOptions(
        name=app.name,
        isolation=Isolation(user_namespace="auto"),
        pod_app=encode_document(app.app) if app.app else b"",
        pod_isolators=msgspec.json.encode(isolators) if isolators else b"",
        image_id=app.image.id,
        annotations=tuple((annotation.name, annotation.value) for annotation in app.annotations),
        mounts=tuple(mounts),
        volumes=tuple(volume_mounts),
        read_only=app.read_only_root_fs,
    )
    labels = tuple((label.name, label.value) for label in app.image.labels)
    return InputApp(reference, options, app.image.name, labels)


def _plan_ports(manifest: PodManifest) -> Iterator[PortRequest]:
    ports = {port.name: port for app in manifest.apps if app.app for port in app.app.ports}
    for exposed in manifest.ports:
        port = exposed.pod_port or ports.get(exposed.name)
        if port is None:
            raise FormatError(f"no app of the pod has a port {exposed.name!r}", where="ports")
        yield PortRequest(
            container=port.port,
            protocol="udp" if port.protocol == "udp" else "tcp",
            address=exposed.host_ip,
            candidates=(exposed.host_port,),
            name=exposed.name,
            inner_name=exposed.pod_port.name if exposed.pod_port else "",
        )
