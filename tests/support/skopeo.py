"""A skopeo that verifies sigstore signatures.

skopeo in Debian bookworm is built without them, so `.ci/run` unpacks that of trixie. The installed skopeo
is used if it is new enough.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

from tests.support import sampling
from tests.support.peers import absent, need

OLDEST = (1, 14)


@cache
def command(*folders: str) -> tuple[str, ...]:
    """Return the command; it can access ``folders`` of this machine."""
    if sampling.is_another_day():
        need("skopeo")
    machine_program = shutil.which("skopeo")
    if machine_program and _version((machine_program,)) >= OLDEST:
        return (machine_program,)
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    root = Path(base, "pumice-peers", "trixie-skopeo")
    bwrap = shutil.which("bwrap")
    if not bwrap or not (root / "usr/bin/skopeo").exists():
        absent("skopeo 1.14 or newer is not installed")
    binds = [argument for folder in folders for argument in ("--bind", folder, folder)]
    return (
        *(bwrap or "bwrap", "--bind", str(root), "/", "--dev", "/dev", "--proc", "/proc"),
        *("--tmpfs", "/tmp", "--tmpfs", "/root", *binds, "--setenv", "HOME", "/root", "skopeo"),
    )


def _version(program: tuple[str, ...]) -> tuple[int, ...]:
    output = subprocess.run([*program, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(component) for component in output.split()[2].split("-")[0].split("+")[0].split(".")[:2])
