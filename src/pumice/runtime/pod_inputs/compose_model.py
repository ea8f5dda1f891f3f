"""The keys of compose files that are used (compose-spec)."""

from __future__ import annotations

import msgspec

Scalar = str
Environment = tuple[str, ...] | dict[str, str | None]
Words = str | tuple[str, ...]


class _Object(msgspec.Struct, frozen=True, kw_only=True):
    where: str = ""


class PortSpec(_Object, frozen=True, kw_only=True):
    """The long form of a port."""

    target: int
    published: str = ""
    host_ip: str = ""
    protocol: str = "tcp"
    mode: str = ""
    name: str = ""


class VolumeSpec(_Object, frozen=True, kw_only=True):
    """The long form of a volume."""

    type: str
    target: str
    source: str = ""
    read_only: bool = False


class DependencySpec(_Object, frozen=True, kw_only=True):
    """The long form of a dependency."""

    condition: str = "service_started"
    required: bool = True
    restart: bool = False


class UlimitSpec(_Object, frozen=True, kw_only=True):
    """The long form of a resource limit."""

    soft: int
    hard: int


class HealthCheckSpec(_Object, frozen=True, kw_only=True):
    """A health check; times are durations such as ``1m30s``."""

    test: Words = ()
    interval: str = "30s"
    timeout: str = "30s"
    start_period: str = "0s"
    retries: int = 3
    disable: bool = False


class Service(_Object, frozen=True, kw_only=True):
    """A service."""

    image: str = ""
    command: Words | None = None
    entrypoint: Words | None = None
    environment: Environment = ()
    env_file: Words = ()
    ports: tuple[str | PortSpec, ...] = ()
    expose: tuple[str, ...] = ()
    volumes: tuple[str | VolumeSpec, ...] = ()
    depends_on: tuple[str, ...] | dict[str, DependencySpec] = ()
    user: str = ""
    working_dir: str = ""
    hostname: str = ""
    tmpfs: Words = ()
    read_only: bool = False
    init: bool = False
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    security_opt: tuple[str, ...] = ()
    ulimits: dict[str, str | UlimitSpec] = {}
    healthcheck: HealthCheckSpec | None = None
    mem_limit: str = ""
    cpus: str = ""
    pids_limit: int | None = None
    stop_signal: str = ""
    extra_hosts: tuple[str, ...] | dict[str, str] = ()
    dns: Words = ()
    network_mode: str = ""
    container_name: str = ""
    labels: tuple[str, ...] | dict[str, str | None] = ()
    shm_size: str = ""
    stdin_open: bool = False
    tty: bool = False


class Compose(_Object, frozen=True, kw_only=True):
    """A compose file."""

    services: dict[str, Service]
    name: str = ""
    version: str = ""
    volumes: dict[str, dict[str, str] | None] = {}
