"""The fields of Kubernetes objects that are used (core/v1 and apps/v1 of its API)."""

from __future__ import annotations

import msgspec


class _Object(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    where: str = ""


class Metadata(_Object, frozen=True, kw_only=True):
    """``ObjectMeta``; annotations are for people and other tools."""

    name: str = ""
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    namespace: str = ""
    creation_timestamp: str = ""


class KeySelector(_Object, frozen=True, kw_only=True):
    """A key of a ConfigMap or a Secret in the same file."""

    name: str = ""
    key: str = ""
    optional: bool = False


class ValueSource(_Object, frozen=True, kw_only=True):
    """``EnvVarSource``."""

    config_map_key_ref: KeySelector | None = None
    secret_key_ref: KeySelector | None = None


class Variable(_Object, frozen=True, kw_only=True):
    """``EnvVar``."""

    name: str
    value: str = ""
    value_from: ValueSource | None = None


class Reference(_Object, frozen=True, kw_only=True):
    """A reference to a ConfigMap or a Secret in the same file."""

    name: str = ""
    optional: bool = False


class VariableSource(_Object, frozen=True, kw_only=True):
    """``EnvFromSource``."""

    prefix: str = ""
    config_map_ref: Reference | None = None
    secret_ref: Reference | None = None


class Port(_Object, frozen=True, kw_only=True):
    """``ContainerPort``."""

    container_port: int
    name: str = ""
    host_port: int | None = None
    host_ip: str = msgspec.field(default="", name="hostIP")
    protocol: str = "TCP"


class Mount(_Object, frozen=True, kw_only=True):
    """``VolumeMount``."""

    name: str
    mount_path: str
    read_only: bool = False
    sub_path: str = ""


class Resources(_Object, frozen=True, kw_only=True):
    """``ResourceRequirements``; requests only matter to a scheduler."""

    limits: dict[str, str] = {}
    requests: dict[str, str] = {}


class Capabilities(_Object, frozen=True, kw_only=True):
    """Capabilities to add and drop."""

    add: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


class SeccompProfile(_Object, frozen=True, kw_only=True):
    """A profile of system calls: RuntimeDefault, Unconfined or Localhost with a path."""

    type: str = "RuntimeDefault"
    localhost_profile: str = ""


class SecurityContext(_Object, frozen=True, kw_only=True):
    """``SecurityContext`` of a container, and of a pod."""

    run_as_user: int | None = None
    run_as_group: int | None = None
    run_as_non_root: bool = False
    read_only_root_filesystem: bool = False
    allow_privilege_escalation: bool | None = None
    privileged: bool = False
    capabilities: Capabilities = Capabilities()
    seccomp_profile: SeccompProfile | None = None


class ExecAction(_Object, frozen=True, kw_only=True):
    """A command in the container."""

    command: tuple[str, ...] = ()


class HttpHeader(_Object, frozen=True, kw_only=True):
    """``HTTPHeader``."""

    name: str
    value: str = ""


class HttpAction(_Object, frozen=True, kw_only=True):
    """``HTTPGetAction``; a port can be the name of one of the container."""

    port: str
    path: str = "/"
    host: str = ""
    scheme: str = "HTTP"
    http_headers: tuple[HttpHeader, ...] = ()


class TcpAction(_Object, frozen=True, kw_only=True):
    """``TCPSocketAction``."""

    port: str
    host: str = ""


class Probe(_Object, frozen=True, kw_only=True):
    """``Probe``; times are in seconds."""

    exec: ExecAction | None = None
    http_get: HttpAction | None = None
    tcp_socket: TcpAction | None = None
    initial_delay_seconds: int = 0
    period_seconds: int = 10
    timeout_seconds: int = 1
    failure_threshold: int = 3
    success_threshold: int = 1


class Container(_Object, frozen=True, kw_only=True):
    """``Container``."""

    name: str
    image: str
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    working_dir: str = ""
    env: tuple[Variable, ...] = ()
    env_from: tuple[VariableSource, ...] = ()
    ports: tuple[Port, ...] = ()
    volume_mounts: tuple[Mount, ...] = ()
    resources: Resources = Resources()
    security_context: SecurityContext = SecurityContext()
    liveness_probe: Probe | None = None
    readiness_probe: Probe | None = None
    image_pull_policy: str = ""
    stdin: bool = False
    tty: bool = False


class HostPath(_Object, frozen=True, kw_only=True):
    """``HostPathVolumeSource``."""

    path: str
    type: str = ""


class EmptyDirectory(_Object, frozen=True, kw_only=True):
    """``EmptyDirVolumeSource``."""

    medium: str = ""
    size_limit: str = ""


class KeyToPath(_Object, frozen=True, kw_only=True):
    """A key of a ConfigMap, and the name of its file."""

    key: str
    path: str


class ConfigMapVolume(_Object, frozen=True, kw_only=True):
    """``ConfigMapVolumeSource`` and, with ``secretName``, ``SecretVolumeSource``."""

    name: str = ""
    secret_name: str = ""
    items: tuple[KeyToPath, ...] = ()
    optional: bool = False


class Volume(_Object, frozen=True, kw_only=True):
    """``Volume``."""

    name: str
    empty_dir: EmptyDirectory | None = None
    host_path: HostPath | None = None
    config_map: ConfigMapVolume | None = None
    secret: ConfigMapVolume | None = None


class HostAlias(_Object, frozen=True, kw_only=True):
    """``HostAlias``."""

    ip: str
    hostnames: tuple[str, ...] = ()


class DnsOption(_Object, frozen=True, kw_only=True):
    """``PodDNSConfigOption``."""

    name: str
    value: str = ""


class DnsConfig(_Object, frozen=True, kw_only=True):
    """``PodDNSConfig``."""

    nameservers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[DnsOption, ...] = ()


class PodSpec(_Object, frozen=True, kw_only=True):
    """``PodSpec``."""

    containers: tuple[Container, ...]
    init_containers: tuple[Container, ...] = ()
    volumes: tuple[Volume, ...] = ()
    hostname: str = ""
    host_aliases: tuple[HostAlias, ...] = ()
    dns_config: DnsConfig = DnsConfig()
    dns_policy: str = ""
    host_network: bool = False
    share_process_namespace: bool = False
    security_context: SecurityContext = SecurityContext()
    restart_policy: str = ""
    termination_grace_period_seconds: int | None = None


class PodObject(_Object, frozen=True, kw_only=True):
    """A Pod, and the template of one."""

    spec: PodSpec
    api_version: str = ""
    kind: str = ""
    metadata: Metadata = Metadata()


class Selector(_Object, frozen=True, kw_only=True):
    """``LabelSelector``, which only matters to a cluster."""

    match_labels: dict[str, str] = {}


class DeploymentSpec(_Object, frozen=True, kw_only=True):
    """``DeploymentSpec``."""

    template: PodObject
    selector: Selector = Selector()
    replicas: int = 1


class Deployment(_Object, frozen=True, kw_only=True):
    """A Deployment."""

    spec: DeploymentSpec
    api_version: str = ""
    kind: str = ""
    metadata: Metadata = Metadata()


class ConfigMap(_Object, frozen=True, kw_only=True):
    """A ConfigMap, or a Secret, whose ``data`` is in base64."""

    api_version: str = ""
    kind: str = ""
    type: str = ""
    metadata: Metadata = Metadata()
    data: dict[str, str] = {}
    binary_data: dict[str, str] = {}
    string_data: dict[str, str] = {}


class DataObjects(msgspec.Struct, frozen=True):
    """The ConfigMaps and Secrets of a file: their data by key, by kind and name."""

    data: dict[tuple[str, str], dict[str, bytes]]
