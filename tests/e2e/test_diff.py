"""``pumice diff``: what it names, in which mode, and how it ends."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.deb import Deb, text
from tests.support.world import BASE, HELLO, LIBHELLO, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    made = World(tmp_path)
    made.build("-o", "oci:one")
    newer = Deb("libhello", "1.3-1", files=[text("usr/lib/hello/data", "other\n")])
    made.publish([*BASE, HELLO, newer], date=1_800_000_000)
    made.write("environment: {GREETING: hi}\nfiles: [{text: x, to: /srv/x}]\n")
    (made.project / "recipe.lock").unlink()
    made.build("-o", "oci:two")
    return made


def test_first_difference_names_the_attribute(world: World) -> None:
    done = world.run("diff", "oci:one", "oci:two")
    assert done.code == 1, done.stderr
    lines = done.stdout.splitlines()
    assert "  ~ libhello:amd64  1.2-3 -> 1.3-1" in lines
    assert "  + Env GREETING  hi" in lines
    assert any(line.startswith("  + /srv/x  file 0644 0:0") for line in lines)
    assert any(line.startswith("  ~ /usr/lib/hello/data  content ") for line in lines)
    assert lines[-1].startswith("to pull")


def test_json_and_markdown(world: World) -> None:
    value = json.loads(world.run("diff", "oci:one", "oci:two", "--format", "json").stdout)
    assert value["packages"] == [{"name": "libhello:amd64", "old": "1.2-3", "new": "1.3-1"}]
    assert 0 < value["pull"] < value["size"][1]
    text_ = world.run("diff", "oci:one", "oci:two", "--format", "markdown").stdout
    assert "### Packages (1)" in text_
    assert "| libhello:amd64 | 1.2-3 | 1.3-1 |" in text_


def test_the_same_is_the_same(world: World) -> None:
    done = world.run("diff", "oci:one", "oci:one")
    assert (done.code, done.stdout[:9]) == (0, "the same:")


def test_times_and_layers_do_not_count_in_semantic_mode(world: World) -> None:
    world.build("-o", "oci:three", environment={"SOURCE_DATE_EPOCH": "1"})
    world.write("environment: {GREETING: hi}\nfiles: [{text: x, to: /srv/x}]\nlayers: single\n")
    world.build("-o", "oci:four")
    for other in ("oci:three", "oci:four"):
        assert world.run("diff", "oci:two", other).code == 1
        done = world.run("diff", "oci:two", other, "--semantic")
        assert (done.code, done.stdout) == (0, "the same except for timestamps and layers")


def test_bad_command_lines(world: World) -> None:
    assert world.run("diff", "oci:one").code == 2
    assert world.run("diff", "oci:one", "oci:nowhere").code == 10
    assert world.run("diff", "oci:one", "oci:two", "--platform", "linux/s390x").code == 10


def test_a_package_that_is_gone(world: World) -> None:
    world.write("", packages="[libhello]")
    world.build("-o", "oci:less")
    assert "  - hello:amd64  1.0-1" in world.run("diff", "oci:two", "oci:less").stdout
    assert LIBHELLO.name == "libhello"
