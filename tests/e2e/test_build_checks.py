"""What ``pumice build`` says about images that cannot start."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.world import World

RUN = "run: {command: [/usr/bin/hello]}\n"
WARNING = "/bin/sh, which interprets /usr/bin/hello, is not in the image [interpreter]"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_finding_is_printed_with_its_place_in_the_recipe(world: World) -> None:
    world.write(RUN)
    for _ in range(2):  # the second build takes the image and its findings from the cache
        outcome = world.run("build", "recipe.yaml")
        assert outcome.code == 0
        assert f"warning: recipe.yaml:10:16: {WARNING}; add dash to 'packages'" in outcome.stderr


def test_strict_builds_fail_and_name_no_image(world: World) -> None:
    world.write(RUN)
    outcome = world.run("build", "recipe.yaml", "--strict")
    assert outcome.code == 3
    assert outcome.stderr.endswith(f"error: recipe.yaml:10:16: {WARNING}\n  hint: add dash to 'packages'")
    assert outcome.stdout == ""
    assert "hello" not in world.run("images").stdout


def test_a_finding_is_ignored_for_a_reason(world: World) -> None:
    world.write(RUN)
    digest = world.build()
    rule = "{check: interpreter, path: /usr/bin/hello, reason: mounted at run time}"
    world.write(f"{RUN}checks: {{ignore: [{rule}]}}\n")
    outcome = world.run("build", "recipe.yaml", "--strict")
    assert (outcome.code, outcome.stdout) == (0, digest)
    assert "interprets" not in outcome.stderr


def test_a_rule_that_matches_nothing_is_noted(world: World) -> None:
    world.write("checks: {ignore: [{check: locale, reason: no reason}]}\n")
    outcome = world.run("build", "recipe.yaml", "--strict")
    assert outcome.code == 0
    assert "note: recipe.yaml:10:18: nothing to ignore for the check 'locale'" in outcome.stderr


def test_a_built_image_is_checked_from_the_cache(world: World) -> None:
    world.write(RUN)
    world.build()
    outcome = world.run("check", "example.com/hello:1.0", "--strict")
    assert outcome.code == 1
    assert WARNING in outcome.stdout
    assert not (world.root / "store" / "trees").exists()


def test_a_note_is_printed_only_on_request(world: World) -> None:
    """A note may be right, so a newcomer would wonder about it."""
    world.write("run: {command: [/usr/bin/hello], user: nonroot, ports: {http: 80}}\n")
    assert "note: " not in world.run("build", "recipe.yaml").stderr
    for command in (("build", "recipe.yaml", "--verbose"), ("check", "example.com/hello:1.0")):
        outcome = world.run(*command)
        assert "may not open port 80" in outcome.stdout + outcome.stderr, command
