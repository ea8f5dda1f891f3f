"""Pumice installs from its wheel into a clean environment, with pipx and with uv, and works there."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.support.docs import ROOT

pytestmark = pytest.mark.pypi

BUILD = "from hatchling.build import build_{kind}; import sys; print(build_{kind}(sys.argv[1]))"


def build(kind: str, folder: Path, umask: int, hash_seed: str) -> Path:
    """Build the distribution of this kind from a copy of the tracked files; return its file."""
    checkout = folder / "checkout"
    subprocess.run(["git", "clone", "--quiet", "--depth", "1", f"file://{ROOT}", checkout], check=True)
    process = subprocess.run(
        [sys.executable, "-c", BUILD.format(kind=kind), str(folder)],
        cwd=checkout,
        env=os.environ | {"PYTHONHASHSEED": hash_seed, "TZ": "Asia/Tokyo", "SOURCE_DATE_EPOCH": "1700000000"},
        umask=umask,
        capture_output=True,
        text=True,
        check=True,
    )
    return folder / process.stdout.split()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("wheel"), 0o022, "0")


@pytest.mark.parametrize("kind", ["wheel", "sdist"])
def test_a_distribution_has_the_same_bytes_each_time(kind: str, tmp_path: Path) -> None:
    digests = set()
    for number, umask in enumerate((0o022, 0o077)):
        folder = tmp_path / str(number)
        folder.mkdir()
        digests.add(hashlib.sha256(build(kind, folder, umask, str(number)).read_bytes()).hexdigest())
    assert len(digests) == 1


@pytest.fixture(scope="module")
def installers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of pipx and uv, installed for these tests."""
    environment = tmp_path_factory.mktemp("installers")
    subprocess.run([sys.executable, "-m", "venv", environment], check=True)
    subprocess.run([environment / "bin" / "pip", "install", "--quiet", "pipx", "uv"], check=True)
    return environment / "bin"


@pytest.mark.parametrize(
    "installer", [("pipx", "install"), ("uv", "tool", "install", "--python", sys.executable)]
)
def test_the_installed_program_runs(
    installer: tuple[str, ...], installers: Path, wheel: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    environment |= {"HOME": str(home), "PIPX_HOME": str(home / "pipx"), "UV_TOOL_DIR": str(home / "uv")}
    environment |= {"PIPX_BIN_DIR": str(home / "bin"), "UV_TOOL_BIN_DIR": str(home / "bin")}
    run = partial(subprocess.run, cwd=home, env=environment, capture_output=True, text=True)
    run([installers / installer[0], *installer[1:], str(wheel)], check=True)

    program = home / "bin" / "pumice"
    assert run([program, "version"], check=True).stdout.startswith("pumice ")
    run([program, "init"], check=True)
    assert "name: example.com/home" in run([program, "show", "recipe.yaml"], check=True).stdout
    refused = run([program, "serve", "--root", "registry"], check=False)
    hint = f"{' '.join(installer[:-2] if installer[0] == 'uv' else installer)} --force"
    assert (refused.returncode, "Traceback" in refused.stderr) == (2, False)
    assert f"hint: install them: {hint} 'pumice[serve] @ {wheel.as_uri()}'" in refused.stderr
