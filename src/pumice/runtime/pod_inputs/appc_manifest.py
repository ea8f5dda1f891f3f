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


def read_manifest(data: bytes) -> PodInput:
    """Return the pod of a manifest; raises FormatError."""
    manifest, warnings = read_pod_manifest(data)
    ignored = list(warnings)
    volumes = {volume.name: volume for volume in manifest.volumes}
    apps = []
    pod_volumes = {name: Volume(name=name) for name, volume in volumes.items() if volume.kind == "empty"}
    for app in manifest.apps:
        for mount in app.mounts:
            if mount.app_volume and mount.app_volume.kind == "empty":
                name = f"{app.name}-{mount.volume}"
                pod_volumes[name] = Volume(name=name)
        apps.append(_plan_app(app, volumes, manifest.isolators))
    if not apps:
        raise FormatError("the pod manifest has no apps")
    return PodInput(
        apps=tuple(apps),
        labels=manifest.user_labels,
        annotations={annotation.name: annotation.value for annotation in manifest.annotations},
        publish=tuple(_plan_ports(manifest)),
        volumes=tuple(pod_volumes.values()),
        ignored=tuple(ignored),
        has_metadata=True,
    )


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
        if volume.kind == "host":
            mounts.append(Mount(volume.source, mount.path, volume.read_only))
        else:
            name = f"{app.name}-{mount.volume}" if mount.app_volume else mount.volume
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
    return InputApp(reference, options)


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
        )
