"""``version: {package: NAME}``: the image has the upstream version of a locked package."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.support import registry as support
from tests.support.deb import Deb
from tests.support.registry import Registry
from tests.support.world import BASE, LIBHELLO, World

if TYPE_CHECKING:
    from pathlib import Path

HELLO = Deb("hello", "1:15.14-0+deb12u1", fields={"Depends": "libhello"})


def world_of(root: Path, source: str = "{package: hello}") -> World:
    world = World(root, [*BASE, HELLO, LIBHELLO])
    path = world.project / "recipe.yaml"
    path.write_text(path.read_text().replace('version: "1.0"', f"version: {source}"))
    return world


def names(world: World) -> list[str]:
    listed = world.run("images", "--json")
    return sorted(f"{image['name']}" for image in json.loads(listed.stdout))


def test_the_image_has_the_version_of_the_package_and_the_tags_of_its_series(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    built = world.run("build", "recipe.yaml", "-o", "oci:image", "-t", "other", "--report", "report.json")
    assert built.code == 0, built.stderr
    assert "built example.com/hello:15.14 " in built.stderr
    assert names(world) == ["example.com/hello:15", "example.com/hello:15.14", "other:15.14"]
    manifest = json.loads(world.run("manifest", "example.com/hello:15").stdout)
    assert manifest["annotations"]["org.opencontainers.image.version"] == "15.14"
    assert json.loads((world.project / "report.json").read_bytes())["version"] == "15.14"
    index = json.loads((world.project / "image/index.json").read_bytes())
    tags = [item["annotations"]["org.opencontainers.image.ref.name"] for item in index["manifests"]]
    assert tags == ["15.14"]


def test_the_lock_and_the_digest_are_those_of_the_same_version_as_text(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    digest = world.build()
    path = world.project / "recipe.yaml"
    path.write_text(path.read_text().replace("{package: hello}", '"15.14"'))
    assert world.build("--locked") == digest


def test_an_update_of_the_package_changes_the_version(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    world.build()
    world.publish([*BASE, Deb("hello", "1:15.15-0+deb12u1", fields={"Depends": "libhello"}), LIBHELLO])
    assert world.run("lock", "--upgrade", "recipe.yaml").code == 0
    world.build()
    assert names(world) == ["example.com/hello:15", "example.com/hello:15.14", "example.com/hello:15.15"]
    moved, newest = (world.run("resolve", f"example.com/hello:{tag}").stdout for tag in ("15", "15.15"))
    assert moved == newest


def test_a_package_that_is_not_in_the_image_is_an_error_with_a_location(tmp_path: Path) -> None:
    world = world_of(tmp_path, "{package: helo}")
    outcome = world.run("build", "recipe.yaml")
    assert outcome.code == 3
    assert (
        "recipe.yaml:2:10: cannot take the version from helo: the image has no such package" in outcome.stderr
    )
    assert "did you mean 'hello'?" in outcome.stderr


def test_show_prints_it_as_written(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    assert "version:\n  package: hello  # recipe.yaml:2:20\n" in world.run("show", "recipe.yaml").stdout


def test_a_push_without_a_registry_host_names_the_version_that_is_not_known_yet(tmp_path: Path) -> None:
    world = world_of(tmp_path)
    path = world.project / "recipe.yaml"
    path.write_text(path.read_text().replace("example.com/hello", "hello"))
    outcome = world.run("build", "recipe.yaml", "--push")
    assert "cannot push hello:VERSION: its name has no registry host" in outcome.stderr


def signed_world(root: Path) -> World:
    """Return a world with a signed image of version 15.14, whose key is trusted below example.com."""
    world = world_of(root)
    secret = {"PUMICE_KEY_PASSPHRASE": "x", "XDG_CONFIG_HOME": str(root / "config")}
    assert world.run("key", "generate", "--output", "release", environment=secret).code == 0
    built = world.run("build", "recipe.yaml", "--sign", "release.key", environment=secret)
    assert built.code == 0, built.stderr
    key = json.loads(world.run("verify", "example.com/hello:15.14", "--key", "release.pub", "--json").stdout)
    trusted = world.run(
        *("trust", "add", "--prefix", "example.com", "release.pub"),
        *("--fingerprint", key["signatures"][0]["key"]),
        environment=secret,
    )
    assert trusted.code == 0, trusted.stderr
    return world


def test_one_signature_is_enough_for_the_tags_of_the_series(tmp_path: Path) -> None:
    world = signed_world(tmp_path)
    config = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    for tag in ("15.14", "15", "15.14"):  # a series is not older than its version, nor the other way round
        verified = world.run("verify", f"example.com/hello:{tag}", "--json", environment=config)
        assert verified.code == 0, verified.stderr
        result = json.loads(verified.stdout)
        assert result["name"] == f"example.com/hello:{tag}"
        assert {name for signature in result["signatures"] for name in signature["names"]} == {
            "example.com/hello:15.14"
        }
    for name in ("example.com/hello:1", "example.com/hello:14", "example.com/other:15"):
        assert world.run("tag", "example.com/hello:15", name).code == 0
        refused = world.run("verify", name, environment=config)
        assert refused.code == 7
        assert f"signed as example.com/hello:15.14, not as {name}" in refused.stderr


def test_the_tags_of_the_series_are_pushed_and_pulled_with_the_signature(tmp_path: Path) -> None:
    world = signed_world(tmp_path)
    config = {"XDG_CONFIG_HOME": str(tmp_path / "config"), "REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}
    with support.serving(Registry()) as host:
        mirror = world.run("trust", "mirror", host, "example.com", environment=config)
        assert mirror.code == 0, mirror.stderr
        for tag in ("15.14", "15"):
            target = f"{host}/hello:{tag}"
            pushed = world.run("push", f"example.com/hello:{tag}", target, environment=config)
            assert pushed.code == 0, pushed.stderr
            pulled = world.run("pull", target, environment=config, store="other")
            assert pulled.code == 0, pulled.stderr
            assert pulled.stdout == world.run("resolve", "example.com/hello:15.14").stdout
