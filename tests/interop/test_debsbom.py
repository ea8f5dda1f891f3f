"""debsbom, Debian's own SBOM tool, finds in our images what our documents say, and reads those documents."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import inventory, real
from tests.support.world import World

BASE = {"base-files", "base-passwd"}
"""They are in images without being installed: dpkg does not list what only their data was taken of."""


def debsbom(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [Path(sys.executable).parent / "debsbom", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def compared(folder: Path) -> None:
    """Hold ``ours.spdx.json`` against what debsbom makes of ``rootfs``, both in ``folder``."""
    debsbom(
        folder, "generate", "-r", "rootfs", "-o", "theirs", "--no-recommends-deps", "--distro-arch", "amd64"
    )
    ours = inventory.read_spdx(folder / "ours.spdx.json")
    theirs = inventory.read_spdx(folder / "theirs.spdx.json")
    known = {one for one in ours.values() if one.name not in BASE}
    assert set(theirs.values()) == known
    assert known
    needs, found = (inventory.read_dependencies(folder / f"{who}.spdx.json") for who in ("ours", "theirs"))
    assert found <= needs
    status = (folder / "rootfs/var/lib/dpkg/status").read_text()
    eager = {part.split("\n")[0] for part in status.split("Package: ") if "\nPre-Depends:" in part}
    assert {one for one, _ in needs - found} <= eager | BASE  # debsbom does not follow Pre-Depends
    suppliers = inventory.read_suppliers(folder / "ours.spdx.json")
    for name, supplier in inventory.read_suppliers(folder / "theirs.spdx.json").items():
        plain = supplier.translate(str.maketrans("[]", "()"))  # "A B (C)" has no second name in SPDX
        assert suppliers[name].translate(str.maketrans("[]", "()")) == plain


def test_it_finds_our_packages_in_the_files_of_an_image(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.build("-o", "dir:rootfs", "-o", "oci:image")
    (world.project / "ours.spdx.json").write_bytes(world.run("sbom", "oci:image").stdout_bytes)
    compared(world.project)


@pytest.mark.mirror
def test_it_finds_our_packages_in_a_real_image(tmp_path: Path, shared_home: Path) -> None:
    recipe = real.recipe(tmp_path, ["python3", "ca-certificates"], "archs: [amd64]")
    real.must(shared_home, "build", recipe, "-o", "dir:rootfs", "-o", "oci:image", cwd=tmp_path)
    for name, form in (("spdx", "spdx"), ("cdx", "cyclonedx")):
        document = real.must(shared_home, "sbom", "oci:image", "--format", form, cwd=tmp_path)
        (tmp_path / f"ours.{name}.json").write_text(document)
    compared(tmp_path)
    listed = inventory.read_cyclonedx(tmp_path / "ours.cdx.json")
    assert listed == set(inventory.read_spdx(tmp_path / "ours.spdx.json").values())


@pytest.mark.parametrize(("kind", "form"), [("spdx", "spdx"), ("cdx", "cyclonedx")])
def test_it_reads_and_merges_our_documents(tmp_path: Path, kind: str, form: str) -> None:
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
    listed = merged["packages" if kind == "spdx" else "components"]
    assert [one["name"] for one in listed].count("libhello") >= 1
    debsbom(world.project, "delta", "-t", kind, "--distro-name", "New", "-o", "new", *names)
    extra = json.loads((world.project / f"new.{kind}.json").read_bytes())
    more = {one["name"] for one in extra["packages" if kind == "spdx" else "components"]}
    assert "libhello" not in more  # both images have the same packages
