"""The services of a compose file as apps."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import PumiceError, UsageError
from pumice.formats.oci import HealthCheck
from pumice.runtime.container import Mount
from pumice.runtime.isolation import capabilities, option_values
from pumice.runtime.isolation.model import DEFAULT_SHM_SIZE, Isolation, Limits, Rlimit
from pumice.runtime.pod_inputs.compose_model import UlimitSpec, VolumeSpec
from pumice.runtime.pod_inputs.durations import parse_duration
from pumice.runtime.pod_inputs.environment_files import read_environment_file
from pumice.runtime.pods.records import Dependency
from pumice.runtime.process import Overrides
from pumice.runtime.run_options import AppOptions, VolumeMount
from pumice.runtime.volumes.volume_store import check_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pumice.runtime.pod_inputs.compose_model import Compose, Service, Words
    from pumice.runtime.pod_inputs.nodes import NodeDecoder
    from pumice.runtime.pods.records import Condition

_CONDITIONS: dict[str, Condition] = {
    "service_started": "started",
    "service_healthy": "healthy",
    "service_completed_successfully": "succeeded",
}
_VOLUME_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,127}")
_VOLUME_FLAGS = frozenset({"rw", "ro", "z", "Z", "cached", "delegated", "consistent"})
"""The flags of the short form; the last three allow what only virtual machines of Docker Desktop do."""
_NANOSECONDS = 1_000_000_000


def words(value: Words | None) -> tuple[str, ...]:
    """Return a list that may be written as one text."""
    return (value,) if isinstance(value, str) else value or ()


def _command(value: Words | None) -> tuple[str, ...] | None:
    """Return the words of a command; raises ValueError for quotes that are not closed."""
    return tuple(shlex.split(value)) if isinstance(value, str) else value


class ServicePlanner:
    """Makes apps of services; relative paths are those of ``folder``, and volumes of ``project``."""

    def __init__(self, compose: Compose, folder: Path, project: str, decoder: NodeDecoder) -> None:
        self._compose = compose
        self._folder = folder
        self._decoder = decoder
        self._project = project
        self.ignored: list[str] = []
        self.used_volumes: dict[str, None] = {}
        """The named volumes that services mount."""

    def plan(self, name: str, service: Service) -> AppOptions:
        """Return the app of a service; problems are added to the decoder."""
        if not service.image:
            hint = "build it with 'pumice build', and write image: NAME"
            self._decoder.add_problem(service.where, f"the service {name[:60]!r} has no image", hint)
        try:
            mounts, volumes = self._plan_volumes(service)
            return AppOptions(
                name=name,
                after=tuple(self._dependencies(service)),
                process=self._process(service),
                isolation=self._isolation(service),
                mounts=mounts,
                volumes=volumes,
                read_only=service.read_only,
                init=service.init,
                stop_signal=service.stop_signal,
                interactive=service.stdin_open,
                terminal=service.tty,
                health_check=self._health_check(service),
            )
        except PumiceError as error:
            self._decoder.add_problem(error.where or service.where, error.message, error.hint)
        except ValueError as error:
            self._decoder.add_problem(service.where, f"the service {name[:60]!r}: {error}")
        return AppOptions(name=name)

    def _process(self, service: Service) -> Overrides:
        entrypoint, command = _command(service.entrypoint), _command(service.command)
        return Overrides(
            command=entrypoint,
            arguments=command or (),
            user=service.user or None,
            directory=service.working_dir or None,
            environment=tuple(self._environment(service)),
        )

    def _environment(self, service: Service) -> Iterator[str]:
        for file in words(service.env_file):
            yield from read_environment_file(str(self._folder / file))
        if not isinstance(service.environment, dict):
            yield from service.environment
            return
        for name, value in service.environment.items():
            yield name if value is None else f"{name}={value}"

    def _dependencies(self, service: Service) -> Iterator[Dependency]:
        needed = service.depends_on
        for name in needed:
            condition = needed[name].condition if isinstance(needed, dict) else "service_started"
            if name not in self._compose.services:
                raise UsageError(f"depends_on: there is no service {name[:60]!r}")
            if condition not in _CONDITIONS:
                raise UsageError(
                    f"depends_on: unknown condition {condition[:60]!r}", hint=f"use {', '.join(_CONDITIONS)}"
                )
            yield Dependency(name, _CONDITIONS[condition])

    def _isolation(self, service: Service) -> Isolation:
        chosen = capabilities.select(service.cap_add, service.cap_drop)
        pids = service.pids_limit
        isolation = Isolation(
            capabilities=chosen,
            added_capabilities=capabilities.list_added(service.cap_add, chosen),
            limits=Limits(
                memory=option_values.parse_memory(service.mem_limit) if service.mem_limit else 0,
                cpus=option_values.parse_cpus(service.cpus) if service.cpus else 0,
                pids=max(pids, 0) if pids is not None else None,
            ),
            rlimits=tuple(self._ulimits(service)),
            shm_size=option_values.parse_size("shm_size", service.shm_size)
            if service.shm_size
            else DEFAULT_SHM_SIZE,
            user_namespace="auto",
        )
        for option in service.security_opt:
            if option in ("seccomp:unconfined", "seccomp=unconfined"):
                isolation = msgspec.structs.replace(isolation, seccomp="unconfined")
            elif option not in ("no-new-privileges", "no-new-privileges:true", "no-new-privileges=true"):
                raise UsageError(f"security_opt {option[:60]!r} is not supported")
        return isolation

    def _ulimits(self, service: Service) -> Iterator[Rlimit]:
        for name, value in service.ulimits.items():
            text = f"{value.soft}:{value.hard}" if isinstance(value, UlimitSpec) else value
            limit = option_values.parse_ulimit(f"{name}={text}")
            if limit:
                yield limit

    def _health_check(self, service: Service) -> HealthCheck | None:
        check = service.healthcheck
        if check is None:
            return None
        if check.disable or check.test == ("NONE",):
            return HealthCheck(("NONE",))
        test = ("CMD-SHELL", check.test) if isinstance(check.test, str) else check.test
        return HealthCheck(
            test,
            parse_duration(check.interval),
            parse_duration(check.timeout),
            parse_duration(check.start_period),
            check.retries,
        )

    def _plan_volumes(self, service: Service) -> tuple[tuple[Mount, ...], tuple[VolumeMount, ...]]:
        mounts: list[Mount] = []
        volumes: list[VolumeMount] = []
        for item in service.volumes:
            volume = item if isinstance(item, VolumeSpec) else _parse_volume(item, service.where)
            flags = _list_flags(item) if isinstance(item, str) else set()
            self.ignored += [f"{flag[:60]} of the volume {item}" for flag in sorted(flags - _VOLUME_FLAGS)]
            relabel = bool({"z", "Z"} & flags)
            if not volume.target.startswith("/") or not volume.target.strip("/"):
                raise UsageError(
                    f"{volume.target[:100]!r} is not an absolute path below /", where=volume.where
                )
            if volume.type == "tmpfs":
                mounts.append(Mount("", volume.target, volume.read_only))
            elif volume.type == "bind":
                source = (self._folder / volume.source).expanduser()
                if not source.exists():
                    raise UsageError(
                        f"cannot mount {volume.source[:200]!r}: no such file or directory",
                        where=volume.where,
                        hint="create the directory first",
                    )
                mounts.append(Mount(str(source.resolve()), volume.target, volume.read_only, relabel=relabel))
            elif volume.type == "volume" and volume.source in self._compose.volumes:
                name = self._name_volume(volume.source)
                mounts.append(Mount("", volume.target, volume.read_only, volume=name, relabel=relabel))
            elif volume.type == "volume":
                name = volume.source or f"anonymous-{len(self.used_volumes)}"
                self._use_volume(name, volume.where)
                volumes.append(
                    VolumeMount(
                        volume=name, target=volume.target, read_only=volume.read_only, relabel=relabel
                    )
                )
            else:
                raise UsageError(f"a volume cannot be of the type {volume.type[:40]!r}", where=volume.where)
        return (*mounts, *_plan_tmpfs(service)), tuple(volumes)

    def _name_volume(self, name: str) -> str:
        """Return the name of a volume of the store, which outlives the pod (compose: ``PROJECT_NAME``)."""
        fields = self._compose.volumes[name] or {}
        if fields.get("name"):
            return check_name(fields["name"])
        is_external = fields.get("external") == "true"
        return check_name(name if is_external or not self._project else f"{self._project}_{name}")

    def _use_volume(self, name: str, where: str) -> None:
        if not _VOLUME_NAME.fullmatch(name):
            raise UsageError(f"{name[:60]!r} is not a name for a volume", where=where)
        self.used_volumes[name] = None


def _plan_tmpfs(service: Service) -> Iterator[Mount]:
    for text in words(service.tmpfs):
        target, _, values = text.partition(":")
        data, read_only, no_exec = option_values.parse_tmpfs_options("tmpfs", values)
        yield Mount("", target, read_only, data, no_exec)


def _list_flags(text: str) -> set[str]:
    """Return the flags at the end of the short form of a volume."""
    return {flag for flags in text.split(":", 2)[2:] for flag in flags.split(",") if flag}


def _parse_volume(text: str, where: str) -> VolumeSpec:
    """Return the volume of the short form ``[SOURCE:]TARGET[:ro]``."""
    source, colon, rest = text.partition(":")
    if not colon:
        return VolumeSpec(type="volume", target=text, where=where)
    target = rest.partition(":")[0]
    kind = "bind" if source.startswith((".", "/", "~")) else "volume"
    read_only = "ro" in _list_flags(text)
    return VolumeSpec(type=kind, source=source, target=target, read_only=read_only, where=where)
