"""Slices in unusual archives and releases, and what dpkg and SBOMs say about them."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.support.archive import Suite, publish
from tests.support.deb import EPOCH, Deb, Item, folder, symlink, text
from tests.support.peers import need
from tests.support.slices import release_file, write_release
from tests.support.world import BASE, World

CAPABILITY = "security.capability"
NET_RAW = bytes.fromhex("0100000200200000000000000000000000000000")
"""The capability NET_RAW, permitted and effective (capabilities(7), struct vfs_cap_data)."""
TOOL = Deb(
    "tool",
    "1:2.0-beta-1-3",
    fields={"Description": "a tool"},
    files=[
        Item("usr/bin/tool", b"tool", mode=0o4755, mtime=EPOCH - 500),
        Item("usr/bin/capable", b"capable", mode=0o755, xattrs=((CAPABILITY, NET_RAW),)),
        folder("var/lib/tool", 0o2750, gid=42, group="shadow"),
        text("var/lib/tool/state", "x"),
        text("etc/tool.conf", "port = 1\n"),
        text("usr/share/tool/rest", "y" * 500),
        symlink("usr/bin/alias", "tool"),
        text("usr/share/doc/tool/copyright", "free\n"),
    ],
    conffiles=["/etc/tool.conf"],
)
ONLY_COPYRIGHT = Deb(
    "legal", files=[text("usr/share/doc/legal/copyright", "free\n"), text("usr/bin/legal", "")]
)
DEFINITIONS = {
    "tool": """\
package: tool
slices:
  bins: {contents: {/usr/bin/tool: , /usr/bin/alias: , /usr/bin/capable: }, essential: [legal_copyright]}
  manifest: {contents: {/var/lib/chisel/**: {generate: manifest}}}
  state: {contents: {/var/lib/tool/: , /var/lib/tool/state: , /etc/tool.conf: }}
""",
    "legal": "package: legal\nslices: {copyright: {contents: {/usr/share/doc/legal/copyright: }}}\n",
}
FORMAT = "${Package} ${Version} ${X-Pumice-Slices}\n"
PACKAGES = (*BASE, TOOL, ONLY_COPYRIGHT)


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path, PACKAGES)
    write_release(world.project / "release", DEFINITIONS)
    return world


def build(world: World, slices: str, packages: str = "[tool_bins, tool_state]") -> Path:
    world.write(f"slices: {slices}\n", packages=packages)
    directory = world.root / "root"
    subprocess.run(["rm", "-rf", directory], check=True)
    result = world.run("build", "recipe.yaml", "-o", f"dir:{directory}")
    assert result.code == 0, result.stderr
    return directory


def test_owners_modes_and_times_are_those_of_the_package(world: World) -> None:
    build(world, "{release: ./release}")
    listed = json.loads(world.run("files", "example.com/hello:1.0", "--json").stdout)
    files = {item["path"]: item for item in listed}
    assert files["/usr/bin/tool"]["mode"] == "4755"
    assert (files["/var/lib/tool"]["mode"], files["/var/lib/tool"]["gid"]) == ("2750", 42)
    root = world.root / "root"
    assert (root / "usr/bin/tool").stat().st_mtime == EPOCH - 500


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can set capabilities of files")
def test_extended_attributes_are_kept_in_images_and_directories(world: World) -> None:
    root = build(world, "{release: ./release}")
    assert os.getxattr(root / "usr/bin/capable", CAPABILITY) == NET_RAW
    mirror = f"file:{world.root}/mirror"
    options = ("--release", "./release", "--mirror", mirror)
    for _ in range(2):  # the second time, the directory is brought up to date
        result = world.run("cut", "--root", "cut", *options, "tool_bins", "tool_manifest")
        assert result.code == 0, result.stderr
        assert os.getxattr(world.project / "cut/usr/bin/capable", CAPABILITY) == NET_RAW
    assert os.listxattr(root / "usr/bin/tool") == []
    layout = world.root / "layout"
    assert world.run("build", "recipe.yaml", "-o", f"oci:{layout}").code == 0
    listed = json.loads(world.run("files", f"oci:{layout}", "--json").stdout)
    assert [file["path"] for file in listed if file["capabilities"]] == ["/usr/bin/capable"]


def test_dpkg_finds_no_fault_in_a_sliced_image(world: World) -> None:
    dpkg = need("dpkg")
    root = build(world, "{release: ./release}")
    for arguments in (("--audit",), ("--verify",)):
        result = subprocess.run(
            [dpkg, f"--root={root}", *arguments], capture_output=True, text=True, check=False
        )
        assert (result.stdout, result.returncode) == ("", 0), result.stderr
    shown = subprocess.run(
        [
            "dpkg-query",
            f"--admindir={root}/var/lib/dpkg",
            "-W",
            "-f",
            "${Package} ${Version} ${X-Pumice-Slices}\n",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "tool 1:2.0-beta-1-3 bins, state\n" in shown
    assert "legal" not in shown, "only its copyright is there"


def test_both_sboms_name_the_slices_and_list_only_the_files_that_are_there(world: World) -> None:
    build(world, "{release: ./release}")
    spdx = json.loads(world.run("sbom", "example.com/hello:1.0").stdout)
    package, *_ = [item for item in spdx["packages"] if item["name"] == "tool" and "summary" in item]
    assert package["summary"] == "a tool (partial: slices bins, state)"
    assert package["versionInfo"] == "1:2.0-beta-1-3"
    names = {item["fileName"] for item in spdx["files"]}
    assert {"./usr/bin/tool", "./var/lib/tool/state"} <= names
    assert "./usr/share/tool/rest" not in names
    cyclonedx = json.loads(world.run("sbom", "example.com/hello:1.0", "--format", "cyclonedx").stdout)
    descriptions = [item.get("description") for item in cyclonedx["components"] if item["name"] == "tool"]
    assert "a tool (partial: slices bins, state)" in descriptions


def test_an_index_with_only_sha512_works_in_recipes_and_in_cut(world: World) -> None:
    world.publish(PACKAGES, hashes=("SHA512",))
    assert (build(world, "{release: ./release}") / "usr/bin/tool").read_bytes() == b"tool"
    result = world.run(
        *("cut", "--root", "cut", "--release", "./release", "--mirror", f"file:{world.mirror}"),
        *("--arch", "amd64", "tool_bins"),
    )
    assert result.code == 0, result.stderr
    assert (world.project / "cut/usr/bin/tool").read_bytes() == b"tool"


def test_a_release_can_be_a_directory_an_archive_or_a_checkout(world: World) -> None:
    release = world.project / "release"
    archive = world.project / "release.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(release, "releases-branch")
    git = need("git")
    environment = {**os.environ, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
    commands = (
        ("init", "-q"),
        ("add", "."),
        ("-c", "user.name=x", "-c", "user.email=x@pumice.invalid", "commit", "-q", "-m", "x"),
        ("clone", "-q", ".", "../checkout"),
    )
    for command in commands:
        subprocess.run([git, *command], cwd=release, env=environment, check=True)
    roots = [
        sorted(str(path.relative_to(root)) for path in root.rglob("*"))
        for location in ("./release", "./release.tar.gz", "./checkout")
        for root in [build(world, f"{{release: {location}}}")]
    ]
    assert roots[0] == roots[1] == roots[2]
    assert "usr/bin/tool" in roots[0]


def test_several_overlays_are_layered_and_the_first_wins(world: World) -> None:
    for name, paths in (("first", "/usr/bin/tool: "), ("second", "/usr/share/tool/rest: ")):
        (world.project / name).mkdir()
        (world.project / name / "tool.yaml").write_text(
            f"package: tool\nslices: {{bins: {{contents: {{{paths}}}}}}}\n"
        )
    (world.project / "second/legal.yaml").write_text(
        "package: legal\nslices: {bins: {contents: {/usr/bin/legal: }}}\n"
    )
    root = build(world, "{release: ./release, overlay: [first, second]}", "[tool_bins, legal_bins]")
    assert (root / "usr/bin/tool").exists()
    assert (root / "usr/bin/legal").exists()
    assert not (root / "usr/share/tool").exists()


@pytest.mark.parametrize(("pin", "version"), [("", "1:2.0-beta-1-3"), ("archive: own\n", "1:1.0")])
def test_a_pinned_package_comes_from_the_archive_of_the_recipe_with_that_name(
    world: World, pin: str, version: str
) -> None:
    publish(world.root / "extra", Suite("extra", packages=[Deb("tool", "1:1.0", files=TOOL.files)]))
    entry = "{version: '1', suites: [bookworm], components: [main], public-keys: [test-key], priority: %s}"
    archives = f"archives:\n  debian: {entry % 10}\n  own: {entry % -5}\n"
    definitions = {**DEFINITIONS, "tool": pin + DEFINITIONS["tool"]}
    write_release(world.project / "release", definitions, release_file(archives=archives))
    path = world.write("slices: {release: ./release}\n", packages="[tool_bins]")
    own = f"  archives: [{{name: own, url: 'file://{world.root}/extra', suite: extra, key: key.asc}}]\narchs:"
    path.write_text(path.read_text().replace("archs:", own))
    result = world.run("lock", "recipe.yaml")
    assert result.code == 0, result.stderr
    lock = json.loads((world.project / "recipe.lock").read_text())
    assert [item["version"] for item in lock["packages"]["amd64"] if item["name"] == "tool"] == [version]
