"""Write a pod as a Kubernetes Pod, which `kubernetes` reads back."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING, Any

from pumice.runtime.container import HOSTNAME
from pumice.runtime.isolation.model import DEFAULT_CAPABILITIES, Isolation

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.formats.oci import HealthCheck
    from pumice.runtime.container import Mount
    from pumice.runtime.network.port_options import PortRequest
    from pumice.runtime.pod_inputs.model import InputApp, PodInput
    from pumice.runtime.run_options import AppOptions

_NANOSECONDS = 1_000_000_000
_PORT_NAME = re.compile(r"(?=.*[a-z])(?!.*--)[a-z0-9](?:[a-z0-9-]{0,13}[a-z0-9])?")
"""``IANA_SVC_NAME`` of the API, as in RFC 6335."""
_REFERENCE = re.compile(r"\$(?=[$(])")


def write_pod(pod: PodInput) -> tuple[str, tuple[str, ...]]:
    """Return the YAML of a pod, and sentences about what it cannot say."""
    import yaml

    writer = _Writer(pod)
    documents = [*writer.config_maps(), writer.pod()]
    text = "---\n".join(
        yaml.safe_dump(document, sort_keys=False, allow_unicode=True) for document in documents
    )
    return text, tuple(dict.fromkeys(writer.omitted))


class _Writer:
    """A pod that is written, and what was omitted."""

    def __init__(self, pod: PodInput) -> None:
        self._pod = pod
        self._host_volumes: dict[str, str] = {}
        self.omitted: list[str] = []

    def config_maps(self) -> Iterator[dict[str, Any]]:
        """Yield a ConfigMap for each volume with files."""
        for volume in self._pod.volumes:
            if volume.files:
                data = {name: base64.b64encode(content).decode() for name, content in volume.files.items()}
                yield {
                    "apiVersion": "v1",
                    "kind": "ConfigMap",
                    "metadata": {"name": volume.name},
                    "binaryData": data,
                }

    def pod(self) -> dict[str, Any]:
        """Return the Pod."""
        pod = self._pod
        first, others = self._split_apps()
        metadata = {"name": pod.name, **({"labels": pod.labels} if pod.labels else {})}
        spec: dict[str, Any] = {"restartPolicy": "Never"}
        if pod.hostname not in ("", HOSTNAME, pod.name):
            spec["hostname"] = pod.hostname
        if pod.network == "host":
            spec["hostNetwork"] = True
        if pod.shares_pids:
            spec["shareProcessNamespace"] = True
        spec |= self._names()
        if first:
            spec["initContainers"] = [self._container(app) for app in first]
        spec["containers"] = [self._container(app) for app in others]
        self._add_ports(spec["containers"][0])
        if volumes := self._volumes():
            spec["volumes"] = volumes
        return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}

    def _split_apps(self) -> tuple[list[InputApp], list[InputApp]]:
        """Return the apps that run one after another before the others, and the others."""
        first: list[InputApp] = []
        others = list(self._pod.apps)
        last = ""
        while len(others) > 1 and self._waits_for(others[0], last) and self._is_awaited(others):
            last = others[0].options.name
            first.append(others.pop(0))
        for app in others:
            if not self._waits_for(app, last):
                self.omitted.append(f"that {app.options.name} waits for others")
        return first, others

    @staticmethod
    def _waits_for(app: InputApp, name: str) -> bool:
        needs = [(need.app, need.condition) for need in app.options.after]
        return needs == ([(name, "succeeded")] if name else [])

    def _is_awaited(self, apps: list[InputApp]) -> bool:
        """Return whether the second of some apps waits for the first, and the first has no health check."""
        return self._waits_for(apps[1], apps[0].options.name)

    def _container(self, app: InputApp) -> dict[str, Any]:
        options = app.options
        process = options.process
        container: dict[str, Any] = {"name": options.name or "app", "image": app.reference}
        container |= {"stdin": True, "tty": options.terminal} if options.interactive else {}
        command = process.command or ((process.entrypoint,) if process.entrypoint else ())
        if command:
            container["command"] = [_escape(word) for word in command]
        if process.arguments:
            container["args"] = [_escape(word) for word in process.arguments]
        if process.directory:
            container["workingDir"] = process.directory
        variables = [line.partition("=") for line in process.environment if "=" in line]
        if len(variables) < len(process.environment):
            self.omitted.append("variables that are copied from the environment")
        if variables:
            container["env"] = [{"name": name, "value": _escape(value)} for name, _, value in variables]
        if limits := self._limits(options.isolation):
            container["resources"] = {"limits": limits}
        if context := self._security_context(options):
            container["securityContext"] = context
        if mounts := [*self._mounts(options)]:
            container["volumeMounts"] = mounts
        if options.health_check and options.health_check.test[1:]:
            container["livenessProbe"] = _probe(options.health_check)
        self._note_rest(options)
        return container

    def _limits(self, isolation: Isolation) -> dict[str, str]:
        limits = {}
        if isolation.limits.cpus:
            limits["cpu"] = f"{isolation.limits.cpus}m"
        if isolation.limits.memory:
            limits["memory"] = str(isolation.limits.memory)
        return limits

    def _security_context(self, options: AppOptions) -> dict[str, Any]:
        context: dict[str, Any] = {}
        user, _, group = (options.process.user or "").partition(":")
        if user.isdigit():
            context["runAsUser"] = int(user)
        if group.isdigit():
            context["runAsGroup"] = int(group)
        if any(name and not name.isdigit() for name in (user, group)):
            self.omitted.append(f"the user {options.process.user}, because only numbers can be written")
        if options.read_only:
            context["readOnlyRootFilesystem"] = True
        isolation = options.isolation
        if capabilities := _capabilities(isolation):
            context["capabilities"] = capabilities
        if not isolation.no_new_privileges:
            context["allowPrivilegeEscalation"] = True
        if isolation.seccomp == "unconfined":
            context["seccompProfile"] = {"type": "Unconfined"}
        return context

    def _mounts(self, options: AppOptions) -> Iterator[dict[str, Any]]:
        for mount in options.mounts:
            if mount.source:
                yield _mount(self._host_volume(mount), mount.target, "", read_only=mount.read_only)
            elif mount.volume:
                self.omitted.append(f"the volume {mount.volume} at {mount.target}")
            else:
                self.omitted.append(f"the file system in memory at {mount.target}")
        for volume in options.volumes:
            yield _mount(volume.volume, volume.target, volume.path, read_only=volume.read_only)

    def _host_volume(self, mount: Mount) -> str:
        """Return the name of the volume for a path of this machine."""
        taken = {volume.name for volume in self._pod.volumes} | set(self._host_volumes.values())
        if mount.source not in self._host_volumes:
            number = next(number for number in range(1000) if f"host-{number}" not in taken)
            self._host_volumes[mount.source] = f"host-{number}"
        return self._host_volumes[mount.source]

    def _volumes(self) -> list[dict[str, Any]]:
        volumes: list[dict[str, Any]] = [
            {"name": volume.name, "configMap": {"name": volume.name}}
            if volume.files
            else {"name": volume.name, "emptyDir": {}}
            for volume in self._pod.volumes
        ]
        volumes += [{"name": name, "hostPath": {"path": path}} for path, name in self._host_volumes.items()]
        return volumes

    def _add_ports(self, container: dict[str, Any]) -> None:
        ports: list[dict[str, Any]] = []
        for port in self._pod.publish:
            if len(port.candidates) > 1:
                self.omitted.append(f"the choice of ports for {port.container}, except the first")
            ports.append(
                {
                    **self._port_name(port, [each.get("name") for each in ports]),
                    "containerPort": port.container,
                    **({"hostPort": port.candidates[0]} if port.candidates else {}),
                    **({"hostIP": port.address} if port.address else {}),
                    "protocol": port.protocol.upper(),
                }
            )
        if ports:
            container["ports"] = ports

    def _port_name(self, port: PortRequest, taken: Sequence[str | None]) -> dict[str, str]:
        if not port.name:
            return {}
        if _PORT_NAME.fullmatch(port.name) and port.name not in taken:
            return {"name": port.name}
        self.omitted.append(f"the name {port.name} of the port {port.container}")
        return {}

    def _names(self) -> dict[str, Any]:
        names = self._pod.names
        fields: dict[str, Any] = {}
        if not names.copies_host:
            fields["dnsPolicy"] = "None"
        if names.hosts:
            fields["hostAliases"] = [{"ip": address, "hostnames": [name]} for address, name in names.hosts]
        config: dict[str, Any] = {}
        if names.servers:
            config["nameservers"] = list(names.servers)
        if names.domains:
            config["searches"] = list(names.domains)
        if names.options:
            pairs = [option.partition(":") for option in names.options]
            config["options"] = [
                {"name": name, **({"value": value} if value else {})} for name, _, value in pairs
            ]
        return {**fields, **({"dnsConfig": config} if config else {})}

    def _note_rest(self, options: AppOptions) -> None:
        isolation = options.isolation
        default = Isolation()
        for name in ("rlimits", "oom_score", "devices", "sysctls", "apparmor", "selinux", "unmasked"):
            if getattr(isolation, name) != getattr(default, name):
                self.omitted.append(f"{name.replace('_', ' ')} of {options.name}")
        if isolation.limits.cpu_shares or isolation.limits.pids is not None:
            self.omitted.append(f"the shares of processors and the number of processes of {options.name}")
        if options.init:
            self.omitted.append(f"the init of {options.name}")


def _capabilities(isolation: Isolation) -> dict[str, list[str]]:
    """Return what is added to the default capabilities and dropped from them."""
    chosen, default = set(isolation.capabilities), set(DEFAULT_CAPABILITIES)
    added = {*isolation.added_capabilities, *(chosen - default)}
    dropped = ["ALL"] if not chosen - added else sorted(default - chosen)
    return {**({"add": sorted(added)} if added else {}), **({"drop": dropped} if dropped else {})}


def _mount(name: str, target: str, path: str, *, read_only: bool) -> dict[str, Any]:
    return {
        "name": name,
        "mountPath": target,
        **({"subPath": path} if path else {}),
        **({"readOnly": True} if read_only else {}),
    }


def _probe(check: HealthCheck) -> dict[str, Any]:
    return {
        **_probe_action(check.test),
        "initialDelaySeconds": check.start_period // _NANOSECONDS,
        "periodSeconds": max(1, (check.interval or 30 * _NANOSECONDS) // _NANOSECONDS),
        "timeoutSeconds": max(1, (check.timeout or 30 * _NANOSECONDS) // _NANOSECONDS),
        "failureThreshold": check.retries or 3,
    }


def _probe_action(test: Sequence[str]) -> dict[str, Any]:
    kind, *command = test
    if kind == "TCP":
        return {"tcpSocket": {"host": command[0], "port": int(command[1])}}
    if kind == "HTTP":
        host, port, path, *headers = command
        pairs = [header.partition(": ") for header in headers]
        rows = [{"name": name, "value": value} for name, _, value in pairs]
        return {"httpGet": {"host": host, "port": int(port), "path": path, "httpHeaders": rows}}
    if kind == "CMD-SHELL":
        command = ["/bin/sh", "-c", *command]
    return {"exec": {"command": command}}


def _escape(text: str) -> str:
    """Return text in which Kubernetes replaces nothing."""
    return _REFERENCE.sub("$$", text)
