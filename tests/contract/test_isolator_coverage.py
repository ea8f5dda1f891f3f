"""Nothing that a container asks for is lost in silence: the table of isolators has it, or it has a reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pumice.formats import oci
from pumice.runtime.container import Container, Mount
from pumice.runtime.isolation.isolators import ISOLATORS
from pumice.runtime.isolation.model import Isolation, Limits
from pumice.store.home import Home
from tests.support import images, peers, people

if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import CompletedProcess

    from tests.support.people import Person


@pytest.fixture(scope="module", params=["root", "ordinary"])
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with people.person(request.param) as someone:
        with Home(someone.home / "store") as home:
            config = oci.RunConfig(entrypoint=("sh", "-c"))
            images.make(home, [images.shell()], name="box:1", config=config)
        someone.give(someone.home)
        yield someone


@pytest.fixture(params=["builtin", "bwrap", "runc", "crun", "fly"])
def any_stage1(request: pytest.FixtureRequest) -> str:
    """Return the name of a stage 1 that shares the kernel."""
    if request.param not in ("builtin", "fly"):
        peers.need(request.param)
    return str(request.param)


def run(person: Person, stage1: str, *arguments: str) -> CompletedProcess[str]:
    return person.pumice("run", "--progress", "none", "--stage1", stage1, *arguments)


KINDS = (Container, Isolation, Limits, Mount)
FIELDS = {
    "Container.isolation": "see Isolation",
    "Container.mounts": "see Mount",
    "Container.network": "--network host",
    "Container.read_only": "--read-only",
    "Container.hostname": "--hostname",
    "Container.terminal": "--tty",
    "Container.pod_pids": "--pid pod",
    "Container.pre_start": "eventHandlers",
    "Container.post_stop": "eventHandlers",
    "Container.listen": "socketActivated",
    "Container.init": "refused by runc, crun, fly and kvm",
    "Container.machine": "what kvm makes of the limits",
    "Container.files": "every stage 1 has them",
    "Container.has_name_servers": "every stage 1 has them",
    "Container.process": "every stage 1 has it: tests/contract/test_stage1.py",
    "Container.root": "not a choice of the user",
    "Container.owners": "not a choice of the user",
    "Container.setup": "not an option",
    "Container.ports": "what the network of the pod publishes",
    "Container.filters": "a cache",
    "Container.in_place": "not an option",
    "Container.last_pid": "not an option",
    "Container.owner_record": "not an option",
    "Container.maps": "follows from --userns",
    "Isolation.capabilities": "--cap-add, --cap-drop",
    "Isolation.added_capabilities": "--cap-add, --cap-drop",
    "Isolation.seccomp": "--security-opt seccomp=",
    "Isolation.exact_filter": "the isolators of system calls have tests of their own",
    "Isolation.explains_refused_calls": "refused by all but builtin and fly",
    "Isolation.no_new_privileges": "--security-opt no-new-privileges=false",
    "Isolation.limits": "see Limits",
    "Isolation.pod_limits": "see Limits",
    "Isolation.rlimits": "--ulimit",
    "Isolation.oom_score": "--oom-score-adj",
    "Isolation.devices": "--device",
    "Isolation.shm_size": "--shm-size",
    "Isolation.sysctls": "--sysctl",
    "Isolation.apparmor": "--security-opt apparmor=",
    "Isolation.selinux": "--security-opt label=",
    "Isolation.unmasked": "--security-opt unmask=",
    "Isolation.user_namespace": "--userns",
    "Isolation.network_bandwidth": "reported by app_container.network_isolators",
    "Isolation.pod_network_bandwidth": "reported by app_container.network_isolators",
    "Limits.memory": "--memory",
    "Limits.cpus": "--cpus",
    "Limits.cpu_shares": "--cpu-shares",
    "Limits.pids": "--pids-limit",
    "Limits.block_bandwidth": "resource/block-bandwidth, resource/block-iops",
    "Limits.block_operations": "resource/block-bandwidth, resource/block-iops",
    "Mount.source": "--volume",
    "Mount.target": "--volume",
    "Mount.read_only": "test_read_only_mounts_are_so_with_every_stage_1",
    "Mount.data": "--tmpfs",
    "Mount.no_exec": "--tmpfs",
    "Mount.recursive": "--volume :bind",
    "Mount.relabel": "--volume :z",
    "Mount.owned": "done before the start",
    "Mount.volume": "found before the start",
    "Mount.copies": "done before the start",
    "Mount.image": "found before the start",
    "Mount.subpath": "found before the start",
    "Mount.lock": "a descriptor",
}
"""The row of the table for each field that a stage 1 gets, or why it has none."""


def test_every_field_of_a_container_is_in_the_table_or_has_a_reason() -> None:
    fields = {f"{kind.__name__}.{name}" for kind in KINDS for name in kind.__struct_fields__}
    assert fields == FIELDS.keys()
    options = {isolator.option for isolator in ISOLATORS}
    assert {text for text in FIELDS.values() if text.startswith("--")} <= options


EFFECTS = {
    "NET_RAW": ("busybox arping -c 1 -w 1 -I lo 127.0.0.1 2>&1", "arping: interface lo is not ARPable"),
    "MKNOD": ("busybox mknod /tmp/null c 1 3 && echo made", "made"),
}


@pytest.mark.parametrize("kind", ["one app", "several apps"])
@pytest.mark.parametrize("network", ["none", "host"])
def test_added_capability_has_its_effect_or_is_reported(
    person: Person, any_stage1: str, network: str, kind: str
) -> None:
    if (any_stage1, network) == ("fly", "none"):
        pytest.skip("fly has no network of its own")
    script = "; ".join(script for script, _ in EFFECTS.values())
    words = ("--cap-add", ",".join(EFFECTS), "box:1", f"{script}; true")
    own = words if kind == "one app" else ("box:1", "true", "---", "--app", "b", *words)
    process = run(person, any_stage1, "--network", network, *own)
    assert process.returncode == 0, process.stderr
    warnings = [line for line in process.stderr.splitlines() if "--cap-add" in line and "is ignored" in line]
    for capability, (_, effect) in EFFECTS.items():
        is_reported = any(capability in warning for warning in warnings)
        assert is_reported != (effect in process.stdout), (process.stdout, process.stderr)
    if warnings:
        process = run(person, any_stage1, "--strict", "--network", network, *own)
        assert (process.returncode, process.stdout) == (11, "")
        assert "would be ignored" in process.stderr


def test_capabilities_that_nobody_named_are_not_reported(person: Person, any_stage1: str) -> None:
    process = run(person, any_stage1, "--strict", "--cap-add", "ALL", "box:1", "echo started")
    assert process.stdout == "started\n", process.stderr


def test_read_only_mounts_are_so_with_every_stage_1(person: Person, any_stage1: str) -> None:
    options = (
        *("--tmpfs", "/one:ro", "--mount", "type=tmpfs,dst=/two,readonly", "--tmpfs", "/dev/three:ro,exec"),
        *("--volume", f"{person.home}:/four:ro"),
    )
    script = "for path in /one /two /dev/three /four; do touch $path/x 2>/dev/null && echo $path; done; true"
    process = run(person, any_stage1, *options, "box:1", script)
    assert (process.returncode, process.stdout) == (0, ""), process.stderr


def test_ports_cannot_be_published_without_a_network_of_the_pod(person: Person) -> None:
    process = run(person, "fly", "--publish", "8080:80", "box:1", "echo started")
    assert (process.returncode, process.stdout) == (2, "")
    assert "has no ports to publish" in process.stderr
