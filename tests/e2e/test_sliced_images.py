"""Images with slices of packages: the recipe, the lock, the files, and dpkg's record."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.archive import EPOCH, Deb, Item, hardlink, symlink, text
from tests.support.slices import write_release
from tests.support.world import PACKAGES, World

TOOL = Deb(
    "tool",
    "2.0",
    fields={"Depends": "huge", "Description": "a tool\n with a long text"},
    files=[
        Item("usr/bin/tool", b"tool", mode=0o4755),
        hardlink("usr/bin/tool2", "usr/bin/tool"),
        Item("lib/libtool.so.1", b"library", mtime=EPOCH - 86400),
        symlink("usr/bin/link", "tool"),
        text("etc/tool.conf", "port = 1\n"),
        text("etc/other.conf", "other\n"),
        text("usr/share/tool/a.txt", "A"),
        text("usr/share/tool/b.txt", "B"),
        text("usr/share/doc/tool/copyright", "free\n"),
        text("usr/share/man/man1/tool.1", "manual"),
    ],
    conffiles=["/etc/tool.conf", "/etc/other.conf"],
)
HUGE = Deb("huge", files=[text("usr/share/huge", "x" * 1000)])
EXTRA = Deb("extra", files=[text("usr/bin/extra", "extra"), text("usr/share/doc/extra/copyright", "free\n")])
DEFINITIONS = {
    "tool": """\
package: tool
essential: [tool_copyright]
slices:
  bins:
    essential: [tool_libs, extra_copyright]
    contents: {/usr/bin/tool2: , /usr/bin/link: , /opt/tool: {copy: /usr/bin/tool}}
  libs:
    contents: {"/lib/libtool.so.*": }
  config:
    contents:
      /etc/tool.conf:
      /etc/all.txt: {text: "", mode: 0600, mutable: true}
      /usr/share/tool/*.txt: {until: mutate}
    mutate: |
      names = content.list("/usr/share/tool")
      content.write("/etc/all.txt", ",".join([content.read("/usr/share/tool/" + name) for name in names]))
  manual:
    contents: {/usr/share/man/man1/tool.1: }
  manifest:
    contents: {/var/lib/chisel/**: {generate: manifest}}
  copyright:
    contents: {/usr/share/doc/tool/copyright: }
""",
    "extra": "package: extra\nslices: {copyright: {contents: {/usr/share/doc/extra/copyright: }}}\n",
}
SLICES = "slices: {release: ./release}\n"


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path, (*PACKAGES, TOOL, HUGE, EXTRA))
    write_release(world.project / "release", DEFINITIONS)
    return world


def build(world: World, packages: str, extra: str = SLICES) -> Path:
    """Build a recipe and return the directory with its root file system."""
    world.write(extra, packages=packages)
    directory = world.root / "root"
    subprocess.run(["rm", "-rf", directory], check=True)
    result = world.run("build", "recipe.yaml", "-o", f"dir:{directory}", "--no-store")
    assert result.code == 0, result.stderr
    return directory


def names(root: Path) -> set[str]:
    """Return the paths of the files of the tool."""
    paths = {
        str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir() or path.is_symlink()
    }
    return {path for path in paths if not path.startswith(("var/lib/dpkg", "usr/share/base", "usr/lib/os"))}


def stanza(root: Path, package: str) -> dict[str, str]:
    for paragraph in (root / "var/lib/dpkg/status").read_text().split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in paragraph.splitlines() if ": " in line and line[0] != " "
        )
        if fields.get("Package") == package:
            return fields
    return {}


def test_an_image_has_only_what_its_slices_list(world: World) -> None:
    root = build(world, "[tool_bins, tool_config]")
    assert {
        "usr/bin/tool2",
        "usr/bin/link",
        "usr/lib/libtool.so.1",
        "opt/tool",
        "etc/tool.conf",
        "etc/all.txt",
        "usr/share/doc/tool/copyright",
        "usr/share/doc/extra/copyright",
    } <= names(root)
    assert not {
        "usr/bin/tool",
        "etc/other.conf",
        "usr/share/huge",
        "usr/bin/extra",
        "usr/share/tool/a.txt",
    } & names(root)
    assert (root / "etc/all.txt").read_text() == "A,B"
    assert (root / "etc/all.txt").stat().st_mode & 0o7777 == 0o600
    assert (root / "usr/bin/tool2").read_bytes() == (root / "opt/tool").read_bytes() == b"tool"
    assert (root / "usr/lib/libtool.so.1").stat().st_mtime == EPOCH - 86400
    if os.geteuid() == 0:
        assert (root / "usr/bin/tool2").stat().st_mode & 0o7777 == 0o4755


def test_dpkg_has_a_true_record(world: World) -> None:
    root = build(world, "[tool_bins, tool_config]")
    fields = stanza(root, "tool")
    assert fields["Status"] == "install ok installed"
    assert fields["X-Pumice-Slices"] == "bins, config, copyright, libs"
    assert fields["Description"] == "a tool (partial: slices bins, config, copyright, libs)"
    assert stanza(root, "extra") == {}, "only its copyright is there"
    info = root / "var/lib/dpkg/info"
    assert not list(info.glob("extra.*"))
    listed = (info / "tool.list").read_text().splitlines()
    assert "/lib/libtool.so.1" in listed
    assert not {"/usr/bin/tool", "/etc/other.conf", "/usr/share/tool", "/usr/share/tool/a.txt"} & set(listed)
    assert (info / "tool.conffiles").read_text().split() == ["/etc/tool.conf"]
    for path in listed:
        assert os.path.lexists(root / path.lstrip("/")), path


def test_the_lock_pins_the_release_and_the_packages(world: World) -> None:
    build(world, "[tool_bins]")
    lock = json.loads((world.project / "recipe.lock").read_text())
    roles = {package["name"]: package.get("role", "package") for package in lock["packages"]["amd64"]}
    assert (roles["tool"], roles["extra"]) == ("slice", "slice")
    assert "huge" not in roles
    assert lock["slices"].startswith("sha256:")
    assert world.run("build", "recipe.yaml", "--locked").code == 0
    changed = {**DEFINITIONS, "tool": DEFINITIONS["tool"].replace("/usr/bin/link: , ", "")}
    write_release(world.project / "release", changed)
    result = world.run("build", "recipe.yaml", "--locked")
    assert (result.code, "the definitions of slices changed" in result.stderr) == (4, True)
    assert "usr/bin/link" not in names(build(world, "[tool_bins]"))


def test_the_same_image_comes_from_an_empty_store(world: World) -> None:
    world.write(SLICES, packages="[tool_bins, tool_config, tool_manifest]")
    digest = world.build()
    assert world.build() == digest
    assert world.build(store="another") == digest


def test_a_security_update_changes_only_the_layer_of_its_package(world: World) -> None:
    # What slices copy to another path, or write with a script, belongs to the package too.
    world.write(f"{SLICES}layers: packages\n", packages="[hello, extra, tool_bins, tool_config]")
    assert world.run("build", "recipe.yaml", "-o", "oci:before").code == 0
    lock = (world.project / "recipe.lock").read_text()
    fixed_files = {
        item.path: item
        for item in (
            Item("lib/libtool.so.1", b"library without the mistake"),
            Item("usr/bin/tool", b"tool without the mistake", mode=0o4755),
            text("usr/share/tool/a.txt", "A without the mistake"),
        )
    }
    files = [fixed_files.get(item.path, item) for item in TOOL.files]
    fixed = dataclasses.replace(TOOL, version="2.0+deb1", files=files)
    world.publish((*PACKAGES, fixed, HUGE, EXTRA))
    assert world.run("build", "recipe.yaml", "--locked", "-o", "oci:locked").code == 0
    checked = world.run("lock", "recipe.yaml", "--check")
    assert "2.0+deb1" in checked.stdout
    assert world.run("lock", "recipe.yaml", "--upgrade").code == 0
    changed = set((world.project / "recipe.lock").read_text().splitlines()) - set(lock.splitlines())
    assert [line for line in changed if '"name"' in line and '"tool"' not in line] == []
    assert world.run("build", "recipe.yaml", "-o", "oci:after").code == 0
    before, after = (layers(world, name) for name in ("before", "after"))
    assert len(before) == len(after)
    different = [index for index, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1]]
    assert len(different) == 2  # that of the package, and that of dpkg's records
    names_of_layers = json.loads(world.run("inspect", "oci:after", "--json").stdout)["platforms"][0]["layers"]
    assert [names_of_layers[index]["comment"] for index in different] == [
        "pumice: tool=2.0+deb1",
        "pumice: state",
    ]
    owners = {
        item["path"]: item["package"]
        for item in json.loads(world.run("files", "oci:after", "--json").stdout)
        if item["path"] in ("/opt/tool", "/etc/all.txt", "/usr/bin/tool2")
    }
    assert set(owners.values()) == {"tool"}, owners


def test_what_a_recipe_excludes_of_its_slices_is_left_out(world: World) -> None:
    root = build(world, "[tool_bins]", f"{SLICES}exclude: [/usr/bin/link, /opt]\n")
    assert "usr/bin/tool2" in names(root)
    assert not {"usr/bin/link", "opt/tool"} & names(root)
    assert "/usr/bin/link" not in (root / "var/lib/dpkg/info/tool.list").read_text().splitlines()


def test_a_copy_in_place_of_a_file_of_another_package_replaces_it(world: World) -> None:
    copy = "package: tool\nslices: {bins: {contents: {/usr/share/huge: {copy: /usr/bin/tool}}}}\n"
    write_release(world.project / "release", {"tool": copy})
    assert (build(world, "[huge, tool_bins]") / "usr/share/huge").read_bytes() == b"tool"


def test_an_update_without_a_path_of_a_slice_names_the_definition(world: World) -> None:
    build(world, "[tool_bins]")
    files = [item for item in TOOL.files if item.path != "usr/bin/link"]
    world.publish((*PACKAGES, dataclasses.replace(TOOL, version="2.1", files=files), HUGE, EXTRA))
    assert world.run("lock", "recipe.yaml", "--upgrade").code == 0
    result = world.run("build", "recipe.yaml")
    assert result.code == 8
    assert "slices/tool.yaml:6:34: tool_bins: tool=2.1 has no /usr/bin/link" in result.stderr


def layers(world: World, layout: str) -> list[str]:
    document = json.loads(world.run("inspect", f"oci:{layout}", "--json").stdout)
    return [layer["digest"] for layer in document["platforms"][0]["layers"]]


def test_whole_packages_and_slices_are_in_one_list(world: World) -> None:
    root = build(world, "[hello, tool, tool_config]")
    assert {"usr/bin/tool", "etc/all.txt", "usr/share/huge", "usr/share/tool/a.txt"} <= names(root)
    assert "X-Pumice-Slices" not in stanza(root, "tool"), "the whole package is there"
    root = build(world, "[hello, extra, tool_bins]")
    assert {"usr/bin/extra", "usr/bin/tool2"} <= names(root)
    assert stanza(root, "extra")["Status"] == "install ok installed"


def test_a_slice_can_have_what_images_go_without(world: World) -> None:
    assert "usr/share/man/man1/tool.1" in names(build(world, "[tool_manual]"))


def test_an_overlay_replaces_a_definition(world: World) -> None:
    overlay = world.project / "mine"
    overlay.mkdir()
    (overlay / "tool.yaml").write_text(
        "package: tool\nslices: {bins: {contents: {/usr/bin/tool: }}, extra: {contents: {/etc/other.conf: }}}\n"
    )
    root = build(world, "[tool_extra, tool_bins]", "slices: {release: ./release, overlay: [mine]}\n")
    assert {"usr/bin/tool", "etc/other.conf"} <= names(root)
    assert "usr/lib/libtool.so.1" not in names(root)


def test_an_extending_recipe_inherits_slices(world: World) -> None:
    (world.project / "base").mkdir()
    (world.project / "release").rename(world.project / "base" / "release")
    base = world.write(SLICES, packages="[tool_libs]")
    base.rename(world.project / "base" / "base.yaml")
    (world.project / "base" / "key.asc").write_bytes((world.project / "key.asc").read_bytes())
    (world.project / "recipe.yaml").write_text("extend: base/base.yaml\npackages: [tool_config]\n")
    shown = world.run("show", "recipe.yaml").stdout
    assert "- tool_libs" in shown
    assert "- tool_config" in shown
    assert world.run("build", "recipe.yaml").code == 0


@pytest.mark.parametrize(
    ("packages", "extra", "code", "message"),
    [
        ("[tool_binz]", SLICES, 2, "did you mean tool_bins?"),
        ("[tol_bins]", SLICES, 2, "the slice 'tol_bins' does not exist"),
        ("[tool_bins, tool_bins]", SLICES, 3, "'tool_bins' is listed twice in 'packages'"),
        ("[tool_bins]", "slices: {release: ./gone}\n", 9, "the release does not exist"),
        ("[tool_bins]", "slices: {release: nosuch}\n", 2, "there is no release 'nosuch'"),
        ("[tool_bins]", "slices: {releases: ./release}\n", 3, "did you mean 'release'?"),
        ("[tool_Bins]", SLICES, 3, "'tool_Bins' is not a package"),
        ("['-tool_bins']", SLICES, 3, "'-tool_bins' is not a package"),
    ],
)
def test_mistakes_are_explained(world: World, packages: str, extra: str, code: int, message: str) -> None:
    world.write(extra, packages=packages)
    result = world.run("build", "recipe.yaml")
    assert (result.code, message in result.stderr) == (code, True), result.stderr


def test_conflicts_of_the_release_stop_the_build(world: World) -> None:
    bad = "package: extra\nslices: {bins: {contents: {/usr/bin/*: }}}\n"
    write_release(world.project / "release", {**DEFINITIONS, "extra": bad})
    world.write(SLICES, packages="[tool_libs]")
    result = world.run("build", "recipe.yaml")
    assert result.code == 8
    assert "release/slices/extra.yaml:2:28: slices extra_bins and tool_bins conflict on" in result.stderr


def test_the_sbom_lists_the_files_that_are_there(world: World) -> None:
    world.write(SLICES, packages="[tool_bins]")
    world.build()
    document = json.loads(world.run("sbom", "example.com/hello:1.0").stdout)
    files = {file["fileName"] for file in document["files"]}
    assert "./usr/bin/tool2" in files
    assert "./usr/bin/tool" not in files


def explain(world: World, name: str, *options: str) -> str:
    result = world.run("explain", "recipe.yaml", name, *options)
    assert result.code == 0, result.stderr
    return result.stdout


def test_a_slice_is_explained_by_the_chain_from_the_recipe(world: World) -> None:
    world.write(SLICES, packages="[hello, tool_bins]")
    assert explain(world, "tool_libs").splitlines() == [
        "tool_libs",
        "  tool_bins: the recipe selects it (recipe.yaml:9:19)",
        "  tool_libs: tool_bins requires it (slices/tool.yaml:5:17)",
    ]
    assert "it is not in the image" in explain(world, "tool_config")
    assert "did you mean tool_libs" in world.run("explain", "recipe.yaml", "tool_lib").stderr


def test_a_path_is_explained_by_the_slices_that_list_it(world: World) -> None:
    world.write(SLICES, packages="[tool_bins, tool_manifest]")
    lines = explain(world, "/usr/lib/libtool.so.1").splitlines()
    assert lines[1] == "  tool_libs lists it as /lib/libtool.so.* (slices/tool.yaml:8:16)"
    assert "tool_manifest lists it" in explain(world, "/var/lib/chisel/manifest.wall")
    found = json.loads(explain(world, "/opt/tool", "--json"))
    assert [(item["slice"], item["presence"], item["rule"]) for item in found] == [
        ("tool_bins", "selected", "/opt/tool")
    ]
    missing = world.run("explain", "recipe.yaml", "/etc/tool.conf")
    assert (missing.code, "no slice of the recipe lists" in missing.stderr) == (1, True)


def test_a_sliced_package_is_explained_by_its_slices(world: World) -> None:
    world.write(SLICES, packages="[tool_libs]")
    assert explain(world, "tool").splitlines() == [
        "tool_copyright",
        "  tool_libs: the recipe selects it (recipe.yaml:9:12)",
        "  tool_copyright: tool_libs requires it (slices/tool.yaml:2:13)",
        "tool_libs",
        "  tool_libs: the recipe selects it (recipe.yaml:9:12)",
    ]
    assert explain(world, "tool", "--format", "{{.Slice}}") == "tool_copyright\ntool_libs"
