"""debsbom, an SBOM tool of Debian, finds the packages of our documents in our images, and reads them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import inventory, real
from tests.support.world import World

BASE = {"base-files", "base-passwd", "libc-bin", "openssl"}
"""Packages of which an image may have single files only, so they are not in the record of dpkg."""
"""They are in images without being installed: dpkg does not list what only their data was taken of."""


def debsbom(folder: Path, *arguments: str) -> str:
    process = subprocess.run(
        [Path(sys.executable).parent / "debsbom", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return process.stdout + process.stderr


def compared(folder: Path) -> None:
    """Compare ``ours.spdx.json`` with debsbom's document about ``rootfs``, both in ``folder``."""
    debsbom(
        folder, "generate", "-r", "rootfs", "-o", "theirs", "--no-recommends-deps", "--distro-arch", "amd64"
    )
    our_packages = inventory.read_spdx(folder / "ours.spdx.json")
    theirs = inventory.read_spdx(folder / "theirs.spdx.json")
    package_set = {package for package in our_packages.values() if package.name not in BASE}
    assert set(theirs.values()) == package_set
    assert package_set
    our_dependencies, their_dependencies = (
        inventory.read_dependencies(folder / f"{writer}.spdx.json") for writer in ("ours", "theirs")
    )
    assert their_dependencies <= our_dependencies
    status = (folder / "rootfs/var/lib/dpkg/status").read_text()
    eager = {part.split("\n")[0] for part in status.split("Package: ") if "\nPre-Depends:" in part}
    assert {
        package for package, wanted in our_dependencies - their_dependencies if wanted not in BASE
    } <= eager | BASE  # debsbom does not follow Pre-Depends
    suppliers = inventory.read_suppliers(folder / "ours.spdx.json")
    for name, supplier in inventory.read_suppliers(folder / "theirs.spdx.json").items():
        plain_name = supplier.translate(str.maketrans("[]", "()"))  # "A B (C)" has no second name in SPDX
        assert suppliers[name].translate(str.maketrans("[]", "()")) == plain_name


def test_debsbom_finds_our_packages_in_the_files_of_an_image(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.build("-o", "dir:rootfs", "-o", "oci:image")
    (world.project / "ours.spdx.json").write_bytes(world.run("sbom", "oci:image").stdout_bytes)
    compared(world.project)


@pytest.mark.mirror
def test_debsbom_finds_our_packages_in_a_real_image(tmp_path: Path, shared_home: Path) -> None:
    recipe = real.recipe(tmp_path, ["python3", "ca-certificates"], "archs: [amd64]")
    real.must(shared_home, "build", recipe, "-o", "dir:rootfs", "-o", "oci:image", cwd=tmp_path)
    for name, form in (("spdx", "spdx"), ("cdx", "cyclonedx")):
        document = real.must(shared_home, "sbom", "oci:image", "--format", form, cwd=tmp_path)
        (tmp_path / f"ours.{name}.json").write_text(document)
    compared(tmp_path)
    our_components = inventory.read_cyclonedx(tmp_path / "ours.cdx.json")
    assert our_components == set(inventory.read_spdx(tmp_path / "ours.spdx.json").values())


@pytest.mark.parametrize(("kind", "form"), [("spdx", "spdx"), ("cdx", "cyclonedx")])
def test_debsbom_reads_and_merges_our_documents(tmp_path: Path, kind: str, form: str) -> None:
    world = World(tmp_path)
    names = []
    for word in ("one", "two"):
        recipe = world.project / "recipe.yaml"
        recipe.write_text(recipe.read_text().replace('"1.0"', f'"{word}"'))
        world.build()
        document = world.run("sbom", f"example.com/hello:{word}", "--format", form).stdout_bytes
        (world.project / f"{word}.{kind}.json").write_bytes(document)
        world.write()
        names.append(f"{word}.{kind}.json")
    debsbom(world.project, "merge", "-t", kind, "--distro-name", "Both", "-o", "merged", *names)
    merged = json.loads((world.project / f"merged.{kind}.json").read_bytes())
    packages = merged["packages" if kind == "spdx" else "components"]
    assert [package["name"] for package in packages].count("libhello") >= 1
    debsbom(world.project, "delta", "-t", kind, "--distro-name", "New", "-o", "new", *names)
    extra = json.loads((world.project / f"new.{kind}.json").read_bytes())
    other_names = {package["name"] for package in extra["packages" if kind == "spdx" else "components"]}
    assert "libhello" not in other_names  # both images have the same packages
