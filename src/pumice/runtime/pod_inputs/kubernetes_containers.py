"""The containers of a Kubernetes pod as apps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.errors import PumiceError
from pumice.formats.oci import HealthCheck
from pumice.runtime.container import Mount
from pumice.runtime.isolation import capabilities
from pumice.runtime.isolation.model import Isolation, Limits
from pumice.runtime.pod_inputs.model import InputApp
from pumice.runtime.pod_inputs.quantities import parse_quantity
from pumice.runtime.pods.records import Dependency
from pumice.runtime.process import Overrides
from pumice.runtime.run_options import AppOptions, VolumeMount

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.runtime.pod_inputs import kubernetes_model as model
    from pumice.runtime.pod_inputs.kubernetes import DataObjects
    from pumice.runtime.pod_inputs.nodes import NodeDecoder
    from pumice.runtime.pods.records import Condition

_NANOSECONDS = 1_000_000_000


def plan_container(
    container: model.Container,
    spec: model.PodSpec,
    objects: DataObjects,
    host_paths: dict[str, str | None],
    decoder: NodeDecoder,
    ignored: list[str],
    *,
    after: Sequence[str],
    condition: Condition,
) -> InputApp:
    """Return the app of a container; problems are added to ``decoder``."""
    mounts = [mount for mount in container.volume_mounts if _check_mount(mount, host_paths, decoder)]
    probe = container.liveness_probe or container.readiness_probe
    if probe and not probe.exec:
        ignored.append(f"the probe of {container.name} (only exec probes are run)")
    options = AppOptions(
        name=container.name,
        after=tuple(Dependency(name, condition) for name in after),
        process=Overrides(
            arguments=container.args,
            command=container.command or None,
            user=_choose_user(container, spec, decoder),
            directory=container.working_dir or None,
            environment=tuple(_environment(container, objects, decoder)),
        ),
        isolation=_isolation(container, spec, decoder),
        mounts=tuple(
            Mount(_join(path, mount.sub_path), mount.mount_path, mount.read_only)
            for mount in mounts
            if (path := host_paths[mount.name]) is not None
        ),
        volumes=tuple(
            VolumeMount(
                volume=mount.name, target=mount.mount_path, path=mount.sub_path, read_only=mount.read_only
            )
            for mount in mounts
            if host_paths[mount.name] is None
        ),
        read_only=container.security_context.read_only_root_filesystem,
        health_check=_health_check(probe) if probe and probe.exec else None,
    )
    return InputApp(container.image, options)


def is_file_name(name: str) -> bool:
    """Return whether a name can be that of a file in a directory."""
    return bool(name) and len(name) <= 255 and not {"/", "\0"} & set(name) and name not in (".", "..")


def _join(path: str, sub_path: str) -> str:
    return f"{path.rstrip('/')}/{sub_path}" if sub_path else path


def _check_mount(mount: model.Mount, host_paths: dict[str, str | None], decoder: NodeDecoder) -> bool:
    if mount.name not in host_paths:
        decoder.add_problem(mount.where, f"there is no volume {mount.name[:60]!r}")
    elif not mount.mount_path.startswith("/") or not mount.mount_path.strip("/"):
        decoder.add_problem(mount.where, f"mountPath {mount.mount_path[:100]!r} is not a path below /")
    elif mount.sub_path.startswith("/") or ".." in mount.sub_path.split("/") or "\0" in mount.sub_path:
        decoder.add_problem(mount.where, f"subPath {mount.sub_path[:100]!r} leads out of the volume")
    else:
        return True
    return False


def _choose_user(container: model.Container, spec: model.PodSpec, decoder: NodeDecoder) -> str | None:
    own, pod = container.security_context, spec.security_context
    user = own.run_as_user if own.run_as_user is not None else pod.run_as_user
    group = own.run_as_group if own.run_as_group is not None else pod.run_as_group
    if (own.run_as_non_root or pod.run_as_non_root) and user == 0:
        decoder.add_problem(own.where or pod.where, "runAsNonRoot forbids runAsUser: 0")
    if user is None:
        return None if group is None else f"0:{group}"
    return str(user) if group is None else f"{user}:{group}"


def _environment(
    container: model.Container, objects: DataObjects, decoder: NodeDecoder
) -> Iterator[str]:
    values: dict[str, str] = {}
    for source in container.env_from:
        for kind, reference in (("ConfigMap", source.config_map_ref), ("Secret", source.secret_ref)):
            if reference is None:
                continue
            data = objects.data.get((kind, reference.name))
            if data is None and not reference.optional:
                decoder.add_problem(reference.where, f"the {kind} {reference.name[:60]!r} is not in this file")
            for key, value in (data or {}).items():
                values[source.prefix + key] = value.decode(errors="surrogateescape")
    for variable in container.env:
        if not variable.name or "=" in variable.name or "\0" in variable.name:
            decoder.add_problem(variable.where, f"{variable.name[:60]!r} is not a name for a variable")
        value = variable.value
        if variable.value_from:
            value = _look_up(variable.value_from, objects, decoder) or ""
        values[variable.name] = value
    for name, value in values.items():
        yield f"{name}={value}"


def _look_up(source: model.ValueSource, objects: DataObjects, decoder: NodeDecoder) -> str | None:
    for kind, selector in (("ConfigMap", source.config_map_key_ref), ("Secret", source.secret_key_ref)):
        if selector is None:
            continue
        value = objects.data.get((kind, selector.name), {}).get(selector.key)
        if value is not None:
            return value.decode(errors="surrogateescape")
        if not selector.optional:
            text = f"the {kind} {selector.name[:60]!r} with the key {selector.key[:60]!r} is not in this file"
            decoder.add_problem(selector.where, text)
        return None
    decoder.add_problem(source.where, "valueFrom must name a key of a ConfigMap or Secret")
    return None


def _isolation(container: model.Container, spec: model.PodSpec, decoder: NodeDecoder) -> Isolation:
    context = container.security_context
    if context.privileged:
        hint = "name what the program needs with capabilities"
        decoder.add_problem(context.where, "privileged containers are not supported", hint)
    isolation = Isolation(limits=_limits(container.resources, decoder), user_namespace="auto")
    try:
        chosen = capabilities.select(context.capabilities.add, context.capabilities.drop)
        added = capabilities.list_added(context.capabilities.add, chosen)
        isolation = msgspec.structs.replace(isolation, capabilities=chosen, added_capabilities=added)
    except PumiceError as error:
        decoder.add_problem(context.capabilities.where, error.message, error.hint)
    profile = context.seccomp_profile or spec.security_context.seccomp_profile
    if profile and profile.type == "Unconfined":
        isolation = msgspec.structs.replace(isolation, seccomp="unconfined")
    elif profile and profile.type != "RuntimeDefault":
        text = f"seccompProfile cannot be {profile.type[:40]!r}"
        decoder.add_problem(profile.where, text, "use RuntimeDefault or Unconfined")
    if context.allow_privilege_escalation:
        isolation = msgspec.structs.replace(isolation, no_new_privileges=False)
    return isolation


def _limits(resources: model.Resources, decoder: NodeDecoder) -> Limits:
    values = {"cpu": 0, "memory": 0}
    for name, text in resources.limits.items():
        if name not in values:
            decoder.add_problem(resources.where, f"the resource {name[:60]!r} cannot be limited")
            continue
        try:
            values[name] = int(parse_quantity(text) * (1000 if name == "cpu" else 1))
        except ValueError:
            hint = "write 500m or 128Mi"
            decoder.add_problem(resources.where, f"limits.{name}: {text[:40]!r} is not a quantity", hint)
    return Limits(memory=values["memory"], cpus=values["cpu"])


def _health_check(probe: model.Probe) -> HealthCheck:
    command = probe.exec.command if probe.exec else ()
    return HealthCheck(
        ("CMD", *command),
        probe.period_seconds * _NANOSECONDS,
        probe.timeout_seconds * _NANOSECONDS,
        probe.initial_delay_seconds * _NANOSECONDS,
        probe.failure_threshold,
    )
