"""Real images for two architectures at once: no emulator, no second machine."""

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


class Both(NamedTuple):
    """The example hello-python for two architectures, and all that is needed to build it again."""

    folder: Path
    recipe: Path
    digest: str

    @property
    def layout(self) -> Path:
        return self.folder / "image"

    @property
    def manifests(self) -> dict[str, dict[str, Any]]:
        """Return the index's entries by architecture."""
        listed = json.loads(blob(self.layout, self.digest))["manifests"]
        return {entry["platform"]["architecture"]: entry for entry in listed}


@pytest.fixture(scope="module")
def both(shared_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Both:
    folder = tmp_path_factory.mktemp("both")
    recipe = real.example("hello-python", folder / "example")
    archs = [f"--arch={name}" for name in ARCHITECTURES]
    real.must(shared_home, "lock", recipe, *archs, "--bundle", folder / "bundle")
    built = real.must(shared_home, "build", "--locked", recipe, *archs, "-o", f"oci:{folder / 'image'}:both")
    return Both(folder, recipe, built)


def test_one_index_has_a_manifest_for_each(both: Both) -> None:
    assert {name: entry["platform"] for name, entry in both.manifests.items()} == {
        "amd64": {"architecture": "amd64", "os": "linux"},
        "arm64": {"architecture": "arm64", "os": "linux", "variant": "v8"},
    }
    for name, entry in both.manifests.items():
        manifest = json.loads(blob(both.layout, entry["digest"]))
        config = json.loads(blob(both.layout, manifest["config"]["digest"]))
        assert (config["architecture"], config["os"]) == (name, "linux")
        assert len(config["rootfs"]["diff_ids"]) == len(manifest["layers"])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_its_programs_are_for_it(architecture: str, both: Both) -> None:
    manifest = json.loads(blob(both.layout, both.manifests[architecture]["digest"]))
    found = {}
    for layer in manifest["layers"]:
        with tarfile.open(both.layout / "blobs" / layer["digest"].replace(":", "/")) as archive:
            for member in archive:
                if member.isreg() and member.name.removeprefix("./").startswith(("usr/bin/", "usr/sbin/")):
                    body = archive.extractfile(member)
                    assert body
                    start = body.read(20)
                    if start.startswith(b"\x7fELF"):
                        found[member.name] = int.from_bytes(start[18:20], "little")
    assert len(found) > 5
    assert set(found.values()) == {ARCHITECTURES[architecture]}


@pytest.mark.peer("skopeo")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_skopeo_finds_each(architecture: str, both: Both) -> None:
    done = subprocess.run(
        ["skopeo", f"--override-arch={architecture}", "inspect", f"oci:{both.layout}:both"],
        capture_output=True,
        text=True,
        check=True,
    )
    seen = json.loads(done.stdout)
    manifest = json.loads(blob(both.layout, both.manifests[architecture]["digest"]))
    assert (seen["Architecture"], seen["Os"]) == (architecture, "linux")
    assert seen["Layers"] == [layer["digest"] for layer in manifest["layers"]]


def test_another_machines_architecture_is_repeatable(both: Both, tmp_path: Path) -> None:
    shutil.copytree(both.recipe.parent, tmp_path / "example")
    again = real.must(
        tmp_path / "store",
        *("build", "--locked", "--offline", "--bundle", both.folder / "bundle"),
        *("--platform", "linux/arm64", tmp_path / "example" / "recipe.yaml"),
    )
    assert again == both.manifests["arm64"]["digest"]


def test_byte_code_for_another_machine_is_refused(both: Both, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(both.recipe.read_text() + "python: {bytecode: true}\n")
    (tmp_path / "app").mkdir()
    outcome = real.run(
        tmp_path / "store", "build", "--arch", foreign(), "--bundle", both.folder / "bundle", recipe
    )
    assert outcome.code == 10
    errors = [line for line in outcome.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, outcome.stderr
    assert "cannot compile bytecode for linux/" in errors[0]
    assert "hint: build on a machine of that architecture" in outcome.stderr


def foreign() -> str:
    """Return an architecture that is not this machine's."""
    machine = subprocess.run(["uname", "-m"], capture_output=True, text=True, check=True).stdout.strip()
    return "amd64" if machine == "aarch64" else "arm64"
