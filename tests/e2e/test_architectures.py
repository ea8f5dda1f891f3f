"""One build gives images for two architectures, without an emulator or a second machine."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from tests.support import real
from tests.support.world import blob

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.mirror

ARCHITECTURES = {"amd64": 62, "arm64": 183}
"""Name to the number by which ELF files say what they are for (elf.h: e_machine)."""


class TwoPlatformBuild(NamedTuple):
    """The example hello-python for two architectures, with its recipe and bundle."""

    folder: Path
    recipe: Path
    digest: str

    @property
    def layout(self) -> Path:
        return self.folder / "image"

    @property
    def manifests(self) -> dict[str, dict[str, Any]]:
        """Return the index's entries by architecture."""
        descriptors = json.loads(blob(self.layout, self.digest))["manifests"]
        return {entry["platform"]["architecture"]: entry for entry in descriptors}


@pytest.fixture(scope="module")
def two_platform_build(shared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> TwoPlatformBuild:
    folder = tmp_path_factory.mktemp("both")
    recipe = real.example("hello-python", folder / "example")
    archs = [f"--arch={name}" for name in ARCHITECTURES]
    real.must(shared_home, "lock", recipe, *archs, "--bundle", folder / "bundle")
    built = real.must(shared_home, "build", "--locked", recipe, *archs, "-o", f"oci:{folder / 'image'}:both")
    return TwoPlatformBuild(folder, recipe, built)


def test_one_index_has_a_manifest_for_each(two_platform_build: TwoPlatformBuild) -> None:
    assert {name: entry["platform"] for name, entry in two_platform_build.manifests.items()} == {
        "amd64": {"architecture": "amd64", "os": "linux"},
        "arm64": {"architecture": "arm64", "os": "linux", "variant": "v8"},
    }
    for name, entry in two_platform_build.manifests.items():
        manifest = json.loads(blob(two_platform_build.layout, entry["digest"]))
        config = json.loads(blob(two_platform_build.layout, manifest["config"]["digest"]))
        assert (config["architecture"], config["os"]) == (name, "linux")
        assert len(config["rootfs"]["diff_ids"]) == len(manifest["layers"])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_programs_are_built_for_the_architecture(
    architecture: str, two_platform_build: TwoPlatformBuild
) -> None:
    manifest = json.loads(
        blob(two_platform_build.layout, two_platform_build.manifests[architecture]["digest"])
    )
    elf_machines = {}
    for layer in manifest["layers"]:
        with tarfile.open(two_platform_build.layout / "blobs" / layer["digest"].replace(":", "/")) as archive:
            for member in archive:
                if member.isreg() and member.name.removeprefix("./").startswith("usr/"):
                    body = archive.extractfile(member)
                    assert body
                    start = body.read(20)
                    if start.startswith(b"\x7fELF"):
                        elf_machines[member.name] = int.from_bytes(start[18:20], "little")
    assert len(elf_machines) > 5
    assert set(elf_machines.values()) == {ARCHITECTURES[architecture]}


@pytest.mark.peer("skopeo")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_skopeo_inspects_each_architecture(architecture: str, two_platform_build: TwoPlatformBuild) -> None:
    process = subprocess.run(
        ["skopeo", f"--override-arch={architecture}", "inspect", f"oci:{two_platform_build.layout}:both"],
        capture_output=True,
        text=True,
        check=True,
    )
    inspection = json.loads(process.stdout)
    manifest = json.loads(
        blob(two_platform_build.layout, two_platform_build.manifests[architecture]["digest"])
    )
    assert (inspection["Architecture"], inspection["Os"]) == (architecture, "linux")
    assert inspection["Layers"] == [layer["digest"] for layer in manifest["layers"]]


def test_a_foreign_architecture_is_reproducible(two_platform_build: TwoPlatformBuild, tmp_path: Path) -> None:
    shutil.copytree(two_platform_build.recipe.parent, tmp_path / "example")
    rebuilt_digest = real.must(
        tmp_path / "store",
        *("build", "--locked", "--offline", "--bundle", two_platform_build.folder / "bundle"),
        *("--platform", "linux/arm64", tmp_path / "example" / "recipe.yaml"),
    )
    assert rebuilt_digest == two_platform_build.manifests["arm64"]["digest"]


def test_bytecode_for_a_foreign_architecture_is_refused(
    two_platform_build: TwoPlatformBuild, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(two_platform_build.recipe.read_text() + "python: {bytecode: true}\n")
    (tmp_path / "app").mkdir()
    pumice_run = real.run(
        tmp_path / "store",
        "build",
        "--arch",
        foreign(),
        "--bundle",
        two_platform_build.folder / "bundle",
        recipe,
    )
    assert pumice_run.code == 10
    errors = [line for line in pumice_run.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, pumice_run.stderr
    assert "cannot compile bytecode for linux/" in errors[0]
    assert "hint: build on a machine of that architecture" in pumice_run.stderr


def foreign() -> str:
    """Return an architecture that differs from that of this machine."""
    machine = subprocess.run(["uname", "-m"], capture_output=True, text=True, check=True).stdout.strip()
    return "amd64" if machine == "aarch64" else "arm64"
