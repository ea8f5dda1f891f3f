"""Control groups of version 2 in a directory that stands for the file system of the kernel."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from pumice.runtime.isolation import control_groups
from pumice.runtime.isolation.control_groups import Hierarchy
from pumice.runtime.isolation.model import Limits
from pumice.runtime.launch.control_groups import ControlGroup, create_groups, open_members
from pumice.runtime.launch.model import Launch
from pumice.runtime.launch.pod_groups import create_pod_groups
from pumice.runtime.sandbox.memory_watch import MemoryWatch

CONTROLLERS = ("cpu", "memory", "pids")


def make_group(path: Path, controllers: str = "cpu memory pids", processes: str = "") -> None:
    path.mkdir(parents=True, exist_ok=True)
    (path / "cgroup.controllers").write_text(f"{controllers}\n")
    (path / "cgroup.subtree_control").write_text("\n")
    (path / "cgroup.procs").write_text(processes)


def proc(tmp_path: Path, mounts: str, own: str) -> Path:
    folder = tmp_path / "proc"
    folder.mkdir(exist_ok=True)
    (folder / "mountinfo").write_text(mounts)
    (folder / "cgroup").write_text(own)
    return folder


def test_version_2_is_found_with_its_controllers_and_our_own_group(tmp_path: Path) -> None:
    make_group(tmp_path / "fs")
    mounts = f"30 20 0:1 / {tmp_path}/fs rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
    hierarchies = control_groups.find_hierarchies(proc(tmp_path, mounts, "0::/user.slice/app.scope\n"))
    own = tmp_path / "fs/user.slice/app.scope"
    assert hierarchies == [Hierarchy(2, frozenset(CONTROLLERS), own, tmp_path / "fs")]


def test_hybrid_machines_have_the_controllers_of_version_1(tmp_path: Path) -> None:
    make_group(tmp_path / "unified", controllers="hugetlb")
    mounts = (
        f"30 20 0:1 / {tmp_path}/memory rw - cgroup cgroup rw,memory\n"
        f"31 20 0:2 / {tmp_path}/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
        f"32 20 0:3 / {tmp_path}/systemd rw - cgroup cgroup rw,name=systemd\n"
        f"33 20 0:4 / {tmp_path}/unified rw - cgroup2 cgroup2 rw\n"
    )
    own = "4:memory:/job\n3:cpu,cpuacct:/\n2:name=systemd:/\n0::/\n"
    found = control_groups.find_hierarchies(proc(tmp_path, mounts, own))
    by_controller = {name: item for item in found for name in item.controllers}
    assert by_controller["memory"].own_directory == tmp_path / "memory/job"
    assert by_controller["cpu"].own_directory == tmp_path / "cpu"
    assert by_controller["hugetlb"].version == 2


def test_group_outside_of_the_mounted_part_is_its_root(tmp_path: Path) -> None:
    """As in a container that shares the namespace of the host, but sees only its own group."""
    mounts = f"30 20 0:1 /docker/abc {tmp_path}/pids rw - cgroup cgroup rw,pids\n"
    for own, expected in (("/docker/abc/x", "pids/x"), ("/docker/abc", "pids"), ("/elsewhere", "pids")):
        found = control_groups.find_hierarchies(proc(tmp_path, mounts, f"1:pids:{own}\n"))
        assert found[0].own_directory == tmp_path / expected


class FakeKernel:
    """Creates the files of each new group, as the kernel does."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, controllers: str = "cpu memory pids") -> None:
        add = ControlGroup.add

        def add_with_files(group: ControlGroup, directory: str) -> None:
            add(group, directory)
            make_group(Path(directory), controllers)

        monkeypatch.setattr(ControlGroup, "add", add_with_files)


def test_limits_are_written_in_the_form_of_version_2(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeKernel(monkeypatch)
    root = tmp_path / "fs"
    make_group(root)
    make_group(root / "pumice")
    hierarchy = Hierarchy(2, frozenset(CONTROLLERS), root / "system.slice", root)
    monkeypatch.setattr(control_groups, "find_hierarchies", lambda: [hierarchy])
    limits = Limits(memory=64 << 20, cpus=1500, cpu_shares=1024, pids=10)
    with closing(create_groups(control_groups.plan_groups(limits), required=True)) as group:
        directory = Path(group.directories[0])
        assert directory.parent == root / "pumice"
        assert len(open_members(group.directories)) == 1
        values = {name: (directory / name).read_text() for name in ("memory.max", "cpu.max", "pids.max")}
        assert values == {"memory.max": str(64 << 20), "cpu.max": "150000 100000", "pids.max": "10"}
        assert (directory / "cpu.weight").read_text() == "39"
        assert (root / "cgroup.subtree_control").read_text() == "+memory +cpu +pids"
        (directory / "memory.events").write_text("low 0\noom 3\noom_kill 2\n")
        limit = "out of memory: the program was killed at its limit of 64 MiB"
        assert MemoryWatch(group.directories).explain_kill() == limit
        (directory / "memory.events").write_text("low 9\noom 0\noom_kill 0\n")
        assert MemoryWatch(group.directories).explain_kill() == ""


def test_limits_of_block_devices_and_pods_are_written_in_the_form_of_version_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeKernel(monkeypatch, controllers="cpu memory pids io")
    root = tmp_path / "fs"
    make_group(root, "cpu memory pids io")
    make_group(root / "pumice", "cpu memory pids io")
    hierarchy = Hierarchy(2, frozenset({*CONTROLLERS, "io"}), root / "system.slice", root)
    monkeypatch.setattr(control_groups, "find_hierarchies", lambda: [hierarchy])
    monkeypatch.setattr(control_groups, "list_block_devices", lambda: ["8:0", "254:0"])
    limits = Limits(pids=0, block_bandwidth=1000)
    pod_limits = Limits(pids=0, memory=1 << 20, cpus=500, block_operations=7)
    (plan,) = control_groups.plan_groups(limits, pod_limits)
    assert plan.settings == (("io.max", "8:0 rbps=1000 wbps=1000"), ("io.max", "254:0 rbps=1000 wbps=1000"))
    assert dict(plan.pod_settings) == {
        "io.max": "254:0 riops=7 wiops=7",
        "memory.max": str(1 << 20),
        "memory.swap.max": "0",
        "cpu.max": "50000 100000",
    }
    assert control_groups.limits_buffered_writes()
    launch = Launch("sandbox", (), ("true",), groups=(plan,), needs_groups=True)
    group, directories = create_pod_groups({"a": launch, "b": launch})
    with closing(group):
        pod = Path(group.directories[0])
        assert {Path(paths[0]).parent for paths in directories.values()} == {pod}
        assert (pod / "memory.max").read_text() == str(1 << 20)
        assert (pod / "a" / "io.max").read_text() == "254:0 rbps=1000 wbps=1000"
        assert not (pod / "a" / "memory.max").exists()


def test_block_devices_without_a_medium_are_not_limited(tmp_path: Path) -> None:
    for name, size in (("sda", "100"), ("loop0", "0"), ("sr0", "")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "size").write_text(size)
        (tmp_path / name / "dev").write_text("8:0\n" if name == "sda" else "7:0\n")
    assert control_groups.list_block_devices(tmp_path) == ["8:0"]


def test_a_container_without_limits_has_no_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_groups, "find_hierarchies", lambda: pytest.fail("not needed"))
    assert control_groups.plan_groups(Limits(pids=0)) == ()


def test_missing_controllers_are_an_obstacle(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hierarchy = Hierarchy(2, frozenset({"pids"}), tmp_path, tmp_path)
    monkeypatch.setattr(control_groups, "find_hierarchies", lambda: [hierarchy])
    assert control_groups.find_obstacle(Limits(memory=1)) == "this machine has no control group for memory"
    assert control_groups.find_obstacle(Limits(pids=5)) == ""
