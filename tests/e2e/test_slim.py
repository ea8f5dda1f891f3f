"""What an image can go without, the smaller recipe, and the proof that its image still works."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import images, people
from tests.support.deb import Deb, Item, symlink, text
from tests.support.peers import need
from tests.support.people import Person
from tests.support.slices import write_release
from tests.support.world import BASE, World

BUSYBOX = Path("/bin/busybox").read_bytes() if Path("/bin/busybox").exists() else b""
SHELL = Deb(
    "shell",
    files=[
        Item("usr/bin/busybox", BUSYBOX, mode=0o755),
        symlink("usr/bin/sh", "busybox"),
        symlink("usr/bin/cat", "busybox"),
        text("usr/share/doc/shell/copyright", "free\n"),
    ],
)
APP = Deb(
    "app",
    "2.0",
    fields={"Depends": "shell, extras, meta"},
    files=[
        text("usr/bin/app", "#!/usr/bin/sh\ncat /usr/share/app/greeting\n", 0o755),
        text("usr/share/app/greeting", "hello\n"),
        text("usr/share/app-extra/big", "x" * 9000),
        text("usr/share/app-extra/by-name.txt", "named at run time\n"),
        text("etc/app.conf", "x = 1\n"),
        text("usr/share/doc/app/copyright", "free\n"),
    ],
    conffiles=["/etc/app.conf"],
)
EXTRAS = Deb("extras", files=[text("usr/share/extras/data", "y" * 20_000)])
META = Deb("meta", fields={"Depends": "greeting"}, files=[text("usr/share/meta/notes", "z" * 3000)])
GREETING = Deb("greeting", files=[text("usr/share/greeting/hello", "hi\n")])
ARCHIVE = (*BASE, SHELL, APP, EXTRAS, META, GREETING)
RECIPE = """\
run: {command: [/usr/bin/app]}
tests:
  - {name: greets, stdout: {contains: [hello]}}
"""


@pytest.fixture
def world(tmp_path: Path) -> World:
    if not BUSYBOX:
        pytest.skip("busybox is missing")
    world = World(tmp_path, ARCHIVE)
    world.write(RECIPE, packages="[app]")
    return world


def report(world: World, *options: str, target: str = "recipe.yaml") -> dict[str, Any]:
    result = world.run("slim", target, "--json", *options)
    assert result.code == 0, result.stderr
    parsed: dict[str, Any] = json.loads(result.stdout)
    return parsed


def patterns(result: dict[str, Any]) -> list[str]:
    return [item["pattern"] for item in result["patterns"]]


def test_the_rest_is_shown_by_directory_and_nothing_is_written(world: World) -> None:
    result = world.run("slim", "--why", "/usr/share/app/greeting", "--why", "/usr/share/extras/data")
    assert result.code == 0, result.stderr
    assert "not reached: 32.0 kB in 5 files" in result.stdout
    assert "20.0 kB  extras/" in result.stdout
    assert "/usr/share/app/greeting: /usr/bin/app names it" in result.stdout
    assert "/usr/share/extras/data: nothing reaches it" in result.stdout
    assert "not reached at all: extras, meta, greeting" in result.stdout
    assert sorted(path.name for path in world.project.glob("*.yaml")) == ["recipe.yaml"]


def test_the_smaller_recipe_extends_the_first_and_its_tests_pass(world: World) -> None:
    (world.project / "small").mkdir()
    result = report(world, "--output", "small/slim.yaml")
    assert (result["verified"], result["packages"][0]["package"]) == (1, "extras")
    assert patterns(result) == ["/usr/share/app-extra/"]
    assert result["slim_compressed"] < result["compressed"]
    recipe = (world.project / "small/slim.yaml").read_text()
    assert 'extend: "../recipe.yaml"' in recipe
    assert "  - extras  # 20." in recipe
    root = world.root / "root"
    built = world.run("build", "small/slim.yaml", "-o", f"dir:{root}")
    assert built.code == 0, built.stderr
    assert (root / "usr/share/app/greeting").exists()
    assert not (root / "usr/share/app-extra").exists()
    status = (root / "var/lib/dpkg/status").read_text()
    assert "Package: extras" not in status
    assert "X-Pumice-Excluded: 2 files" in status
    listed = (root / "var/lib/dpkg/info/app.list").read_text()
    assert "/usr/share/app/greeting" in listed
    assert "app-extra" not in listed


def test_a_command_that_fails_in_the_smaller_image_stops_everything(world: World) -> None:
    hidden = "cat /usr/share/app-extra/by-na*"
    result = world.run("slim", "--output", "slim.yaml", "--verify", f'/usr/bin/sh -c "{hidden}"')
    assert result.code != 0
    assert "fails in the smaller image: exit code: 1" in result.stderr
    assert "can't open '/usr/share/app-extra/by-na*'" in result.stderr
    assert not (world.project / "slim.yaml").exists()


def test_a_traced_run_keeps_what_it_uses(world: World) -> None:
    need("strace")
    command = '/usr/bin/sh -c "cat /usr/share/app-extra/by-na*"'
    result = report(world, "--output", "slim.yaml", "--trace", command, "--verify", command)
    assert result["reached"]["/usr/share/app-extra/by-name.txt"] == "a traced run used it"
    assert patterns(result) == ["/usr/share/app-extra/big"]
    assert result["verified"] == 2


def test_traced_tests_and_endless_commands_count_and_failing_ones_do_not(world: World) -> None:
    need("strace")
    options = ("--trace", '/usr/bin/sh -c "while :; do cat /usr/share/app-extra/by-na*; done"')
    result = report(world, "--trace-tests", *options, "--timeout", "1")
    assert "/usr/share/app-extra/by-name.txt" in result["reached"]
    failing = world.run("slim", "--trace", "/usr/bin/sh -c 'echo gone >&2; exit 3'")
    assert failing.code != 0
    assert "failed: exit code: 3" in failing.stderr
    assert "gone" in failing.stderr


def test_an_image_in_the_store_is_examined_without_its_recipe(world: World) -> None:
    world.build()
    result = report(world, target="example.com/hello:1.0")
    assert patterns(result) == ["/usr/share/app-extra/"]
    assert {item["package"] for item in result["packages"]} == {"extras", "meta", "greeting"}


def test_sliced_packages_stay_as_they_are(world: World) -> None:
    definition = "package: extras\nslices: {data: {contents: {/usr/share/extras/data: }}}\n"
    write_release(world.project / "release", {"extras": definition})
    world.write(
        "run: {command: [/usr/bin/sh]}\nslices: {release: ./release}\n", packages="[shell, extras_data]"
    )
    result = world.run("slim", "--json")
    assert result.code == 0, result.stderr
    reached = json.loads(result.stdout)["reached"]
    assert reached["/usr/share/extras/data"] == "its package is a slice"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--depth", "-1"), "--depth must be from 0 to 50"),
        (("--timeout", "0"), "--timeout must be at least 1"),
        (("--trace", "'"), "cannot read the command"),
        (("--verify", ""), "the command is empty"),
    ],
)
def test_mistakes_are_reported_before_anything_is_built(
    world: World, options: tuple[str, ...], message: str
) -> None:
    result = world.run("slim", *options)
    assert (result.code, message in result.stderr) == (2, True)


def test_the_recipe_of_an_image_is_restored_from_its_provenance(world: World) -> None:
    world.build()
    result = report(world, "--output", "small.yaml", target="example.com/hello:1.0")
    assert (result["verified"], patterns(result)) == (1, ["/usr/share/app-extra/"])
    base = (world.project / "small.base.yaml").read_text()
    assert base == (world.project / "recipe.yaml").read_text()
    assert "extend: small.base.yaml" in (world.project / "small.yaml").read_text()
    (world.project / "small.base.yaml").write_text("name: x\n")
    other = world.run("slim", "example.com/hello:1.0", "--output", "small.yaml")
    assert "is not the recipe of the image" in other.stderr


def test_commands_for_an_image_without_output_are_refused(world: World) -> None:
    world.build()
    result = world.run("slim", "example.com/hello:1.0", "--verify", "/usr/bin/app")
    assert (result.code, "--verify needs a recipe, or --output" in result.stderr) == (2, True)


def test_without_strace_the_error_says_what_to_install(world: World, tmp_path: Path) -> None:
    result = world.run("slim", "--trace", "/usr/bin/app", environment={"PATH": str(tmp_path)})
    assert result.code != 0
    assert "install the package strace" in result.stderr


@pytest.fixture(params=people.WHO)
def person(request: pytest.FixtureRequest) -> Iterator[Person]:
    with people.person(request.param) as someone:
        yield someone


def test_every_user_can_trace_a_program_that_runs_as_root_in_the_image(person: Person) -> None:
    """With subordinate ids, newuidmap would have to write the maps, and has no privileges under strace."""
    need("strace")
    with person.store() as home:
        images.make(home, [images.shell()], name="box:1")
    traced = person.pumice("slim", "box:1", "--trace", "/bin/busybox id -u", "--insecure-options=image")
    assert traced.returncode == 0, traced.stderr
