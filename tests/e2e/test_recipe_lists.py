"""``pumice build`` and ``pumice lock`` with several recipes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.deb import Deb, text
from tests.support.world import LIBHELLO, PACKAGES, World

HEADER = re.compile(r"^ *image +size +packages +state +time$", re.MULTILINE)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def _write(world: World, name: str, packages: str = "[hello]", extra: str = "") -> Path:
    """Write the recipe ``images/NAME/recipe.yaml`` of the image ``example.com/NAME``."""
    (world.project / "images" / name).mkdir(parents=True, exist_ok=True)
    path = world.write(extra, packages, f"images/{name}/recipe.yaml")
    content = path.read_text().replace("example.com/hello", f"example.com/{name}")
    path.write_text(content.replace("keyrings: [key.asc]", "keyrings: [../../key.asc]"))
    return path


@pytest.fixture
def images(world: World) -> World:
    for name in ("alpha", "beta", "gamma"):
        _write(world, name, "[libhello]" if name == "beta" else "[hello]")
    return world


def _digests(output: str) -> dict[str, str]:
    return {path: digest for digest, path in (line.split("  ") for line in output.splitlines())}


def test_every_recipe_gets_a_line_with_its_digest_in_the_order_of_the_arguments(images: World) -> None:
    outcome = images.run("build", "images/gamma", "images/*", "--digest-file", "digests")
    assert outcome.code == 0, outcome.stderr
    paths = [f"images/{name}/recipe.yaml" for name in ("gamma", "alpha", "beta")]
    assert list(_digests(outcome.stdout)) == paths
    assert (images.project / "digests").read_text() == f"{outcome.stdout}\n"
    for path, digest in _digests(outcome.stdout).items():
        assert images.run("build", path, store="empty").stdout == digest


@pytest.mark.parametrize("pattern", ["images/*/recipe.yaml", "**/recipe.yaml", "{}/images/[a-c]*a"])
def test_a_pattern_stands_for_what_it_matches(images: World, pattern: str) -> None:
    (images.project / "recipe.yaml").unlink()
    outcome = images.run("build", pattern.format(images.project))
    assert [Path(path).parent.name for path in _digests(outcome.stdout)][:2] == ["alpha", "beta"]


def test_a_pattern_with_one_match_prints_the_same_form(images: World) -> None:
    outcome = images.run("build", "images/al*")
    assert list(_digests(outcome.stdout)) == ["images/alpha/recipe.yaml"]
    assert "built 1 image in" in outcome.stderr


def test_a_pattern_without_a_match_is_an_error(images: World) -> None:
    outcome = images.run("build", "images/x*")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "error: no file or directory matches 'images/x*'" in outcome.stderr


def test_the_summary_is_a_table_that_tells_new_images_from_unchanged_ones(images: World) -> None:
    images.run("build", "images/alpha")
    outcome = images.run("build", "images/*")
    assert "built 3 images in " in outcome.stderr
    assert HEADER.search(outcome.stderr), outcome.stderr
    states = re.findall(r"example\.com/(\w+):1\.0 .* (new|unchanged) ", outcome.stderr)
    assert states == [("alpha", "unchanged"), ("beta", "new"), ("gamma", "new")]
    assert images.run("build", "images/*", "-q").stderr == ""


def test_a_recipe_that_fails_does_not_stop_the_others(images: World) -> None:
    _write(images, "beta", "[absent]")
    (images.project / "images/delta").mkdir()
    (images.project / "images/delta/recipe.yaml").write_text("name: x\n")
    outcome = images.run("build", "images/*")
    assert list(_digests(outcome.stdout)) == [f"images/{name}/recipe.yaml" for name in ("alpha", "gamma")]
    assert outcome.code == 5  # that of beta, which is before delta
    assert re.search(r"^error: images/beta/recipe\.yaml:\d+:\d+: .*absent", outcome.stderr, re.MULTILINE)
    assert re.search(r"^error: images/delta/recipe\.yaml", outcome.stderr, re.MULTILINE)
    assert "built 2 of 4 images in" in outcome.stderr
    assert (
        len(re.findall(r"^  images/(?:beta|delta)/recipe\.yaml +failed$", outcome.stderr, re.MULTILINE)) == 2
    )
    assert images.run("build", "images/delta", "images/beta").code == 3


def test_a_failure_names_its_recipe_even_if_the_error_does_not(images: World) -> None:
    broken = Deb("broken", "1", files=[text("usr/lib/broken/data", "data\n" * 1000)])
    images.publish([*PACKAGES, broken])
    for name in ("alpha", "beta"):
        _write(images, name, "[broken]")
    images.run("lock", "images/*")
    for path in images.mirror.rglob("broken*.deb"):
        path.write_bytes(b"x" * path.stat().st_size)
    outcome = images.run("build", "images/*")
    assert list(_digests(outcome.stdout)) == ["images/gamma/recipe.yaml"]
    for name in ("alpha", "beta"):
        assert re.search(rf"^error: images/{name}/recipe\.yaml: ", outcome.stderr, re.MULTILINE)


def test_programs_get_an_event_for_each_recipe(images: World) -> None:
    _write(images, "beta", "[absent]")
    outcome = images.run("build", "images/*", "--progress", "json")
    events = [json.loads(line) for line in outcome.stderr.splitlines()]
    results = [event for event in events if event["event"] in ("built", "failed", "finished")]
    assert [event["event"] for event in results] == ["built", "failed", "built", "finished"] or [
        event["event"] for event in results
    ] == ["failed", "built", "built", "finished"]
    by_recipe = {event["recipe"]: event for event in results[:-1]}
    failure = by_recipe["images/beta/recipe.yaml"]
    assert failure["exit_code"] == 5
    assert "absent" in failure["problems"][0]["message"]
    digests = _digests(outcome.stdout)
    assert by_recipe["images/alpha/recipe.yaml"]["digest"] == digests["images/alpha/recipe.yaml"]
    assert results[-1] | {"seconds": 0} == {
        "event": "finished",
        "built": 2,
        "failed": ["images/beta/recipe.yaml"],
        "seconds": 0,
    }


def test_each_image_is_written_to_its_own_place(images: World) -> None:
    outcome = images.run("build", "images/alpha", "images/beta", "-o", "oci:{name}-{version}")
    assert outcome.code == 0, outcome.stderr
    for name in ("alpha", "beta"):
        manifest = images.run("resolve", f"oci:{name}-1.0").stdout
        assert manifest == _digests(outcome.stdout)[f"images/{name}/recipe.yaml"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("-t", "x:1"), "cannot use --tag with several recipes"),
        (("--report", "x.json"), "cannot use --report with several recipes"),
        (("-o", "oci:out"), "cannot write several images to 'oci:out'"),
        (("-o", "tar:-"), "cannot write several images to 'tar:-'"),
    ],
)
def test_an_option_for_one_image_is_an_error(images: World, options: tuple[str, ...], message: str) -> None:
    outcome = images.run("build", "images/*", *options)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert message in outcome.stderr


def test_two_recipes_of_the_same_image_are_an_error(images: World) -> None:
    path = _write(images, "beta")
    path.write_text(path.read_text().replace("example.com/beta", "example.com/alpha"))
    outcome = images.run("build", "images/*")
    assert outcome.code == 2
    expected = "images/alpha/recipe.yaml and images/beta/recipe.yaml would both write example.com/alpha:1.0"
    assert expected in outcome.stderr


def test_each_image_is_pushed_to_its_own_repository(images: World, host: str) -> None:
    outcome = images.run("build", "images/alpha", "images/beta", "-o", f"docker://{host}/team/{{name}}")
    assert outcome.code == 0, outcome.stderr
    for name in ("alpha", "beta"):
        pushed = images.run("resolve", f"docker://{host}/team/{name}:1.0").stdout
        assert pushed == _digests(outcome.stdout)[f"images/{name}/recipe.yaml"]


def test_locks_of_several_recipes_are_written_and_summarized(images: World) -> None:
    outcome = images.run("lock", "images/*")
    assert (outcome.code, outcome.stdout) == (0, "")
    assert "locked 3 recipes in " in outcome.stderr
    assert re.search(r"^  images/beta/recipe\.yaml +\d+  new$", outcome.stderr, re.MULTILINE)
    assert len(list(images.project.glob("images/*/recipe.lock"))) == 3
    assert "unchanged" in images.run("lock", "images/*").stderr


def _publish_newer(world: World) -> None:
    newer = Deb("libhello", "1.3", files=LIBHELLO.files)
    world.publish([package for package in PACKAGES if package is not LIBHELLO] + [newer])


def test_check_prints_the_recipe_before_each_change(images: World) -> None:
    images.run("lock", "images/*")
    unchanged = images.run("lock", "--check", "images/*")
    assert (unchanged.code, unchanged.stdout) == (0, "")
    _publish_newer(images)
    images.run("lock", "--upgrade", "--", "images/alpha")
    outcome = images.run("lock", "--check", "images/*")
    assert outcome.code == 1
    assert outcome.stdout.splitlines() == [
        f"images/{name}/recipe.yaml: libhello 1.2-3 -> 1.3 (amd64)" for name in ("beta", "gamma")
    ]
    _write(images, "beta", "[absent]")
    outcome = images.run("lock", "--check", "images/*")
    assert outcome.code == 5
    assert outcome.stdout == "images/gamma/recipe.yaml: libhello 1.2-3 -> 1.3 (amd64)"


def test_upgrade_is_for_the_recipes_that_have_the_package(images: World) -> None:
    images.run("lock", "images/*")
    _publish_newer(images)
    outcome = images.run("lock", "--upgrade", "hello", "--", "images/*")
    assert outcome.code == 0, outcome.stderr
    assert re.search(r"images/beta/recipe\.yaml +\d+  unchanged$", outcome.stderr, re.MULTILINE)
    outcome = images.run("lock", "images/*", "--upgrade", "libhello")
    assert re.search(r"images/beta/recipe\.yaml +\d+  updated \(1 change\)$", outcome.stderr, re.MULTILINE)
    outcome = images.run("lock", "images/*", "--upgrade", "lub")
    assert outcome.code == 2
    assert "error: cannot upgrade 'lub': no lock has such a package" in outcome.stderr


def test_recipes_may_follow_the_packages_of_upgrade(images: World) -> None:
    images.run("lock", "images/*")
    _publish_newer(images)
    outcome = images.run("lock", "--upgrade", "libhello", "images/alpha", "images/b*")
    assert outcome.stderr.count("updated (1 change)") == 2, outcome.stderr


def test_json_is_one_list_with_all_locks(images: World) -> None:
    locked = json.loads(images.run("lock", "images/*", "--json").stdout)
    assert [Path(item["path"]).parent.name for item in locked] == ["alpha", "beta", "gamma"]
    _publish_newer(images)
    checked = images.run("lock", "images/*", "--check", "--json")
    assert checked.code == 1
    changes = [item["changes"][0]["new_version"] for item in json.loads(checked.stdout)]
    assert changes == ["1.3", "1.3", "1.3"]


KEPT_INDEXES = """
import gc, sys
from pumice.assembly import merged_packages, package_segments
from pumice.assembly.connection import SharedArchives
from pumice.cli.main import main

def cut_packages(*arguments):
    (archives,) = [item for item in gc.get_objects() if isinstance(item, SharedArchives)]
    assert archives._setup, "the archives were used"
    assert not archives._indexes
    return package_segments.cut_packages(*arguments)

merged_packages.cut_packages = cut_packages
sys.exit(main(sys.argv[1:]))
"""


def test_indexes_are_forgotten_before_packages_are_cut(images: World) -> None:
    outcome = subprocess.run(
        [sys.executable, "-c", KEPT_INDEXES, "build", "images/*"],
        cwd=images.project,
        env={**os.environ, "PUMICE_HOME": str(images.root / "store")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
