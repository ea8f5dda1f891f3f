"""The ``config.json`` for runc and crun has the structure that runtime-spec 1.0.2 defines."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import pytest

from pumice.runtime.container import Container, Mount, Process
from pumice.runtime.isolation.capabilities import NUMBERS
from pumice.runtime.isolation.model import Device, Isolation, Rlimit
from pumice.runtime.stage1 import external, runc
from tests.support import schemas


class Strict(msgspec.Struct, forbid_unknown_fields=True, rename="camel"):
    """A JSON object without other fields."""


class User(Strict):
    uid: int
    gid: int
    additional_gids: list[int] = []
    umask: int | None = None


class Capabilities(Strict):
    bounding: list[str] = []
    effective: list[str] = []
    permitted: list[str] = []
    inheritable: list[str] = []
    ambient: list[str] = []


class ResourceLimit(Strict):
    type: str
    soft: int
    hard: int


class ConsoleSize(Strict):
    height: int
    width: int


class OciProcess(Strict):
    cwd: str
    args: list[str]
    user: User
    terminal: bool = False
    console_size: ConsoleSize | None = None
    env: list[str] = []
    capabilities: Capabilities | None = None
    rlimits: list[ResourceLimit] = []
    no_new_privileges: bool = False
    apparmor_profile: str | None = None
    selinux_label: str | None = None
    oom_score_adj: int | None = None


class OciMount(Strict):
    destination: str
    type: str | None = None
    source: str | None = None
    options: list[str] = []


class Namespace(Strict):
    type: Literal["pid", "network", "mount", "ipc", "uts", "user", "cgroup", "time"]
    path: str | None = None


class Argument(Strict):
    index: int
    value: int
    op: Literal[
        "SCMP_CMP_NE",
        "SCMP_CMP_LT",
        "SCMP_CMP_LE",
        "SCMP_CMP_EQ",
        "SCMP_CMP_GE",
        "SCMP_CMP_GT",
        "SCMP_CMP_MASKED_EQ",
    ]
    value_two: int = 0


class Call(Strict):
    names: list[str]
    action: str
    errno_ret: int | None = None
    args: list[Argument] = []


class Seccomp(Strict):
    default_action: str
    default_errno_ret: int | None = None
    architectures: list[str] = []
    syscalls: list[Call] = []


class DeviceRule(Strict):
    allow: bool
    type: Literal["a", "b", "c"] | None = None
    major: int | None = None
    minor: int | None = None
    access: str | None = None


class Resources(Strict):
    devices: list[DeviceRule] = []


class Linux(Strict):
    namespaces: list[Namespace]
    masked_paths: list[str] = []
    readonly_paths: list[str] = []
    seccomp: Seccomp | None = None
    sysctl: dict[str, str] = {}
    resources: Resources | None = None
    cgroups_path: str | None = None


class Root(Strict):
    path: str
    readonly: bool = False


class Config(Strict):
    oci_version: str
    process: OciProcess
    root: Root
    hostname: str
    mounts: list[OciMount]
    linux: Linux


ISOLATIONS = {
    "default": Isolation(),
    "unconfined": Isolation(seccomp="unconfined", capabilities=(), unmasked=("ALL",)),
    "everything": Isolation(
        capabilities=tuple(NUMBERS),
        added_capabilities=("NET_RAW",),
        no_new_privileges=False,
        rlimits=(Rlimit("nofile", 10, 20), Rlimit("core", -1, -1)),
        oom_score=500,
        devices=(Device("/dev/full", "/dev/mine"),),
        shm_size=1 << 20,
        sysctls=(("kernel.msgmax", "4096"),),
        apparmor="profile",
        selinux="type:container_t",
    ),
}


@pytest.mark.parametrize("name", sorted(ISOLATIONS))
@pytest.mark.parametrize("network", ["host", "none"])
@pytest.mark.parametrize("uid", [0, 33])
def test_config_has_the_structure_of_runtime_spec(name: str, network: Any, uid: int) -> None:
    container = Container(
        root="/store/tree/root",
        process=Process(arguments=("sh", "-c", "x"), environment={"A": "1"}, uid=uid, groups=(7,)),
        mounts=(
            Mount("/srv", "/srv"),
            Mount("/srv", "/dev/srv"),
            Mount("", "/dev/t", data="size=1,mode=0700", no_exec=True),
        ),
        network=network,
        read_only=uid == 0,
        isolation=ISOLATIONS[name],
    )
    paths = external.HostPaths("/store/tree/root/root", container.mounts)
    own_targets = external.find_own_targets(container, "runc")
    data = msgspec.json.encode(runc.make_config(container, paths, own_targets))
    assert schemas.find_violations("runtime", data) == []
    config = msgspec.json.decode(data, type=Config)
    assert config.oci_version == "1.0.2"
    assert config.process.cwd.startswith("/")
    assert ("network" in {namespace.type for namespace in config.linux.namespaces}) == (network == "none")
    assert config.process.capabilities is not None
    assert set(config.process.capabilities.ambient) <= set(config.process.capabilities.inheritable)
    assert all(mount.destination.startswith("/") for mount in config.mounts)
    # The sandbox mounts everything else, with one look-up of each path.
    assert [mount.destination for mount in config.mounts if "srv" in mount.destination] == ["/dev/srv"]
    assert all(0 <= limit.soft <= limit.hard < 1 << 64 for limit in config.process.rlimits)
    if ISOLATIONS[name].seccomp == "unconfined":
        assert config.linux.seccomp is None
    else:
        assert config.linux.seccomp is not None
        assert len(config.linux.seccomp.architectures) == 1


def test_the_schema_refuses_other_documents() -> None:
    assert schemas.find_violations("runtime", b'{"ociVersion": "1.0.2", "root": {"path": 1}}') != []
    namespaces = b'{"ociVersion": "1.0.2", "linux": {"namespaces": [{"type": "space"}]}}'
    assert schemas.find_violations("runtime", namespaces) != []
