"""The benchmark's build without evidence: the same image, and nothing attached to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.support.deb import Deb, text
from tests.support.docs import ROOT
from tests.support.workshop import Workshop

if TYPE_CHECKING:
    from pathlib import Path


def build(module: str, workshop: Workshop) -> tuple[str, list[str]]:
    """Build with an empty store; return the image's digest and the names of its artifacts."""
    store = workshop.root / module
    command = [sys.executable, "-m", module, "build", str(workshop.recipe_path)]
    environment = {**os.environ, "PUMICE_HOME": str(store), "PYTHONPATH": str(ROOT)}
    process = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    tree = [sys.executable, "-m", "pumice", "tree", "--format", "json", "example.com/app:1"]
    output = subprocess.run(tree, env=environment, stdout=subprocess.PIPE, check=True).stdout
    parts = [part["what"] for part in json.loads(output)["below"]]
    return process.stdout.strip(), [part for part in parts if part != "layer"]


def test_the_benchmark_without_evidence_builds_the_same_image(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    workshop.publish(Deb("hello", files=[text("usr/bin/hello", "a program")]))
    workshop.write(["hello"])
    digest, artifacts = build("pumice", workshop)
    assert artifacts != []
    assert build("bench.bare", workshop) == (digest, [])
