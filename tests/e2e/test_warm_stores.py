"""The contents of a store never affect the images that are built with it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.deb import Deb, Item, symlink, text
from tests.support.docs import ROOT
from tests.support.golden_images import IMAGES, PACKAGES, sources
from tests.support.world import BASE, World

if TYPE_CHECKING:
    from collections.abc import Sequence

MANUALS = (
    Deb("npm", files=[symlink("usr/share/npm/man", "../man"), text("usr/share/man/man7/npm.7", "7")]),
    *(Deb(name, files=[text(f"usr/share/man/man1/{name}.1", name)]) for name in ("grep", "man-db", "sed")),
)


def layout(world: World, store: str, *arguments: str, **how: Any) -> tuple[str, dict[str, bytes]]:
    """Build into a layout; return the digest and all files of the layout, evidence included."""
    folder = world.project / f"out-{store}"
    digest = world.build("-o", f"oci:{folder}", *arguments, store=store, **how)
    return digest, {
        str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }


@pytest.mark.parametrize("lock_format", [1, 2])
def test_packages_that_share_the_target_of_a_link(tmp_path: Path, lock_format: int) -> None:
    world = World(tmp_path, [*BASE, *MANUALS])
    digests: dict[str, set[str]] = {}
    for order in (
        ["[npm]", "[npm, sed]", "[npm, sed, grep, man-db]"],
        ["[man-db]", "[npm, sed, grep, man-db]"],
    ):
        for packages in order:
            world.write(packages=packages)
            (world.project / "recipe.lock").unlink(missing_ok=True)
            world.run("lock", "recipe.yaml")
            _set_format(world, lock_format)
            names = {f"warm-{order[0]}", f"cold-{packages}-{order[0]}"}
            digests.setdefault(packages, set()).update(world.build("--locked", store=name) for name in names)
    assert {packages: len(image_digests) for packages, image_digests in digests.items()} == dict.fromkeys(
        digests, 1
    )


def _set_format(world: World, lock_format: int) -> None:
    lock = world.project / "recipe.lock"
    lock.write_bytes(re.sub(rb'"format": \d', b'"format": %d' % lock_format, lock.read_bytes()))


def _versions(script: str) -> Sequence[Deb]:
    """Return the distribution with a package whose versions differ only in a script and a field."""
    scripted = Deb(
        "scripted",
        version="1.0" if script == "one" else "1.1",
        fields={"Homepage": f"https://{script}.example/"},
        files=[text("usr/bin/scripted", "#!/bin/sh\n", 0o755), text("etc/scripted.conf", "x")],
        control_files={"postinst": f"#!/bin/sh\nmkdir -p /var/lib/{script}\n"},
    )
    return [*BASE, scripted]


def test_a_package_with_the_same_files_and_another_script_gets_another_image(tmp_path: Path) -> None:
    world = World(tmp_path, _versions("one"))
    world.write("files: [{text: mine, to: /etc/scripted.conf}]\n", "[scripted]")
    first = layout(world, "warm")
    world.publish(_versions("two"), date=1_800_000_000)
    world.run("lock", "recipe.yaml", "--upgrade")
    warm, cold = layout(world, "warm"), layout(world, "cold")
    assert warm[0] == cold[0] != first[0]
    assert warm[1] == cold[1]


def test_one_package_for_two_architectures_with_the_same_files(tmp_path: Path) -> None:
    packages = [
        Deb(**{**package.__dict__, "architecture": name})
        for name in ("amd64", "arm64")
        for package in (*BASE, Deb("scripts", files=[text("etc/scripts.conf", "x")]))
    ]
    world = World(tmp_path, packages)
    world.write("files: [{text: mine, to: /etc/scripts.conf}]\n", "[scripts]")
    recipe = world.project / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("archs: [amd64]", "archs: [amd64, arm64]"))
    world.build("--arch", "amd64", store="warm")
    assert layout(world, "warm", "--arch", "arm64") == layout(world, "cold", "--arch", "arm64")


def test_the_same_recipe_in_a_file_of_another_name(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.build(store="warm")
    for suffix in (".yaml", ".lock"):
        (world.project / f"recipe{suffix}").rename(world.project / f"other{suffix}")
    digests = []
    for store in ("warm", "cold"):
        out = world.project / store
        assert world.run("build", "other.yaml", "--locked", "-o", f"oci:{out}", store=store).code == 0
        digests.append({path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()})
    assert digests[0] == digests[1]


def test_a_package_that_moved_within_the_archive(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.build(store="warm")
    lock = world.project / "recipe.lock"
    (package,) = world.mirror.rglob("hello_*.deb")
    new_path = package.parent.parent / "moved" / package.name
    new_path.parent.mkdir()
    package.rename(new_path)
    path = f"pool/main/h/hello/{package.name}".encode()
    assert path in lock.read_bytes()
    lock.write_bytes(lock.read_bytes().replace(path, f"pool/main/h/moved/{package.name}".encode()))
    assert layout(world, "warm", "--locked") == layout(world, "cold", "--locked")


@pytest.mark.parametrize("name", ["all", "files-and-users", "links-packages", "essential"])
def test_hash_seeds_and_directory_names_do_not_change_an_image(tmp_path: Path, name: str) -> None:
    world = World(tmp_path, PACKAGES)
    sources(world.project)
    world.write(IMAGES[name].extra, IMAGES[name].packages)
    layouts = [layout(world, seed, environment={"PYTHONHASHSEED": seed}) for seed in ("0", "1", "77")]
    assert layouts[0] == layouts[1] == layouts[2]


class Checkout:
    """A copy of the code that a test may edit."""

    def __init__(self, root: Path) -> None:
        self.package = (
            Path(copytree(ROOT / "src", root / "src", ignore=ignore_patterns("__pycache__"))) / "pumice"
        )
        self.environment = {"PYTHONPATH": str(self.package.parent), "PYTHONDONTWRITEBYTECODE": "1"}

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.package / path
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new))


def test_an_edited_effect_gives_the_new_image_from_a_warm_store(tmp_path: Path) -> None:
    world, checkout = World(tmp_path / "world"), Checkout(tmp_path)
    how: dict[str, Any] = {"environment": checkout.environment}
    first = world.build(store="warm", **how)
    checkout.edit("packing/effects/users.py", 'comment="nonroot"', 'comment="edited"')
    warm = world.build(store="warm", **how)
    assert warm == world.build(store="cold", **how) != first


def test_an_edited_cut_gives_the_new_image_from_a_warm_store(tmp_path: Path) -> None:
    world, checkout = World(tmp_path / "world"), Checkout(tmp_path)
    how: dict[str, Any] = {"environment": checkout.environment}
    first = world.build(store="warm", **how)
    checkout.edit("packing/selection.py", '"docs": (', '"docs": ("usr/lib/hello/", ')
    warm = world.build(store="warm", **how)
    assert warm == world.build(store="cold", **how) != first


def test_a_new_version_of_pumice_cuts_no_package_again(tmp_path: Path) -> None:
    world, checkout = World(tmp_path / "world"), Checkout(tmp_path)
    how: dict[str, Any] = {"environment": checkout.environment}
    first = world.build(**how)
    cached_segments = sorted((world.root / "store/records/segment").iterdir())
    version_module = (checkout.package / "version.py").read_text()
    checkout.edit("version.py", version_module, re.sub(r'"\d+[^"]*"', '"99.0"', version_module))
    for path in ("cli/build.py", "assembly/pipeline.py", "packing/effects/system.py"):
        with (checkout.package / path).open("a") as file:
            file.write("# released\n")
    for folder in ("pool", "dists"):
        (world.mirror / folder).rename(world.mirror / f"{folder}-away")  # nothing can be fetched
    assert world.build("--locked", "--offline", **how) == first
    assert sorted((world.root / "store/records/segment").iterdir()) == cached_segments


def test_reports_of_warm_and_cold_builds_are_equal(tmp_path: Path) -> None:
    world = World(tmp_path, PACKAGES)
    world.write(packages="[daemon]")
    reports = []
    for number in range(3):
        world.build("--report", f"report-{number}", store="warm" if number < 2 else "cold")
        reports.append(json.loads((world.project / f"report-{number}").read_bytes()))
    assert [json.dumps(report) for report in reports] == [json.dumps(reports[0])] * 3


def test_large_files_do_not_depend_on_the_path_of_the_store(tmp_path: Path) -> None:
    large = Deb("large", files=[Item("usr/lib/large", bytes(range(256)) * 9000)])
    world = World(tmp_path, [*BASE, large])
    world.write(packages="[large]")
    assert layout(world, "a") == layout(world, "some-other-folder")
