"""The command ``pumice diff``: its output in each mode, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.deb import Deb, text
from tests.support.world import BASE, HELLO, LIBHELLO, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    new_world = World(tmp_path)
    new_world.build("-o", "oci:one")
    newer = Deb("libhello", "1.3-1", files=[text("usr/lib/hello/data", "other\n")])
    new_world.publish([*BASE, HELLO, newer], date=1_800_000_000)
    new_world.write("environment: {GREETING: hi}\nfiles: [{text: x, to: /srv/x}]\n")
    (new_world.project / "recipe.lock").unlink()
    new_world.build("-o", "oci:two")
    return new_world


def test_first_difference_names_the_attribute(world: World) -> None:
    pumice_run = world.run("diff", "oci:one", "oci:two")
    assert pumice_run.code == 1, pumice_run.stderr
    lines = pumice_run.stdout.splitlines()
    assert "  ~ libhello:amd64  1.2-3 -> 1.3-1" in lines
    assert "  + Env GREETING  hi" in lines
    assert any(line.startswith("  + /srv/x  file 0644 0:0") for line in lines)
    assert any(line.startswith("  ~ /usr/lib/hello/data  content ") for line in lines)
    assert lines[-1].startswith("to pull")


def test_differences_are_printed_as_json_and_markdown(world: World) -> None:
    value = json.loads(world.run("diff", "oci:one", "oci:two", "--format", "json").stdout)
    assert value["packages"] == [{"name": "libhello:amd64", "old": "1.2-3", "new": "1.3-1"}]
    assert 0 < value["pull"] < value["size"][1]
    markdown = world.run("diff", "oci:one", "oci:two", "--format", "markdown").stdout
    assert "### Packages (1)" in markdown
    assert "| libhello:amd64 | 1.2-3 | 1.3-1 |" in markdown


def test_an_image_does_not_differ_from_itself(world: World) -> None:
    pumice_run = world.run("diff", "oci:one", "oci:one")
    assert (pumice_run.code, pumice_run.stdout[:9]) == (0, "the same:")


def test_times_and_layers_do_not_count_in_semantic_mode(world: World) -> None:
    world.build("-o", "oci:three", environment={"SOURCE_DATE_EPOCH": "1"})
    world.write("environment: {GREETING: hi}\nfiles: [{text: x, to: /srv/x}]\nlayers: single\n")
    world.build("-o", "oci:four")
    for location in ("oci:three", "oci:four"):
        assert world.run("diff", "oci:two", location).code == 1
        pumice_run = world.run("diff", "oci:two", location, "--semantic")
        assert (pumice_run.code, pumice_run.stdout) == (0, "the same except for timestamps and layers")


def test_invalid_arguments_are_reported(world: World) -> None:
    assert world.run("diff", "oci:one").code == 2
    assert world.run("diff", "oci:one", "oci:nowhere").code == 10
    assert world.run("diff", "oci:one", "oci:two", "--platform", "linux/s390x").code == 10


def test_a_removed_package_is_reported(world: World) -> None:
    world.write("", packages="[libhello]")
    world.build("-o", "oci:less")
    assert "  - hello:amd64  1.0-1" in world.run("diff", "oci:two", "oci:less").stdout
    assert LIBHELLO.name == "libhello"
