"""The image of Pumice that Pumice builds: it starts, and builds an image itself."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.support.docs import ROOT

pytestmark = [pytest.mark.pypi, pytest.mark.mirror, pytest.mark.long]

RECIPE = """\
name: example.com/inner
version: "1"
from: {debian: bookworm}
packages: [busybox-static]
run: {command: [/usr/bin/busybox]}
"""


def test_the_image_of_pumice_builds_the_same_image_as_this_machine(tmp_path: Path, shared_home: Path) -> None:
    example = tmp_path / "pumice"
    shutil.copytree(
        ROOT / "examples" / "pumice", example, ignore=shutil.ignore_patterns("packages", "*.lock")
    )
    run = partial(subprocess.run, check=True, capture_output=True, text=True)
    environment = os.environ | {"PUMICE_HOME": str(shared_home), "PYTHON": sys.executable}
    code = "from hatchling.build import build_wheel; import sys; print(build_wheel(sys.argv[1]))"
    run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT)
    run([example / "prepare.sh", *tmp_path.glob("*.whl")], env=environment)
    pumice = [sys.executable, "-m", "pumice"]
    digests = {run([*pumice, "build", example / "recipe.yaml"], env=environment).stdout for _ in range(2)}
    assert len(digests) == 1
    run([*pumice, "test", example / "recipe.yaml"], env=environment)

    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(RECIPE)
    built_here = run([*pumice, "build", recipe], env=environment).stdout
    volumes = [
        f"--volume={path}:{target}:ro"
        for path, target in [
            ("/etc/apt", "/etc/apt"),
            ("/usr/share/keyrings", "/usr/share/keyrings"),
            (str(recipe), "/build/recipe.yaml"),
            (str(recipe.with_suffix(".lock")), "/build/recipe.lock"),
        ]
    ]
    inside = run(
        [*pumice, "run", *volumes, "example.com/pumice:0.1", "build", "recipe.yaml"], env=environment
    )
    assert inside.stdout == built_here
