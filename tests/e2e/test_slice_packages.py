"""``pumice slice check --suite``, ``missing`` and ``diff``: slices against packages, recipes and releases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pumice.cli.main import main
from tests.support.deb import Deb, Item, symlink
from tests.support.objects import program
from tests.support.slices import release_file, write_release
from tests.support.world import BASE, World

TOOL = Deb(
    "tool",
    "2:1.0-3",
    fields={"Depends": "libtool"},
    files=[
        Item("usr/bin/tool", program(["libtool.so.1"]), mode=0o755),
        symlink("usr/bin/alias", "gone"),
    ],
)
LIBTOOL = Deb("libtool", files=[Item("usr/lib/libtool.so.1", program(interpreter=""), mode=0o644)])
DEFINITIONS = {
    "tool": "package: tool\nslices: {bins: {contents: {/usr/bin/tool: , /usr/bin/alias: , /usr/bin/no: }}}\n",
    "libtool": "package: libtool\nslices: {libs: {contents: {/usr/lib/libtool.so.1: }}}\n",
}
GOOD = "package: tool\nslices: {bins: {contents: {/usr/bin/tool: }, essential: [libtool_libs]}}\n"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    world = World(tmp_path, (*BASE, TOOL, LIBTOOL))
    monkeypatch.chdir(world.project)
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "store"))
    write_release(world.project / "release", DEFINITIONS)
    return world


def check(world: World, *arguments: str) -> int:
    mirror = f"file:{world.mirror}"
    options = ("--release", "./release", "--suite", "bookworm", "--mirror", mirror, "--arch", "amd64")
    return main(["slice", "check", *arguments, *options])


def test_all_problems_with_the_packages_of_a_suite_have_their_places(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert check(world) == 8
    error = capsys.readouterr().err
    for place, problem in (
        ("2:28", "/usr/bin/tool needs libtool.so.1, which no slice that it requires has"),
        ("2:45", "the link /usr/bin/alias leads to gone, which no slice has"),
        ("2:63", "tool=2:1.0-3 has no /usr/bin/no"),
    ):
        assert f"slices/tool.yaml:{place}: tool_bins: {problem}" in error
    assert "require libtool_libs" in error


def test_a_good_release_has_no_problems(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    write_release(world.project / "release", {"tool": GOOD})
    assert check(world) == 0
    assert "no problems" in capsys.readouterr().out
    assert check(world, "libtool_libs") == 0


def test_a_package_of_other_architectures_is_skipped_unless_it_is_required(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    other = "package: other\nslices: {data: {contents: {/x: }}}\n"
    for essential, code in (("", 0), ("other_data: {arch: arm64}", 0), ("other_data: ", 6)):
        needed = f"{{libtool_libs: , {essential}}}"
        tool = f"package: tool\nslices: {{bins: {{contents: {{/usr/bin/tool: }}, essential: {needed}}}}}\n"
        write_release(world.project / "release", {"tool": tool, "other": other}, release_file("v3"))
        assert check(world) == code
        error = capsys.readouterr().err
        assert "the archives of the release do not have other" in error
        assert ("for amd64, so they are not checked" in error) == (code == 0)
        assert check(world, "tool_bins") == code


def test_a_package_that_the_suite_does_not_have_is_named(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    write_release(
        world.project / "release", {"other": "package: other\nslices: {data: {contents: {/x: }}}\n"}
    )
    assert check(world, "other_data") != 0
    assert "do not have other" in capsys.readouterr().err


def test_missing_lists_what_is_taken_whole_with_its_size(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    write_release(world.project / "release", {"tool": GOOD})
    world.write("slices: {release: ./release}\n", packages="[tool]")
    assert main(["slice", "missing", "recipe.yaml", "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert [(item["package"], item["named"], item["slices"]) for item in whole] == [
        ("tool", True, ["bins"]),
        ("libtool", False, ["libs"]),
    ]
    assert all(item["files_size"] > 0 for item in whole)
    world.write("slices: {release: ./release}\n", packages="[tool_bins]")
    assert main(["slice", "missing", "recipe.yaml"]) == 0
    assert capsys.readouterr().out == "all packages are sliced\n"


def test_diff_prints_what_a_release_changes(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    write_release(
        world.project / "new",
        {"tool": GOOD.replace("libtool_libs", "extra_libs"), "extra": "package: extra\nslices: {libs: }\n"},
    )
    assert main(["slice", "diff", "./release", "./new"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        "+extra",
        "-libtool",
        "~tool_bins",
        "  +extra_libs",
        "  -/usr/bin/alias",
        "  -/usr/bin/no",
    ]
    assert main(["slice", "diff", "./new", "./new"]) == 0
