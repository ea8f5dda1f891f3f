"""``pumice verify`` as people type it."""

from __future__ import annotations

import json

import pytest

from tests.support.trusting import Trusting, signed


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Trusting:
    return signed(tmp_path_factory.mktemp("world"))


def test_by_a_key(world: Trusting) -> None:
    printed = world.must("verify", "oci:out", "--key", "release.pub", store="other")
    assert printed.startswith("example.com/hello:1.0  sha256:")
    assert "(--key release.pub)" in printed


def test_as_json(world: Trusting) -> None:
    printed = json.loads(
        world.must("verify", "oci:out", "--key", "release.pub", "--format", "json", store="other")
    )
    assert sorted(one["form"] for one in printed["signatures"]) == ["bundle", "cosign"]
    assert (printed["ignored"], printed["built_here"]) == ([], False)


def test_what_was_built_here_is_said_to_be(world: Trusting) -> None:
    assert "trusted  it was built here" in world.must("verify", "oci:out")


def test_without_a_rule(world: Trusting) -> None:
    said = world.refused("verify", "oci:out", store="other")
    assert "no key is trusted for example.com/hello:1.0: pumice trust add --prefix" in said


def test_under_another_name(world: Trusting) -> None:
    said = world.refused("verify", "oci:out", "--key", "release.pub", "--as", "example.com/bank:1.0")
    assert "it is signed as example.com/hello:1.0, not as example.com/bank:1.0" in said


def test_by_another_key(world: Trusting) -> None:
    world.must("key", "generate", "--output", "stranger")
    assert "none of the keys" in world.refused("verify", "oci:out", "--key", "stranger.pub")


def test_older_than_before(world: Trusting) -> None:
    recipe = world.project / "recipe.yaml"
    text = recipe.read_text()
    recipe.write_text(text.replace('"1.0"', '"1.1"'))
    world.must("build", "recipe.yaml", "--sign", "release.key", "-o", "oci:newer")
    recipe.write_text(text)
    key = ("--key", "release.pub")
    world.must("verify", "oci:out", *key, store="third")
    world.must("verify", "oci:newer", *key, store="third")
    assert "1.1 is known" in world.refused("verify", "oci:out", *key, store="third")
    done = world.do("verify", "oci:out", *key, "--allow-older", store="third")
    assert done.code == 0
    assert "warning: example.com/hello:1.0: the image is older" in done.stderr
    world.refused("verify", "oci:out", *key, store="third")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--policy", "x"), 2, "--policy needs --attestation"),
        (("--key", "none.pub"), 7, "there is no key"),
        (("--key", "release.key"), 8, "this is a private key"),
        (("--key", "recipe.yaml"), 8, "not one public key"),
    ],
)
def test_what_goes_wrong(world: Trusting, arguments: tuple[str, ...], code: int, message: str) -> None:
    assert message in world.refused("verify", "oci:out", *arguments, code=code)
