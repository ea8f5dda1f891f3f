"""Errors of a build name the problem and its location, and their hints help."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.world import World

WHITEOUT = "a name that begins with '.wh.' deletes other files in an image layer"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.mark.parametrize(
    ("rule", "message", "hint"),
    [
        (
            "{text: x, to: /etc/hello.conf/x}",
            "cannot create /etc/hello.conf/x: /etc/hello.conf is not a directory",
            None,
        ),
        (
            "{text: x, to: /x, owner: webby}",
            "the image has no user 'webby'",
            "add it under 'users' in the recipe, or use nonroot, root or a number",
        ),
        (
            "{text: x, to: /usr/lib}",
            "cannot put a file at /usr/lib: it is a directory of base-files with something in it",
            "end 'to' with '/' to put it into the directory",
        ),
        (
            "{text: x, to: /etc/.wh.hello.conf}",
            f"cannot add '/etc/.wh.hello.conf' to the image: {WHITEOUT}",
            "use another name in 'to'",
        ),
    ],
)
def test_an_error_about_a_recipe_file_names_its_rule(
    world: World, rule: str, message: str, hint: str | None
) -> None:
    recipe = world.write(f"files:\n  - {rule}\n")
    line = recipe.read_text().splitlines().index(f"  - {rule}") + 1
    pumice_run = world.run("build", "recipe.yaml", "--progress", "none")
    assert pumice_run.code == 10
    lines = [f"error: recipe.yaml:{line}:5: {message}", *([f"  hint: {hint}"] if hint else [])]
    assert pumice_run.stderr.splitlines() == lines


def test_without_a_base_the_hint_is_not_to_use_a_name(world: World) -> None:
    world.write("base: none\nrun: {user: nonroot, command: [/x]}\n")
    pumice_run = world.run("build", "recipe.yaml", "--progress", "none")
    assert pumice_run.code == 10
    assert "use a number, such as 65532 for nonroot" in pumice_run.stderr


@pytest.mark.parametrize("option", ["--report", "--digest-file"])
def test_an_unwritable_output_file_is_rejected_before_the_build(world: World, option: str) -> None:
    for path, reason in ((".", "a directory exists"), ("none/r", "the parent directory does not exist")):
        pumice_run = world.run("build", "recipe.yaml", option, path)
        assert (pumice_run.code, reason in pumice_run.stderr) == (10, True), pumice_run.stderr
    assert not (world.project / "recipe.lock").exists()
