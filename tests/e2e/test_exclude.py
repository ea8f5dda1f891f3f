"""``exclude``: images without some paths of their packages."""

from __future__ import annotations

import json
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from tests.support.deb import Deb, Item, folder, hardlink, symlink, text
from tests.support.objects import program
from tests.support.peers import need
from tests.support.world import BASE, World

if TYPE_CHECKING:
    from pathlib import Path

TOOL = Deb(
    "tool",
    "1.0-1",
    files=[
        text("usr/bin/tool", "#!/usr/bin/interpreter\n", 0o755),
        text("usr/bin/interpreter", "binary", 0o755),
        text("usr/lib/tool/plugins/a.so", "a"),
        text("usr/lib/tool/plugins/b.so", "bb"),
        hardlink("usr/lib/tool/plugins/b-again.so", "usr/lib/tool/plugins/b.so"),
        folder("usr/lib/tool/plugins/empty"),
        text("usr/lib/tool/core", "core"),
        symlink("usr/lib/tool/default", "plugins/a.so"),
        folder("var/lib/tool", 0o750),
        text("var/lib/tool/example", "example"),
        text("lib/tool/data", "data"),
        text("etc/tool/tool.conf", "x"),
        text("etc/tool/extra.conf", "y"),
        text("usr/share/locale/de/LC_MESSAGES/tool.mo", "mo"),
        text("usr/share/doc/tool/copyright", "MIT"),
    ],
    conffiles=["/etc/tool/tool.conf", "/etc/tool/extra.conf"],
    control_files={"postinst": "#!/bin/sh\nchown root /var/lib/tool\n"},
)
OTHER = Deb("other", files=[text("usr/lib/other/data", "data"), text("usr/share/doc/other/copyright", "MIT")])


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path, [*BASE, TOOL, OTHER])


def build(world: World, exclude: str, extra: str = "") -> dict[str, str]:
    """Return the regular files of the built image with their content; links and directories with ``""``."""
    world.write(f"exclude:\n{exclude}{extra}" if exclude else extra, "[tool, other]")
    world.build("-o", "tar:root.tar", "--report", "report.json")
    files = {}
    with tarfile.open(world.project / "root.tar") as archive:
        for member in archive:
            content = archive.extractfile(member) if member.isreg() else None
            files[member.name.removeprefix("./")] = content.read().decode() if content else ""
    return files


def report(world: World) -> list[dict[str, object]]:
    document = json.loads((world.project / "report.json").read_bytes())
    excluded: list[dict[str, object]] = document["platforms"]["amd64"]["excluded"]
    return excluded


def warnings(world: World) -> list[str]:
    lines = world.run("build", "recipe.yaml").stderr.splitlines()
    return [line.partition(": ")[2] for line in lines if "[exclude]" in line]


def test_matching_paths_are_left_out_and_reported(world: World) -> None:
    complete = build(world, "")
    files = build(world, "  - /usr/lib/tool/plugins/\n  - extra.conf\n")
    assert sorted(complete.keys() - files.keys()) == [
        *("etc/tool/extra.conf", "usr/lib/tool/plugins"),
        *(f"usr/lib/tool/plugins/{name}" for name in ("a.so", "b-again.so", "b.so", "empty")),
    ]
    assert report(world) == [
        {"pattern": "/usr/lib/tool/plugins/", "package": "tool", "files": 3, "size": 3},
        {"pattern": "extra.conf", "package": "tool", "files": 1, "size": 1},
    ]


def test_the_database_of_dpkg_lists_only_what_is_there(world: World) -> None:
    files = build(
        world, "  - /usr/lib/tool/plugins/\n  - extra.conf\n  - /lib/tool/\n  - /usr/lib/tool/data\n"
    )
    listed = files["var/lib/dpkg/info/tool.list"].splitlines()
    assert "/lib/tool/data" not in listed
    assert not [path for path in listed if "plugins" in path or "extra" in path]
    assert "/usr/lib/tool/core" in listed
    assert "plugins" not in files["var/lib/dpkg/info/tool.md5sums"]
    assert "usr/lib/tool/core" in files["var/lib/dpkg/info/tool.md5sums"]
    assert files["var/lib/dpkg/info/tool.conffiles"] == "/etc/tool/tool.conf\n"
    assert "/etc/tool/tool.conf " in files["var/lib/dpkg/status"]
    assert "extra.conf" not in files["var/lib/dpkg/status"]
    assert "Package: tool\nStatus: install ok installed\n" in files["var/lib/dpkg/status"]


def test_a_package_without_configuration_files_has_no_list_of_them(world: World) -> None:
    files = build(world, "  - /etc/tool/\n")
    assert "var/lib/dpkg/info/tool.conffiles" not in files
    assert "Conffiles:" not in files["var/lib/dpkg/status"]


@pytest.mark.peer("dpkg")
def test_dpkg_finds_nothing_missing(world: World, tmp_path: Path) -> None:
    build(
        world,
        "  - plugins\n  - /etc/tool/\n  - {package: tool, paths: [/lib/, /usr/lib/tool/data]}\n",
        "include: [locales]\n",
    )
    root = tmp_path / "root"
    with tarfile.open(world.project / "root.tar") as archive:
        archive.extractall(root, filter="tar")
    for option in ("--audit", "--verify"):
        ran = subprocess.run(
            [need("dpkg"), f"--root={root}", option], capture_output=True, text=True, check=False
        )
        assert (ran.stdout, ran.stderr) == ("", "")
    query = [need("dpkg-query"), f"--admindir={root / 'var/lib/dpkg'}", "--show", "--showformat"]
    form = "${binary:Package}: ${X-Pumice-Excluded}, ${binary:Summary}\n"
    lines = subprocess.run([*query, form], capture_output=True, text=True, check=True).stdout.splitlines()
    (partial,) = [line for line in lines if line.startswith("tool:")]
    assert partial == "tool: 6 files, synthetic package tool (partial: 6 files excluded)"
    assert not [line for line in lines if "partial" in line and line != partial]


def test_a_hard_link_to_an_excluded_file_keeps_its_content(world: World) -> None:
    files = build(world, "  - /usr/lib/tool/plugins/b.so\n")
    assert files["usr/lib/tool/plugins/b-again.so"] == "bb"


def test_the_last_matching_pattern_decides(world: World) -> None:
    files = build(world, "  - /usr/lib/tool/plugins/*\n  - '!/usr/lib/tool/plugins/a.so'\n")
    assert sorted(path for path in files if "plugins/" in path) == ["usr/lib/tool/plugins/a.so"]


def test_patterns_of_one_package_leave_others_alone(world: World) -> None:
    files = build(world, "  - package: other\n    paths: [data, /usr/lib/tool/core]\n")
    assert "usr/lib/other/data" not in files
    assert "usr/lib/other" not in files
    assert {"usr/lib/tool/core", "usr/lib/tool/data"} <= files.keys()


def test_a_directory_that_a_package_script_uses_stays_when_it_is_empty(world: World) -> None:
    files = build(world, "  - /var/lib/tool/example\n  - /usr/lib/other/data\n")
    assert "var/lib/tool" in files
    assert "var/lib/tool/example" not in files
    assert "usr/lib/other" not in files


def test_included_trees_and_copyright_files_stay(world: World) -> None:
    files = build(world, "  - '*.mo'\n  - /usr/share/doc/\n  - /var/lib/dpkg/\n", "include: [locales]\n")
    assert "usr/share/locale/de/LC_MESSAGES/tool.mo" in files
    assert "usr/share/doc/tool/copyright" in files
    assert "var/lib/dpkg/info/tool.list" in files


def test_an_extending_recipe_inherits_and_adds_patterns(world: World) -> None:
    world.write("exclude: [/usr/lib/tool/plugins/]\n", "[tool, other]", name="base.yaml")
    (world.project / "recipe.yaml").write_text("extend: base.yaml\nexclude: [/usr/lib/other/]\n")
    shown = world.run("show", "recipe.yaml").stdout
    assert (
        "exclude:\n  - /usr/lib/tool/plugins/  # base.yaml:10:11\n  - /usr/lib/other/  # recipe.yaml:2:11"
        in (shown)
    )
    world.build("--report", "report.json")
    assert [use["package"] for use in report(world)] == ["other", "tool"]


def test_a_pattern_that_matches_nothing_is_a_finding(world: World) -> None:
    build(world, "  - /usr/lib/gone\n  - tool-doc\n  - package: other\n    paths: [/usr/bin/, data]\n")
    for _ in range(2):  # the second build takes the image and its findings from the cache
        assert [line.partition(" [exclude]; ")[::2] for line in warnings(world)] == [
            (
                "recipe.yaml:11:5: the pattern '/usr/lib/gone' matches no file",
                "see the paths with 'pumice files'",
            ),
            (
                "recipe.yaml:12:5: the pattern 'tool-doc' matches no file",
                "to exclude the package, write '-tool-doc' under 'packages'",
            ),
            (
                "recipe.yaml:14:13: the pattern '/usr/bin/' matches no file of other",
                "see the paths with 'pumice files'",
            ),
        ]
    assert "matches no file" not in world.run("check", "example.com/hello:1.0").stdout


def test_an_excluded_path_that_a_file_needs_is_a_finding(world: World) -> None:
    build(world, "  - /usr/bin/interpreter\n  - /usr/lib/tool/plugins/a.so\n")
    assert [line.partition(" [exclude]; ")[0] for line in warnings(world)] == [
        "recipe.yaml:11:5: /usr/bin/interpreter is excluded, but needed by /usr/bin/tool",
        "recipe.yaml:12:5: /usr/lib/tool/plugins/a.so is excluded, but needed by /usr/lib/tool/default",
    ]
    rules = "[{check: exclude, reason: not used}]"
    build(world, "  - /usr/bin/interpreter\n", f"checks: {{ignore: {rules}}}\n")
    assert warnings(world) == []


@pytest.mark.parametrize("pattern", ["/usr/bin/interpreter", "tool", "/usr/bin/"])
def test_what_the_command_needs_cannot_be_excluded(world: World, pattern: str) -> None:
    world.write(f"exclude:\n  - {pattern}\nrun: {{command: [/bin/tool]}}\n", "[tool]")
    ran = world.run("build", "recipe.yaml")
    assert ran.code == 10
    path, user = (
        ("interpreter", "/usr/bin/tool") if pattern.endswith("interpreter") else ("tool", "run.command")
    )
    assert ran.stderr.splitlines()[-2:] == [
        f"error: recipe.yaml:11:5: cannot exclude /usr/bin/{path}: {user} needs it",
        f"  hint: change the pattern '{pattern}' so that it does not match it",
    ]


def test_a_library_that_the_command_needs_cannot_be_excluded(tmp_path: Path) -> None:
    library = program(interpreter="", soname="libx.so.1")
    app = Deb(
        "app",
        files=[
            Item("usr/bin/app", program(["libx.so.1"], interpreter=""), mode=0o755),
            Item("usr/lib/libx.so.1.2", library),
            symlink("usr/lib/libx.so.1", "libx.so.1.2"),
        ],
    )
    world = World(tmp_path, [*BASE, app])
    for pattern in ("libx.so.*", "/usr/lib/libx.so.1"):
        world.write(f"exclude: ['{pattern}']\nrun: {{command: [/usr/bin/app]}}\n", "[app]")
        ran = world.run("build", "recipe.yaml")
        assert "recipe.yaml:10:11: cannot exclude /usr/lib/libx.so.1: /usr/bin/app needs it" in ran.stderr
    world.write("exclude: ['libx.so.*']\n", "[app]")
    assert "/usr/lib/libx.so.1 is excluded, but needed by /usr/bin/app" in warnings(world)[0]


def test_packages_that_no_pattern_concerns_are_not_cut_again(world: World) -> None:
    build(world, "")
    world.write("exclude: [/usr/lib/other/]\n", "[tool, other]")
    ran = world.run("build", "recipe.yaml", "--offline")
    assert ran.code == 0
    assert "cutting" not in ran.stderr, "the excluded segment is made from the cached one"


def test_equal_recipes_give_equal_images_from_empty_and_filled_stores(world: World) -> None:
    build(world, "")
    build(world, "  - /usr/lib/tool/plugins/\n")
    warm = world.build()
    assert world.build(store="other-store") == warm
    build(world, "  - /usr/lib/tool/plugins/**\n  - /usr/lib/tool/plugins\n")
    assert world.build() == warm, "what matters is which paths are excluded"


def test_sboms_list_what_is_there_and_provenance_has_the_patterns(world: World) -> None:
    build(world, "  - /usr/lib/tool/plugins/\n")
    world.build("-o", "oci:layout")
    documents = [
        json.loads(path.read_bytes())
        for path in (world.project / "layout/blobs/sha256").iterdir()
        if path.read_bytes()[:1] == b"{"
    ]
    (provenance,) = [item for item in documents if "slsa" in str(item.get("predicateType"))]
    parameters = provenance["predicate"]["buildDefinition"]["externalParameters"]
    assert parameters["effectiveRecipe"]["exclude"] == [{"paths": ["/usr/lib/tool/plugins/"]}]
    sboms = [str(item) for item in documents if "spdx" in str(item.get("predicateType", item)).lower()]
    assert any("/usr/lib/tool/core" in sbom for sbom in sboms)
    assert not any("plugins/a.so" in sbom for sbom in sboms)
