"""Kubernetes files: one Pod or Deployment, with the ConfigMaps and Secrets that it uses."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from pumice.formats.yaml import Mapping, Scalar
from pumice.runtime.name_resolution import NameResolution
from pumice.runtime.network.port_options import PortRequest
from pumice.runtime.pod_inputs.kubernetes_containers import ContainerPlanner, is_file_name
from pumice.runtime.pod_inputs.kubernetes_model import ConfigMap, DataObjects, Deployment, PodObject
from pumice.runtime.pod_inputs.model import InputApp, PodInput
from pumice.runtime.run_options import Volume

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.formats.yaml import Node
    from pumice.runtime.pod_inputs import kubernetes_model as model
    from pumice.runtime.pod_inputs.nodes import NodeDecoder

_PODS = ("Pod", "Deployment")
_DATA = ("ConfigMap", "Secret")
_HOST_PATH_TYPES = ("", "Directory", "File", "DirectoryOrCreate", "Socket")


def is_kubernetes(root: Node) -> bool:
    """Return whether a document is a Kubernetes object."""
    return isinstance(root, Mapping) and {"apiVersion", "kind"} <= {key.text for key, _ in root.items}


def read_objects(roots: Sequence[Node], decoder: NodeDecoder) -> PodInput | None:
    """Return the pod of a file; problems are added to ``decoder``, and then None is returned."""
    data: dict[tuple[str, str], dict[str, bytes]] = {}
    pods: list[tuple[PodObject, str]] = []
    ignored: list[str] = []
    for root in roots:
        kind = _kind_of(root)
        if kind in _DATA:
            value = decoder.decode(root, ConfigMap)
            if value:
                data[kind, value.metadata.name] = _read_data(value, kind, decoder)
        elif kind == "Pod":
            pod = decoder.decode(root, PodObject)
            pods += [(pod, pod.metadata.name)] if pod else []
        elif kind == "Deployment":
            deployment = decoder.decode(root, Deployment)
            if deployment:
                pods.append((deployment.spec.template, deployment.metadata.name))
                if deployment.spec.replicas != 1:
                    ignored.append(f"replicas: {deployment.spec.replicas} (one pod is run)")
        else:
            ignored.append(f"the {kind[:60] or 'object without a kind'}")
    where = f"{roots[0].file}:{roots[0].line}:{roots[0].column}"
    if decoder.problems:
        return None
    if len(pods) != 1:
        text = "the file has no Pod or Deployment" if not pods else f"the file has {len(pods)} pods"
        decoder.add_problem(where, text, "write one Pod or Deployment in a file")
        return None
    return _plan_pod(*pods[0], DataObjects(data), decoder, ignored)


def _kind_of(root: Node) -> str:
    for key, value in root.items if isinstance(root, Mapping) else ():
        if key.text == "kind" and isinstance(value, Scalar):
            return value.text
    return ""


def _read_data(value: ConfigMap, kind: str, decoder: NodeDecoder) -> dict[str, bytes]:
    data = {key: text.encode(errors="surrogateescape") for key, text in value.string_data.items()}
    encoded = value.binary_data if kind == "ConfigMap" else value.data
    if kind == "ConfigMap":
        data |= {key: text.encode(errors="surrogateescape") for key, text in value.data.items()}
    for key, text in encoded.items():
        try:
            data[key] = base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            decoder.add_problem(value.where, f"{kind} {value.metadata.name!r}: {key!r} is not base64")
    return data


def _plan_pod(
    pod: PodObject, name: str, objects: DataObjects, decoder: NodeDecoder, ignored: list[str]
) -> PodInput | None:
    spec = pod.spec
    volumes, host_paths = _plan_volumes(spec, objects, decoder)
    planner = ContainerPlanner(spec, objects, host_paths, decoder)
    last = ""  # each init container waits for the one before it, and all others for the last
    apps: list[InputApp] = []
    for container in spec.init_containers:
        apps.append(planner.plan(container, last))
        last = container.name
    apps += [planner.plan(container, last) for container in spec.containers]
    ignored += planner.ignored
    if spec.restart_policy in ("Always", "OnFailure"):
        ignored.append(f"restartPolicy: {spec.restart_policy} (a service manager restarts pods)")
    hosts = tuple((alias.ip, host) for alias in spec.host_aliases for host in alias.hostnames)
    options = tuple(
        f"{option.name}:{option.value}" if option.value else option.name for option in spec.dns_config.options
    )
    return PodInput(
        name=name,
        apps=tuple(apps),
        labels=pod.metadata.labels,
        hostname=spec.hostname or name,
        names=NameResolution(
            hosts=hosts,
            servers=spec.dns_config.nameservers,
            domains=spec.dns_config.searches,
            options=options,
            copies_host=spec.dns_policy != "None",
        ),
        network="host" if spec.host_network else "",
        publish=tuple(_plan_ports(spec, decoder)),
        volumes=tuple(volumes),
        shares_pids=spec.share_process_namespace,
        ignored=tuple(ignored),
    )


def _plan_ports(spec: model.PodSpec, decoder: NodeDecoder) -> Iterator[PortRequest]:
    """Yield the ports with a ``hostPort``; others are only for other pods of a cluster."""
    for container in spec.containers:
        for port in container.ports:
            protocol = port.protocol.lower()
            if protocol not in ("tcp", "udp"):
                decoder.add_problem(port.where, f"ports cannot use the protocol {port.protocol[:20]!r}")
                continue
            numbers = (port.container_port, port.host_port or port.container_port)
            if not all(0 < number < 65536 for number in numbers):
                decoder.add_problem(port.where, "a port must be a number from 1 to 65535")
            elif port.host_port is not None:
                yield PortRequest(
                    container=port.container_port,
                    protocol="udp" if protocol == "udp" else "tcp",
                    address=port.host_ip,
                    candidates=(port.host_port,),
                    name=port.name,
                )


def _plan_volumes(
    spec: model.PodSpec, objects: DataObjects, decoder: NodeDecoder
) -> tuple[list[Volume], dict[str, str | None]]:
    """Return the volumes of the pod, and for each name the path on this machine, None for one of the pod."""
    volumes: list[Volume] = []
    host_paths: dict[str, str | None] = {}
    for volume in spec.volumes:
        host_paths[volume.name] = None
        source = volume.config_map or volume.secret
        if not is_file_name(volume.name):
            decoder.add_problem(volume.where, f"{volume.name[:60]!r} is not a name for a volume")
        elif volume.host_path:
            if not volume.host_path.path.startswith("/") or volume.host_path.type not in _HOST_PATH_TYPES:
                decoder.add_problem(
                    volume.host_path.where,
                    f"hostPath {volume.host_path.path[:100]!r} is not an absolute path",
                )
            host_paths[volume.name] = volume.host_path.path
        elif source:
            volumes.append(_data_volume(volume.name, source, volume.secret is not None, objects, decoder))
        elif volume.empty_dir:
            volumes.append(Volume(name=volume.name))
        else:
            decoder.add_problem(
                volume.where,
                f"the volume {volume.name!r} has no source that Pumice supports",
                "use emptyDir, hostPath, configMap or secret",
            )
    return volumes, host_paths


def _data_volume(
    name: str, source: model.ConfigMapVolume, is_secret: bool, objects: DataObjects, decoder: NodeDecoder
) -> Volume:
    kind, key = ("Secret", source.secret_name) if is_secret else ("ConfigMap", source.name)
    data = objects.data.get((kind, key))
    if data is None:
        if not source.optional:
            decoder.add_problem(source.where, f"the {kind} {key[:60]!r} is not in this file")
        return Volume(name=name)
    files = dict(data)
    if source.items:
        files = {item.path: data[item.key] for item in source.items if item.key in data}
        for item in source.items:
            if item.key not in data:
                decoder.add_problem(item.where, f"the {kind} {key[:60]!r} has no key {item.key[:60]!r}")
    for file in files:
        if not is_file_name(file):
            decoder.add_problem(source.where, f"{file[:60]!r} is not a name for a file")
    return Volume(name=name, files=files)
