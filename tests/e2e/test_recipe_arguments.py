"""``--arg`` of the commands that load a recipe."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pumice.recipe.lock_reader import read_lock
from tests.support.evidence import attached_documents
from tests.support.world import World

ARGUMENTS = """\
args: {GREETING: hello, PACKAGE: }
files:
  - {to: /etc/greeting, text: "echo ${GREETING} ${HOME} $${GREETING}"}
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.write(ARGUMENTS, packages='["${PACKAGE}"]')
    return world


def test_build_replaces_arguments_and_records_them(world: World, tmp_path: Path) -> None:
    digest = world.build("--arg", "PACKAGE=hello", "--arg", "GREETING=good=day", "-o", "oci:out")
    assert read_lock(world.project / "recipe.lock").args == {"PACKAGE": "hello", "GREETING": "good=day"}
    statement = json.loads(attached_documents(world.project / "out")["application/vnd.in-toto+json"])
    external = statement["predicate"]["buildDefinition"]["externalParameters"]
    assert external["args"] == {"GREETING": "good=day", "PACKAGE": "hello"}
    assert external["effectiveRecipe"]["args"] == external["args"]

    world.write(
        'files:\n  - {to: /etc/greeting, text: "echo good=day ${HOME} ${GREETING}"}\n', packages="[hello]"
    )
    assert world.build("-o", "oci:literal") == digest
    assert read_lock(world.project / "recipe.lock").args == {}


def test_an_image_with_arguments_can_be_reproduced(world: World) -> None:
    world.build("--arg", "PACKAGE=hello", "-o", "oci:out")
    pumice_run = world.run("reproduce", "oci:out")
    assert pumice_run.code == 0, pumice_run.stderr
    assert pumice_run.stdout.startswith("reproduced: sha256:")


def test_a_locked_build_needs_the_arguments_of_the_lock(world: World) -> None:
    assert world.run("lock", "recipe.yaml", "--arg", "PACKAGE=hello").code == 0
    world.build("--locked", "--arg", "PACKAGE=hello")
    pumice_run = world.run(
        "build", "recipe.yaml", "--locked", "--arg", "PACKAGE=hello", "--arg", "GREETING=x"
    )
    assert pumice_run.code == 4
    assert "the lock is stale: recipe arguments changed: GREETING hello -> x" in pumice_run.stderr


def test_all_commands_that_load_a_recipe_take_arguments(world: World) -> None:
    assert world.run("show", "recipe.yaml", "--arg", "PACKAGE=hello").code == 0
    explained = world.run("explain", "recipe.yaml", "libhello", "--arg", "PACKAGE=hello")
    assert explained.stdout.startswith("libhello 1.2-3")
    for verb in (["build"], ["lock"], ["show"], ["explain"]):
        words = [*verb, "recipe.yaml", *(["hello"] if verb == ["explain"] else [])]
        missing = world.run(*words)
        assert missing.code == 3
        assert "recipe.yaml:10:34: the argument PACKAGE has no value" in missing.stderr
        unknown = world.run(*words, "--arg", "PACKGE=hello")
        assert unknown.code == 2
        assert "hint: did you mean 'PACKAGE'?" in unknown.stderr


@pytest.mark.parametrize("text", ["PACKAGE", "=hello", ""])
def test_arg_needs_a_name_and_a_value(world: World, text: str) -> None:
    pumice_run = world.run("show", "recipe.yaml", "--arg", text)
    assert pumice_run.code == 2
    assert f"--arg needs NAME=VALUE, not '{text}'" in pumice_run.stderr
