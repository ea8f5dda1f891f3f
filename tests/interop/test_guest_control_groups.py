"""Control groups of version 2 with all controllers, which this machine may not have: in a virtual machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

import pumice
from tests.support import guests, specimens

pytestmark = [
    pytest.mark.mirror,
    pytest.mark.skipif(
        os.uname().machine != "x86_64" or sys.version_info[:2] != (3, 11),
        reason="the guest has the Python of Debian 12 on x86-64",
    ),
]
SCRIPT = Path(__file__).parent.parent / "data" / "guest"


def test_limits_are_set_enforced_and_removed(tmp_path: Path, shared_home: Path) -> None:
    kernel = guests.need_kernel()
    location = specimens.build_example("hello-python", tmp_path, shared_home)
    sources, library = Path(pumice.__file__).parent, Path(msgspec.__file__).parent
    volumes = {sources: "/code/pumice", library: "/code/msgspec", SCRIPT: "/guest"}
    process = subprocess.run(
        [
            *(sys.executable, "-m", "pumice", "run", "--stage1", "kvm", "--network", "none", "--user", "0"),
            "--allow-unsigned",
            *("--cap-add", "SYS_ADMIN", "--security-opt", "seccomp=unconfined", "--env", "PYTHONPATH=/code"),
            *(word for source, target in volumes.items() for word in ("--volume", f"{source}:{target}:ro")),
            *("--entrypoint", "/usr/bin/python3", location, "/guest/control_groups.py"),
        ],
        env={**os.environ, "PUMICE_HOME": str(shared_home), "PUMICE_KERNEL": kernel},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    report = json.loads(process.stdout)
    assert report["versions"] == [2]
    assert report["obstacle"] == ""
    assert report["all"]["values"] == {
        "memory.max": str(64 << 20),
        "pids.max": "99",
        "cpu.max": "25000 100000",
        "cpu.weight": "20",
        **{name: "0" for name in report["all"]["values"] if name == "memory.swap.max"},
    }
    assert report["memory"]["code"] == -9
    assert "at its limit of 32 MiB" in report["memory"]["out of memory"]
    assert report["pids"]["code"] == 7
    assert all(report[name]["below"] and report[name]["removed"] for name in ("all", "memory", "pids"))
