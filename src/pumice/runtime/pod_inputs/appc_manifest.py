"""App Container pod manifests (spec/pods.md, "Pod Manifest Schema")."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.appc.findings import Findings
from pumice.appc.isolators import Capabilities, Resource, read_value
from pumice.appc.pod_manifest import read_pod_manifest
from pumice.errors import FormatError
from pumice.runtime.container import Mount
from pumice.runtime.isolation import capabilities
from pumice.runtime.isolation.model import Isolation
from pumice.runtime.network.port_options import PortRequest
from pumice.runtime.pod_inputs.model import InputApp, PodInput
from pumice.runtime.process import Overrides
from pumice.runtime.run_options import AppOptions, Volume, VolumeMount

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pumice.appc.app import App
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
        apps.append(_plan_app(app, volumes, ignored))
    if not apps:
        raise FormatError("the pod manifest has no apps")
    ignored += [f"the isolator {isolator.name} of the pod" for isolator in manifest.isolators]
    return PodInput(
        apps=tuple(apps),
        labels=manifest.user_labels,
        publish=tuple(_plan_ports(manifest)),
        volumes=tuple(pod_volumes.values()),
        ignored=tuple(ignored),
    )


def _plan_app(app: RuntimeApp, volumes: dict[str, ManifestVolume], ignored: list[str]) -> InputApp:
    if not app.image.name:
        raise FormatError(
            f"the app {app.name!r} names its image only by its ID", hint="add the name of the image to it"
        )
    version = next((label.value for label in app.image.labels if label.name == "version"), "")
    reference = f"{app.image.name}:{version}" if version else app.image.name
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
        process=_process(app.app),
        isolation=_isolation(app.app.isolators if app.app else (), app.name, ignored),
        mounts=tuple(mounts),
        volumes=tuple(volume_mounts),
        read_only=app.read_only_root_fs,
    )
    if app.app and app.app.event_handlers:
        ignored.append(f"the event handlers of {app.name}")
    return InputApp(reference, options)


def _process(app: App | None) -> Overrides:
    if app is None:
        return Overrides()
    return Overrides(
        command=app.exec or None,
        user=f"{app.user}:{app.group}",
        directory=app.working_directory or None,
        environment=tuple(f"{variable.name}={variable.value}" for variable in app.environment),
    )


def _isolation(isolators: Iterable[Isolator], app: str, ignored: list[str]) -> Isolation:
    isolation = Isolation(user_namespace="auto")
    for isolator in isolators:
        value = read_value(isolator, f"app {app!r}", Findings())
        if isinstance(value, Resource) and value.limit is not None and isolator.name == "resource/cpu":
            limits = msgspec.structs.replace(isolation.limits, cpus=int(value.limit * 1000))
            isolation = msgspec.structs.replace(isolation, limits=limits)
        elif isinstance(value, Resource) and value.limit is not None and isolator.name == "resource/memory":
            limits = msgspec.structs.replace(isolation.limits, memory=int(value.limit))
            isolation = msgspec.structs.replace(isolation, limits=limits)
        elif isinstance(value, Capabilities):
            names = [name.removeprefix("CAP_") for name in value.names]
            is_retained = isolator.name.endswith("retain-set")
            chosen = capabilities.select(names if is_retained else (), ("ALL",) if is_retained else names)
            isolation = msgspec.structs.replace(isolation, capabilities=chosen)
        elif isolator.name == "os/linux/no-new-privileges":
            isolation = msgspec.structs.replace(isolation, no_new_privileges=bool(value))
        elif isolator.name == "os/linux/oom-score-adj" and isinstance(value, int):
            isolation = msgspec.structs.replace(isolation, oom_score=value)
        elif isolator.name == "os/linux/cpu-shares" and isinstance(value, int):
            limits = msgspec.structs.replace(isolation.limits, cpu_shares=value)
            isolation = msgspec.structs.replace(isolation, limits=limits)
        else:
            ignored.append(f"the isolator {isolator.name} of {app}")
    return isolation


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
