"""The containers of a Kubernetes pod as apps."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from pumice.appc.findings import Findings
from pumice.appc.quantities import parse_quantity
from pumice.errors import FormatError, PumiceError
from pumice.formats.oci import HealthCheck
from pumice.runtime.container import Mount
from pumice.runtime.isolation import capabilities
from pumice.runtime.isolation.model import MIN_CPUS, MIN_MEMORY, Isolation, Limits
from pumice.runtime.pod_inputs.model import InputApp
from pumice.runtime.pods.records import Dependency
from pumice.runtime.process import Overrides
from pumice.runtime.run_options import AppOptions, VolumeMount

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.runtime.pod_inputs import kubernetes_model as model
    from pumice.runtime.pod_inputs.nodes import NodeDecoder

_LOOPBACK = "127.0.0.1"
_NANOSECONDS = 1_000_000_000
_VARIABLE = re.compile(r"\$\$|\$\(([A-Za-z_][A-Za-z0-9_.-]*)\)")


def is_file_name(name: str) -> bool:
    """Return whether a name can be that of a file in a directory."""
    return bool(name) and len(name) <= 255 and not {"/", "\0"} & set(name) and name not in (".", "..")


def _join(path: str, sub_path: str) -> str:
    return f"{path.rstrip('/')}/{sub_path}" if sub_path else path


def _expand(texts: Iterable[str], variables: dict[str, str]) -> tuple[str, ...]:
    """Return texts in which ``$(NAME)`` is replaced by a variable, and ``$$`` by ``$``."""

    def value(match: re.Match[str]) -> str:
        return "$" if match[0] == "$$" else variables.get(match[1], match[0])

    return tuple(_VARIABLE.sub(value, text) for text in texts)


class ContainerPlanner:
    """Makes apps of the containers of a pod; ``host_paths`` is as `kubernetes` plans it."""

    def __init__(
        self,
        spec: model.PodSpec,
        objects: model.DataObjects,
        host_paths: dict[str, str | None],
        decoder: NodeDecoder,
    ) -> None:
        self._spec = spec
        self._objects = objects
        self._host_paths = host_paths
        self._decoder = decoder
        self.ignored: list[str] = []
        """What the pod will not have."""

    def plan(self, container: model.Container, after: str) -> InputApp:
        """Return the app of a container, which waits for the success of another one unless that is empty."""
        mounts = [mount for mount in container.volume_mounts if self._check_mount(mount)]
        paths = self._host_paths
        variables = self._environment(container)
        options = AppOptions(
            name=container.name,
            after=(Dependency(after, "succeeded"),) if after else (),
            process=Overrides(
                arguments=_expand(container.args, variables),
                command=_expand(container.command, variables) or None,
                user=self._choose_user(container),
                directory=container.working_dir or None,
                environment=tuple(f"{name}={value}" for name, value in variables.items()),
            ),
            isolation=self._isolation(container),
            mounts=tuple(
                Mount(_join(path, mount.sub_path), mount.mount_path, mount.read_only)
                for mount in mounts
                if (path := paths[mount.name]) is not None
            ),
            volumes=tuple(
                VolumeMount(
                    volume=mount.name, target=mount.mount_path, path=mount.sub_path, read_only=mount.read_only
                )
                for mount in mounts
                if paths[mount.name] is None
            ),
            read_only=container.security_context.read_only_root_filesystem,
            health_check=self._health_check(container),
            interactive=container.stdin,
            terminal=container.tty,
        )
        return InputApp(container.image, options)

    def _check_mount(self, mount: model.Mount) -> bool:
        if mount.name not in self._host_paths:
            self._decoder.add_problem(mount.where, f"there is no volume {mount.name[:60]!r}")
        elif not mount.mount_path.startswith("/") or not mount.mount_path.strip("/"):
            self._decoder.add_problem(
                mount.where, f"mountPath {mount.mount_path[:100]!r} is not a path below /"
            )
        elif mount.sub_path.startswith("/") or ".." in mount.sub_path.split("/") or "\0" in mount.sub_path:
            self._decoder.add_problem(
                mount.where, f"subPath {mount.sub_path[:100]!r} leads out of the volume"
            )
        else:
            return True
        return False

    def _choose_user(self, container: model.Container) -> str | None:
        own, pod = container.security_context, self._spec.security_context
        user = own.run_as_user if own.run_as_user is not None else pod.run_as_user
        group = own.run_as_group if own.run_as_group is not None else pod.run_as_group
        if (own.run_as_non_root or pod.run_as_non_root) and user == 0:
            self._decoder.add_problem(own.where or pod.where, "runAsNonRoot forbids runAsUser: 0")
        if user is None:
            return None if group is None else f"0:{group}"
        return str(user) if group is None else f"{user}:{group}"

    def _environment(self, container: model.Container) -> dict[str, str]:
        """Return the variables; ``$(NAME)`` in a value is that of an earlier one."""
        values: dict[str, str] = {}
        for source in container.env_from:
            for kind, reference in (("ConfigMap", source.config_map_ref), ("Secret", source.secret_ref)):
                if reference is None:
                    continue
                data = self._objects.data.get((kind, reference.name))
                if data is None and not reference.optional:
                    text = f"the {kind} {reference.name[:60]!r} is not in this file"
                    self._decoder.add_problem(reference.where, text)
                for key, content in (data or {}).items():
                    values[source.prefix + key] = content.decode(errors="surrogateescape")
        for variable in container.env:
            if not variable.name or "=" in variable.name or "\0" in variable.name:
                text = f"{variable.name[:60]!r} is not a name for a variable"
                self._decoder.add_problem(variable.where, text)
            (value,) = _expand((variable.value,), values)
            if variable.value_from:
                value = self._look_up(variable.value_from) or ""
            values[variable.name] = value
        return values

    def _look_up(self, source: model.ValueSource) -> str | None:
        for kind, selector in (("ConfigMap", source.config_map_key_ref), ("Secret", source.secret_key_ref)):
            if selector is None:
                continue
            value = self._objects.data.get((kind, selector.name), {}).get(selector.key)
            if value is not None:
                return value.decode(errors="surrogateescape")
            if not selector.optional:
                text = f"no {kind} {selector.name[:60]!r} in this file has the key {selector.key[:60]!r}"
                self._decoder.add_problem(selector.where, text)
            return None
        self._decoder.add_problem(source.where, "valueFrom must name a key of a ConfigMap or Secret")
        return None

    def _isolation(self, container: model.Container) -> Isolation:
        context = container.security_context
        if context.privileged:
            hint = "name what the program needs with capabilities"
            self._decoder.add_problem(context.where, "privileged containers are not supported", hint)
        isolation = Isolation(limits=self._limits(container.resources), user_namespace="auto")
        try:
            chosen = capabilities.select(context.capabilities.add, context.capabilities.drop)
            added = capabilities.list_added(context.capabilities.add, chosen)
            isolation = msgspec.structs.replace(isolation, capabilities=chosen, added_capabilities=added)
        except PumiceError as error:
            self._decoder.add_problem(context.capabilities.where, error.message, error.hint)
        profile = context.seccomp_profile or self._spec.security_context.seccomp_profile
        if profile and profile.type == "Unconfined":
            isolation = msgspec.structs.replace(isolation, seccomp="unconfined")
        elif profile and profile.type != "RuntimeDefault":
            text = f"seccompProfile cannot be {profile.type[:40]!r}"
            self._decoder.add_problem(profile.where, text, "use RuntimeDefault or Unconfined")
        if context.allow_privilege_escalation:
            isolation = msgspec.structs.replace(isolation, no_new_privileges=False)
        return isolation

    def _limits(self, resources: model.Resources) -> Limits:
        values = {"cpu": 0, "memory": 0}
        for name, text in resources.limits.items():
            if name not in values:
                self._decoder.add_problem(resources.where, f"the resource {name[:60]!r} cannot be limited")
                continue
            try:
                quantity = parse_quantity(text, resources.where, Findings())
                values[name] = int(quantity * (1000 if name == "cpu" else 1))
            except FormatError as error:
                self._decoder.add_problem(resources.where, error.message, error.hint)
        if 0 < values["memory"] < MIN_MEMORY:
            self._decoder.add_problem(resources.where, "the memory limit is too little", "the least is 6Mi")
        # As the kubelet does: the kernel refuses less.
        cpus = max(values["cpu"], MIN_CPUS) if values["cpu"] else 0
        return Limits(memory=values["memory"], cpus=cpus)

    def _plan_test(self, probe: model.Probe, container: model.Container) -> tuple[str, ...]:
        """Return the test of a health check, empty for a kind of probe that is not run."""
        if probe.exec is not None:
            return ("CMD", *probe.exec.command)
        action = probe.http_get or probe.tcp_socket
        if action is None or (probe.http_get and probe.http_get.scheme != "HTTP"):
            self.ignored.append(f"the probe of {container.name} (only exec, HTTP and TCP probes are run)")
            return ()
        port = action.port
        if not port.isdigit():
            named = {item.name: item.container_port for item in container.ports}
            if port not in named:
                self._decoder.add_problem(action.where, f"the container has no port {port[:40]!r}")
                return ()
            port = str(named[port])
        target = (action.host or _LOOPBACK, port)
        if probe.http_get is None:
            return ("TCP", *target)
        path = probe.http_get.path
        headers = [f"{header.name}: {header.value}" for header in probe.http_get.http_headers]
        if any(set(text) & set("\r\n\0") for text in (path, *headers)) or " " in path:
            self._decoder.add_problem(
                action.where, "the path or a header of the probe has a line feed or a space"
            )
        return ("HTTP", *target, path if path.startswith("/") else f"/{path}", *headers)

    def _health_check(self, container: model.Container) -> HealthCheck | None:
        probe = container.liveness_probe or container.readiness_probe
        if probe is None:
            return None
        test = self._plan_test(probe, container)
        if not test:
            return None
        return HealthCheck(
            test,
            probe.period_seconds * _NANOSECONDS,
            probe.timeout_seconds * _NANOSECONDS,
            probe.initial_delay_seconds * _NANOSECONDS,
            probe.failure_threshold,
        )
