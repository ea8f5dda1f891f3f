"""Compose files: their services become the apps of one pod, and reach one another by their names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import PumiceError
from pumice.formats.yaml import Mapping
from pumice.runtime.isolation.option_values import parse_add_host, parse_address
from pumice.runtime.name_resolution import NameResolution
from pumice.runtime.network.port_options import PortRequest, parse_publish
from pumice.runtime.pod_inputs.compose_model import Compose, PortSpec, Service
from pumice.runtime.pod_inputs.compose_services import ServicePlanner, words
from pumice.runtime.pod_inputs.model import InputApp, PodInput
from pumice.runtime.run_options import Volume

if TYPE_CHECKING:
    from collections.abc import Iterator
    from collections.abc import Mapping as Map
    from pathlib import Path

    from pumice.formats.yaml import Node
    from pumice.runtime.pod_inputs.nodes import NodeDecoder

_NETWORK_MODES = {"": "", "bridge": "", "host": "host", "none": "none"}


def is_compose(root: Node) -> bool:
    """Return whether a document is a compose file."""
    return isinstance(root, Mapping) and any(key.text == "services" for key, _ in root.items)


def read_compose(root: Node, decoder: NodeDecoder, folder: Path) -> PodInput | None:
    """Return the pod of a compose file in ``folder``; None if ``decoder`` has problems then."""
    compose = decoder.decode(root, Compose)
    if compose is None:
        return None
    if not compose.services:
        decoder.add_problem(compose.where, "the file has no services")
        return None
    name = _pod_name(compose.name or folder.name)
    planner = ServicePlanner(compose, folder, name, decoder)
    apps = [InputApp(service.image, planner.plan(key, service)) for key, service in compose.services.items()]
    services = compose.services.values()
    modes = {service.network_mode for service in services}
    for service in services:
        if len(modes) > 1 or service.network_mode not in _NETWORK_MODES:
            text = f"network_mode {service.network_mode[:60]!r} is not possible"
            hint = "the services of a pod share one network: use host or none for all, or omit it"
            decoder.add_problem(service.where, text, hint)
    ports = [port for service in services for port in _plan_ports(service, decoder)]
    hostnames = {service.hostname for service in services} - {""}
    ignored = list(planner.ignored)
    if len(hostnames) > 1:
        ignored.append("hostname: the services share the first one")
    return PodInput(
        name=name,
        apps=tuple(apps),
        hostname=next((service.hostname for service in services if service.hostname), ""),
        names=_plan_names(compose.services, decoder),
        network=_NETWORK_MODES.get(next(iter(modes)), ""),
        publish=tuple(ports),
        volumes=tuple(Volume(name=name) for name in planner.used_volumes),
        ignored=tuple(ignored),
    )


def _pod_name(text: str) -> str:
    return re.sub(r"[^a-z0-9_.-]", "", text.lower()).lstrip("_.-")[:60]


def _plan_names(services: Map[str, Service], decoder: NodeDecoder) -> NameResolution:
    """Return the additions to name resolution: each service is found at the address of the pod."""
    hosts = [("127.0.0.1", name) for name in services]
    servers: list[str] = []
    for name, service in services.items():
        if service.container_name and service.container_name != name:
            hosts.append(("127.0.0.1", service.container_name))
        extra = service.extra_hosts
        lines = [f"{key}:{value}" for key, value in extra.items()] if isinstance(extra, dict) else extra
        try:
            hosts += [parse_add_host(line.replace("=", ":", 1)) for line in lines]
            servers += [parse_address("dns", server) for server in words(service.dns)]
        except PumiceError as error:
            decoder.add_problem(service.where, error.message, error.hint)
    return NameResolution(hosts=tuple(dict.fromkeys(hosts)), servers=tuple(dict.fromkeys(servers)))


def _plan_ports(service: Service, decoder: NodeDecoder) -> Iterator[PortRequest]:
    for port in service.ports:
        text = port if isinstance(port, str) else _short_port(port)
        try:
            name = "" if isinstance(port, str) else port.name
            yield from (msgspec.structs.replace(each, name=name) for each in parse_publish(text))
        except PumiceError as error:
            where = port.where if isinstance(port, PortSpec) else service.where
            decoder.add_problem(where, error.message, error.hint)


def _short_port(port: PortSpec) -> str:
    address = f"[{port.host_ip}]:" if ":" in port.host_ip else f"{port.host_ip}:" if port.host_ip else ""
    published = f"{port.published}:" if port.published else ""
    return f"{address}{published}{port.target}/{port.protocol}"
