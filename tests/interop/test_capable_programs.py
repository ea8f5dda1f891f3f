"""Programs of Debian that need more than the default: the options that make them work, and no fewer."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.mirror

RECIPE = """
name: example.com/tools
version: "1"
from: {debian: bookworm}
packages: [busybox-static, openssh-server, tcpdump]
run: {command: [/bin/busybox, sh]}
"""
SSHD = """
busybox mkdir -p /run/sshd /tmp/keys && ssh-keygen -q -t ed25519 -N '' -f /tmp/keys/host &&
/usr/sbin/sshd -e -p 2222 -h /tmp/keys/host && ssh-keyscan -t ed25519 -p 2222 127.0.0.1
"""
TCPDUMP = """
busybox ping -c 40 -i 0.2 127.0.0.1 > /dev/null 2>&1 &
tcpdump -Z root -i lo -c 2 -n -l icmp
"""


@pytest.fixture(scope="module")
def location(tmp_path_factory: pytest.TempPathFactory, shared_home: Path) -> str:
    folder = tmp_path_factory.mktemp("tools")
    (folder / "recipe.yaml").write_text(RECIPE)
    where = f"oci:{folder}/tools.oci:1"
    command = (sys.executable, "-m", "pumice", "build", str(folder / "recipe.yaml"), "-o", where)
    environment = {**os.environ, "PUMICE_HOME": str(shared_home)}
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    return where


def run(location: str, home: Path, script: str, *options: str) -> subprocess.CompletedProcess[str]:
    command = (
        sys.executable,
        "-m",
        "pumice",
        "run",
        "--progress",
        "none",
        "--network",
        "none",
        "--allow-unsigned",
        *options,
    )
    return subprocess.run(
        [*command, "--entrypoint", "/bin/busybox", location, "sh", "-c", script],
        env={**os.environ, "PUMICE_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_sshd_needs_chroot(location: str, shared_home: Path) -> None:
    process = run(location, shared_home, SSHD, "--cap-add", "SYS_CHROOT")
    assert "[127.0.0.1]:2222 ssh-ed25519 " in process.stdout, process.stderr
    process = run(location, shared_home, SSHD)
    assert "ssh-ed25519" not in process.stdout


def test_tcpdump_needs_raw_sockets(location: str, shared_home: Path) -> None:
    process = run(location, shared_home, TCPDUMP, "--cap-add", "NET_RAW")
    assert process.stdout.count("ICMP echo") == 2, process.stderr
    process = run(location, shared_home, TCPDUMP)
    assert "ICMP" not in process.stdout
    assert "Operation not permitted" in process.stderr or "permission" in process.stderr
