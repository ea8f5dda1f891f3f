"""What ``pumice build`` says at its end, and the names and places that its image gets."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.deb import Deb, text
from tests.support.docs import ROOT
from tests.support.registry import Registry
from tests.support.world import LIBHELLO, PACKAGES, PumiceRun, World

GOLDEN = ROOT / "tests/golden/messages"
SCRIPT = "#!/bin/sh\nvendor-setup --init\n"


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def _normalized(outcome: PumiceRun) -> str:
    """Return standard error without what the compression and the clock decide."""
    assert outcome.code == 0, outcome.stderr
    summary = outcome.stderr[outcome.stderr.index("built ") :]
    timeless = re.sub(r"[0-9.]+ (?:s|min [0-9]+ s)$", "TIME", summary, flags=re.MULTILINE)
    return re.sub(r" +[0-9.]+ (?:B|kB|MB)\b", " SIZE", timeless) + "\n"


def _both_architectures() -> list[Deb]:
    arm = [Deb(**{**package.__dict__, "architecture": "arm64"}) for package in PACKAGES]
    return [*PACKAGES, *arm]


def test_the_summary_of_a_first_build(world: World) -> None:
    world.publish([*PACKAGES, Deb("scripted", control_files={"postinst": SCRIPT})])
    world.write("run: {command: [/bin/hello]}\n", "[hello, scripted]")
    outcome = world.run("build", "--arch", "amd64", "-v", "-o", "oci:out")
    assert _normalized(outcome) == (GOLDEN / "build-first.txt").read_text()


def test_the_summary_of_a_second_build(world: World) -> None:
    world.build()
    assert _normalized(world.run("build")) == (GOLDEN / "build-unchanged.txt").read_text()


def test_the_summary_of_an_update_counts_the_new_layers(world: World) -> None:
    world.write("layers: packages\n")
    world.build()
    newer = Deb("libhello", "1.3", files=[text("usr/lib/hello/data", "new\n" * 1000)])
    world.publish([package for package in PACKAGES if package is not LIBHELLO] + [newer])
    (world.project / "recipe.lock").unlink()
    outcome = world.run("build")
    assert re.search(r"layers +\d \(2 new, \d reused\)", outcome.stderr), outcome.stderr  # and the state


def test_the_summary_of_several_platforms(world: World) -> None:
    world.publish(_both_architectures())
    outcome = world.run("build", "--platform", "linux/amd64,linux/arm64")
    assert _normalized(outcome) == (GOLDEN / "build-platforms.txt").read_text()


def test_every_key_of_the_events_is_documented(world: World) -> None:
    """The rows of `built` and `locked` on the page list the keys that the events have."""
    page = (ROOT / "docs" / "reference" / "environment.md").read_text()
    for command, event in (("lock", "locked"), ("build", "built")):
        result = json.loads(world.run(command, "--progress", "json").stderr.splitlines()[-1])
        (row,) = re.findall(rf"^\| `{event}` \|.*$", page, re.MULTILINE)
        keys = {*result, *(key for platform in result.get("platforms", ()) for key in platform)}
        assert {key for key in keys - {"event"} if f"`{key}`" not in row} == set()


def test_the_summary_as_an_event(world: World) -> None:
    outcome = world.run("build", "--progress", "json", "--tag", "other:2")
    assert outcome.code == 0, outcome.stderr
    event = json.loads(outcome.stderr.splitlines()[-1])
    assert event["event"] == "built"
    (platform,) = event["platforms"]
    assert (event["name"], event["version"], event["digest"]) == ("example.com/hello", "1.0", outcome.stdout)
    assert event["stored"] == ["example.com/hello:1.0", "other:2"]
    assert (platform["packages"], platform["base_data_packages"]) == (4, 2)
    assert platform["new_layers"] == platform["layers"] > 1
    assert platform["unpacked_size"] > platform["size"] > 0
    assert isinstance(event["seconds"], float)


@pytest.mark.parametrize("option", [["-q"], ["--quiet"], ["--progress", "none"]])
def test_a_quiet_build_prints_the_digest_only(world: World, option: list[str]) -> None:
    world.publish([*PACKAGES, Deb("scripted", control_files={"postinst": SCRIPT})])
    world.write(packages="[scripted]")
    outcome = world.run("build", *option)
    assert re.fullmatch("sha256:[0-9a-f]{64}", outcome.stdout)
    assert outcome.stderr == ""


def test_the_image_is_stored_and_written(world: World) -> None:
    digest = world.build("-o", "oci:out")
    assert (world.project / "out/index.json").exists()
    listed = world.run("images", "--format", "json").stdout
    assert digest in listed


def test_no_store_names_nothing_in_the_store(world: World) -> None:
    world.build("-o", "oci:out", "--no-store")
    assert "example.com" not in world.run("images").stdout


def test_tags_are_more_names_in_the_store(world: World) -> None:
    digest = world.build("-t", "hello:dev", "-t", "registry.example/team/hello", "-t", "hello:dev")
    listed = world.run("images", "--format", "json").stdout
    for name in ("hello", "registry.example/team/hello", "example.com/hello"):
        assert f'"{name}"' in listed or f'"{name}:' in listed, listed
    assert world.run("inspect", "hello:dev", "--format", "json").stdout.count(digest) >= 1
    assert world.run("inspect", "registry.example/team/hello:1.0").code == 0


@pytest.mark.parametrize(
    ("arguments", "sentence", "hint"),
    [
        (["--no-store"], "--no-store needs a destination", "-o DEST"),
        (["--no-store", "-t", "x:1", "-o", "oci:x"], "cannot use --tag with --no-store", "leave out one"),
        (["-t", "a b"], "invalid image name 'a b'", "write name[:version]"),
        (["--label", "team"], "--label needs NAME=VALUE, not 'team'", ""),
        (["--annotation", "a b=c"], "--annotation: 'a b' is not a label's name", "no spaces"),
        (["--arch", "x86_65"], "unknown architecture 'x86_65'", "did you mean amd64?"),
    ],
)
def test_a_mistake_is_found_before_anything_is_built(
    world: World, arguments: list[str], sentence: str, hint: str
) -> None:
    outcome = world.run("build", *arguments)
    assert (outcome.code, outcome.stdout) == (2, ""), outcome.stderr
    assert sentence in outcome.stderr
    assert hint in outcome.stderr
    assert not (world.project / "recipe.lock").exists()


def test_push_without_a_registry_says_what_to_type(world: World) -> None:
    recipe = world.project / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("example.com/hello", "hello"))
    outcome = world.run("build", "--push")
    assert outcome.code == 2
    assert "cannot push hello:1.0: its name has no registry host" in outcome.stderr
    assert "-t HOST/hello:1.0, or -o docker://HOST/NAME:TAG" in outcome.stderr


def test_push_goes_to_the_tags_with_a_host(world: World, host: str, registry: Registry) -> None:
    digest = world.build("-t", f"{host}/team/hello:dev", "-t", "local:1", "--push")
    assert registry.tags == {"team/hello": {"dev": digest}}


def test_push_without_such_a_tag_goes_to_the_name_of_the_image(world: World) -> None:
    recipe = world.project / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("example.com/hello", "registry.invalid/hello"))
    outcome = world.run("build", "--push", "-t", "local:1")
    assert outcome.code == 6
    assert "registry.invalid" in outcome.stderr  # a name in a recipe has no port, so none answers there


def test_labels_and_annotations_of_the_command_line_win(world: World) -> None:
    world.write(
        "labels: {team: rock, old: x}\nannotations: {org.opencontainers.image.url: 'https://a.example'}\n"
    )
    plain = world.build()
    options = (
        "--label",
        "team=pumice",
        "--annotation",
        "org.opencontainers.image.url=https://b.example/?c=d",
    )
    digest = world.build(*options, "-o", "oci:out")
    manifest = world.blobs(world.project / "out")
    assert manifest["_config"]["config"]["Labels"] == {"team": "pumice", "old": "x"}
    assert manifest["annotations"]["org.opencontainers.image.url"] == "https://b.example/?c=d"
    assert world.build(*options) == digest != plain
    assert world.build() == plain
    assert world.run("reproduce", "oci:out").code == 0  # the provenance has them


def test_annotations_are_on_the_index_too(world: World) -> None:
    world.publish(_both_architectures())
    world.build("--arch", "amd64,arm64", "--annotation", "a=b", "-o", "oci:out")
    index: dict[str, Any] = world.blobs(world.project / "out")
    assert index["annotations"]["a"] == "b"


def test_the_recipe_of_the_directory_is_the_default(world: World) -> None:
    digest = world.build()
    assert world.run("build").stdout == world.run("build", ".").stdout == digest
    assert world.run("build", "project", cwd=world.root).stdout == digest
    assert world.run("show").stdout == world.run("show", "recipe.yaml").stdout
    for words in (["hello"], ["recipe.yaml", "hello"], ["--arch", "amd64", "hello"]):
        assert world.run("explain", *words).code == 0
    assert world.run("explain", "recipe.yaml", "--arch", "amd64", "hello").code == 0
    assert "unexpected argument" in world.run("explain", "recipe.yaml", "hello", "other").stderr
    (world.project / "pumice.yaml").touch()
    for verb in ("build", "show", "lock"):
        assert "two recipes: pumice.yaml and recipe.yaml" in world.run(verb).stderr
