"""A pod's manifest as it runs: apps with their mounts, and the volumes, isolators and ports of the pod.

pods.md, "Pod Manifest Schema", and "reified" there: nothing is left to be decided.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pumice.formats import appc_manifests

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from pumice.formats.oci import ImageConfig
    from pumice.runtime.app_container.adoption import AdoptedApp
    from pumice.runtime.container import Container, Mount
    from pumice.runtime.network.host_ports import PublishedPort
    from pumice.runtime.run_options import Volume


def name_pod_volumes(volumes: Iterable[Volume]) -> dict[str, str]:
    """Return the names in the manifest of the volumes of a pod, whose own names need not be AC Names."""
    names: dict[str, str] = {}
    for volume in volumes:
        names[volume.name] = appc_manifests.choose_name(appc_manifests.make_name(volume.name), names.values())
    return names


def describe_pod_volumes(volumes: Iterable[Volume], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the volumes that exist as long as the pod; ``names`` are those of `name_pod_volumes`."""
    return [
        {
            "name": names[volume.name],
            "kind": "empty",
            "mode": f"{volume.mode:04o}",
            "uid": volume.uid,
            "gid": volume.gid,
        }
        for volume in volumes
    ]


def describe_app(
    config: ImageConfig,
    app: AdoptedApp,
    container: Container,
    pod_volumes: Mapping[str, str],
    taken: Collection[str],
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return a runtime app, and the volumes that only it mounts, under names that are not ``taken``.

    ``pod_volumes`` are the names of the pod's volumes. The environment is that of the image: what the user
    adds often has secrets, and the other apps of the pod can read the manifest.
    """
    process = container.process
    mounts_by_path = {mount.target: mount for mount in app.options.mounts}
    names = appc_manifests.name_volumes(mounts_by_path, taken)
    own_mounts = {name: mounts_by_path[path] for name, path in names.items()}
    mounts = [
        *((name, mount.target, mount.read_only) for name, mount in own_mounts.items()),
        *((pod_volumes[each.volume], each.target, each.read_only) for each in app.options.volumes),
    ]
    runtime_app = {
        "app": {
            **(msgspec.to_builtins(app.app) if app.app else appc_manifests.make_app(config.config)),
            "exec": list(process.arguments),
            "user": str(process.uid),
            "group": str(process.gid),
            "supplementaryGIDs": list(process.groups),
            "workingDirectory": process.directory,
            "mountPoints": [
                {"name": name, "path": path, "readOnly": read_only} for name, path, read_only in mounts
            ],
        },
        "readOnlyRootFS": container.read_only,
        "mounts": [{"volume": name, "path": path} for name, path, _ in mounts],
        "annotations": [{"name": name, "value": value} for name, value in app.options.annotations],
    }
    return runtime_app, [_describe_volume(name, mount) for name, mount in own_mounts.items()]


def _describe_volume(name: str, mount: Mount) -> dict[str, Any]:
    if not mount.source:
        return {"name": name, "kind": "empty", "mode": "1777", "readOnly": mount.read_only}
    return {"name": name, "kind": "host", "source": mount.source, "readOnly": mount.read_only}


def describe_ports(
    ports: Iterable[PublishedPort], runtime_apps: Iterable[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the ports of this machine, each by the name of an app's port, or with its port in the pod.

    They have the names that a manifest gave them, as far as these are AC Names and differ.
    """
    app_ports = {
        str(port["name"]): (port["protocol"], port["port"])
        for runtime_app in runtime_apps
        for port in runtime_app["app"].get("ports", ())
    }
    exposed: dict[str, dict[str, Any]] = {}
    for port in ports:
        key = (port.protocol, port.container)
        own = next((name for name, declared in app_ports.items() if declared == key), "")
        names = [appc_manifests.make_name(name) for name in (port.name, own) if name]
        stem = f"port-{port.container}-{port.protocol}"
        name = appc_manifests.choose_name(
            next((name for name in names if name not in exposed), stem), exposed
        )
        description: dict[str, Any] = {"hostPort": port.host}
        if port.address:
            description["hostIP"] = port.address
        if port.inner_name or app_ports.get(name) != key:
            pod_port = {"name": port.inner_name or name, "protocol": port.protocol, "port": port.container}
            description["podPort"] = pod_port
        exposed[name] = {"name": name, **description}
    return list(exposed.values())
