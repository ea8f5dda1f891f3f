"""``pumice`` on the real mirror, with a store that tests share so that each package is fetched once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.docs import ROOT
from tests.support.world import PumiceRun

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

EXAMPLES = sorted(
    path.parent.name
    for path in (ROOT / "examples").glob("*/recipe.yaml")
    if not (path.parent / "prepare.sh").exists()  # it downloads files first, and has a test
)
PATIENCE_SECONDS = 600


def run(home: Path, *arguments: str | Path, cwd: Path | None = None, **environment: str) -> PumiceRun:
    """Run ``pumice`` with the store ``home``."""
    return PumiceRun(
        subprocess.run(
            [sys.executable, "-m", "pumice", *map(str, arguments)],
            cwd=cwd,
            env={**os.environ, "PUMICE_HOME": str(home), **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=PATIENCE_SECONDS,
        )
    )


def must(home: Path, *arguments: str | Path, cwd: Path | None = None, **environment: str) -> str:
    """Run ``pumice``, which must succeed; return its output."""
    pumice_run = run(home, *arguments, cwd=cwd, **environment)
    assert pumice_run.code == 0, f"{pumice_run.stderr}\n{pumice_run.stdout}"
    return pumice_run.stdout


def example(name: str, folder: Path) -> Path:
    """Copy an example to ``folder`` without its lock; return its recipe."""
    ignore = shutil.ignore_patterns("*.lock", "__pycache__")
    shutil.copytree(ROOT / "examples" / name, folder, ignore=ignore, dirs_exist_ok=True)
    return folder / "recipe.yaml"


def recipe(folder: Path, packages: Sequence[str], *lines: str) -> Path:
    """Write a recipe of ``packages`` for the machine's own mirror, followed by ``lines``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "recipe.yaml"
    head = ("name: example.com/real", 'version: "1"', "from: {debian: bookworm}")
    path.write_text("\n".join([*head, f"packages: [{', '.join(packages)}]", *lines]) + "\n")
    return path
