"""A skopeo that knows sigstore's signatures, unpacked beside the machine's own.

Debian switched them off in bookworm's, so `.ci/run` unpacks that of trixie; where the machine's own is
new enough it will do.
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
def command(*shown: str) -> tuple[str, ...]:
    """Return how to call it; ``shown`` are folders of this machine that it must see."""
    if sampling.is_another_day():
        need("skopeo")
    own = shutil.which("skopeo")
    if own and _version((own,)) >= OLDEST:
        return (own,)
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    root = Path(base, "pumice-peers", "trixie-skopeo")
    bwrap = shutil.which("bwrap")
    if not bwrap or not (root / "usr/bin/skopeo").exists():
        absent("skopeo 1.14 or newer is not installed")
    binds = [word for folder in shown for word in ("--bind", folder, folder)]
    return (
        *(bwrap or "bwrap", "--bind", str(root), "/", "--dev", "/dev", "--proc", "/proc"),
        *("--tmpfs", "/tmp", "--tmpfs", "/root", *binds, "--setenv", "HOME", "/root", "skopeo"),
    )


def _version(program: tuple[str, ...]) -> tuple[int, ...]:
    said = subprocess.run([*program, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(word) for word in said.split()[2].split("-")[0].split("+")[0].split(".")[:2])
