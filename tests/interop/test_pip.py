"""`make` creates its environment with the pip of every supported Python, whatever releases the index has."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.support import peers, wheels
from tests.support.docs import ROOT

pytestmark = [pytest.mark.pypi, pytest.mark.peer("make")]

OLD_PIPS = ("22.3", "23.0.1")
NEWEST = "newest"

PROJECT = """\
[build-system]
requires = []
build-backend = "backend"
backend-path = ["."]
[project]
name = "project"
version = "1"
"""
BACKEND = """\
from pathlib import Path
from tests.support.wheels import write_wheel

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    return write_wheel(Path(wheel_directory), "project", "1", ["a"]).name
"""


class Checkout(NamedTuple):
    """A directory with this project's Makefile."""

    folder: Path
    environment: dict[str, str]

    def set_up(self) -> subprocess.CompletedProcess[str]:
        """Create the environment like the targets that need it."""
        return subprocess.run(
            ["make", "-C", str(self.folder), f"PYTHON={self.folder / 'python'}", ".venv/ready"],
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )

    def version_of(self, module: str) -> str:
        program = f"import {module}; print({module}.VERSION)"
        return subprocess.check_output(
            [self.folder / ".venv/bin/python", "-c", program], text=True, env=self.environment
        ).strip()


def download_pip(version: str, scratch: Path) -> Path:
    """Return a wheel of pip from the index that this machine uses; wheels of old versions are cached."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "pumice-peers", "pip")
    cached = cache / f"pip-{version}-py3-none-any.whl"
    if not cached.exists():
        requirement = "pip" if version == NEWEST else f"pip=={version}"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        process = subprocess.run([*command, "--dest", str(scratch), requirement], check=False, timeout=300)
        if process.returncode:
            peers.absent(f"pip {version} cannot be downloaded")
        (wheel,) = scratch.glob("pip-*.whl")
        if version == NEWEST:
            return wheel
        cache.mkdir(parents=True, exist_ok=True)
        partial = cache / f"{cached.name}.{os.getpid()}"
        shutil.copyfile(wheel, partial)
        partial.replace(cached)
    return cached


def check_out(folder: Path, pip: Path, index: str, pins: str) -> Checkout:
    """Return a directory with the real Makefile and a Python whose `venv` installs this pip."""
    shutil.copyfile(ROOT / "Makefile", folder / "Makefile")
    (folder / "requirements-dev.txt").write_text(pins)
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "backend.py").write_text(BACKEND)
    python = folder / "python"
    python.write_text(
        "#!/bin/sh\nset -e\n"
        f'test "$1 $2" = "-m venv"\n{sys.executable} -m venv --without-pip "$3"\n'
        f'"$3/bin/python" {pip}/pip install --quiet --no-index {pip}\n'
    )
    python.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    # The build backend is that of the test environment; pip's only configuration is the index of this test.
    environment |= {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": index, "PYTHONPATH": str(ROOT)}
    environment.pop("MAKEFLAGS", None)
    return Checkout(folder, environment)


@pytest.fixture(params=[*OLD_PIPS, NEWEST])
def pip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a wheel of pip."""
    version = str(request.param)
    if version == OLD_PIPS[0] and sys.version_info >= (3, 12):
        pytest.skip("pip 22 does not run on Python 3.12 and newer, which bring a newer one")
    return download_pip(version, tmp_path_factory.mktemp("pip"))


@pytest.fixture
def published(tmp_path: Path) -> list[Path]:
    """Return the wheels on the index: the pinned release, and a newer one."""
    folder = tmp_path / "published"
    folder.mkdir()
    return [
        wheels.write_wheel(folder, "a", "1", ["b[x]"]),
        wheels.write_wheel(folder, "b", "1", extras=["x"]),
        wheels.write_wheel(folder, "b", "2", extras=["x"]),
    ]


def test_make_installs_what_was_pinned_when_a_newer_release_exists(
    pip: Path, published: list[Path], tmp_path: Path
) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    pins = "".join(wheels.pin_with_hash(wheel) for wheel in published[:2])
    with wheels.serve_index(tmp_path / "index", published) as index:
        clone = check_out(checkout, pip, index, pins)
        process = clone.set_up()
    assert process.returncode == 0, process.stdout + process.stderr
    assert (clone.version_of("a"), clone.version_of("b")) == ("1", "1")


def test_make_refuses_incomplete_pins(pip: Path, published: list[Path], tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    with wheels.serve_index(tmp_path / "index", published) as index:
        clone = check_out(checkout, pip, index, wheels.pin_with_hash(published[0]))
        process = clone.set_up()
    assert process.returncode != 0
    assert "a 1 requires b, which is not installed" in process.stdout
    assert not (checkout / ".venv" / "ready").exists()
