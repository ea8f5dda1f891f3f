"""What a registry gives under a name must be signed as that name, and enters the store no other way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice.trust import policy_edit
from tests.support import registry as support
from tests.support import vouched
from tests.support.pushing import push
from tests.support.registry import Registry
from tests.support.trusting import Trusting

OWN = "example.com/hello:1.0"


@pytest.fixture
def host() -> Iterator[str]:
    with support.serving(Registry()) as where:
        yield where


@pytest.fixture
def world(tmp_path: Path, host: str) -> Trusting:
    """A registry with an image that is signed as itself and one that is not, and the key trusted for all."""
    world = Trusting(tmp_path)
    vouched.folder(tmp_path / "signed")
    vouched.signed(tmp_path / "signed", 0)
    push(tmp_path / "signed", host, "team/hello", "1.0")
    vouched.folder(tmp_path / "unsigned", vouched.image(content=b"other"))
    push(tmp_path / "unsigned", host, "team/unsigned", "1.0")
    policy_edit.add_key(world.rules, vouched.key().public_key, "")
    (world.project / "key.pub").write_bytes(vouched.key().public_key.pem())
    return world


@pytest.mark.parametrize("how", [(), ("--key", "key.pub")])
def test_another_name_is_refused_with_what_to_say(world: Trusting, host: str, how: tuple[str, ...]) -> None:
    place = f"{host}/team/hello:1.0"
    said = world.refused("verify", f"docker://{place}", *how)
    assert f"it is signed as {OWN}, not as {place}" in said
    assert f"say --as {OWN}, or once: pumice trust mirror {host}/team example.com" in said
    assert "signed   by" in world.must("verify", f"docker://{place}", *how, "--as", OWN)
    world.refused("verify", f"docker://{place}", *how, "--as", "example.com/bank:1.0")


@pytest.mark.parametrize("how", [(), ("--key", "key.pub")])
def test_a_mirror_rule_says_it_once(world: Trusting, host: str, how: tuple[str, ...]) -> None:
    place = f"docker://{host}/team/hello:1.0"
    world.must("trust", "mirror", f"{host}/team", "example.com")
    assert "signed   by" in world.must("verify", place, *how)
    assert f"{OWN}, by the user mirror" in world.must("trust", "why", place)
    world.must("pull", place)
    assert "signed   by" in world.must("verify", place.removeprefix("docker://"), *how, "--as", OWN)


def test_a_digest_names_the_image_itself(world: Trusting, host: str, tmp_path: Path) -> None:
    digest = world.must("resolve", f"docker://{host}/team/hello:1.0").split()[-1]
    assert f"{OWN}  {digest}" in world.must("verify", f"docker://{host}/team/hello@{digest}")


def test_another_signed_image_under_the_name_is_refused(world: Trusting, host: str, tmp_path: Path) -> None:
    world.must("trust", "mirror", f"{host}/team", "example.com")
    vouched.folder(tmp_path / "bank", vouched.image("example.com/bank:1.0"))
    vouched.signed(tmp_path / "bank", 0)
    push(tmp_path / "bank", host, "team/hello", "1.0")
    place = f"docker://{host}/team/hello:1.0"
    for command in (
        ("verify", place),
        ("run", place),
        ("pull", place),
        ("copy", place, "store:x.example/a:1"),
    ):
        assert f"it is signed as example.com/bank:1.0, not as {OWN}" in world.refused(*command)
    assert len(world.must("images").splitlines()) == 1  # the head


@pytest.mark.parametrize("command", ["pull", "copy", "oci"])
def test_what_is_not_signed_does_not_enter_the_store(
    world: Trusting, host: str, tmp_path: Path, command: str
) -> None:
    place = f"docker://{host}/team/unsigned:1.0"
    words = {
        "pull": ("pull", place, "x.example/a:1"),
        "copy": ("copy", place, "store:x.example/a:1"),
        "oci": ("copy", f"oci:{tmp_path}/unsigned", "store:x.example/a:1"),
    }[command]
    assert "the image is not signed" in world.refused(*words)
    assert len(world.must("images").splitlines()) == 1  # the head
    done = world.do(*words, "--insecure-options=image")
    assert (done.code, "warning: nothing is checked of who made" in done.stderr) == (0, True)
    assert "x.example/a" in world.must("images")
    world.refused("run", "x.example/a:1")


def test_copies_to_other_places_are_nobody_s_business(world: Trusting, host: str, tmp_path: Path) -> None:
    world.must("copy", f"docker://{host}/team/unsigned:1.0", "oci:there:1")
    world.must("copy", "oci:there:1", f"docker://{host}/team/again:1")


def test_run_takes_an_image_for_what_it_calls_itself(world: Trusting, host: str) -> None:
    place = f"docker://{host}/team/hello:1.0"
    assert "say --as" in world.refused("run", place, "/x")
    assert "signed as" not in world.do("run", "--as", OWN, place, "/x").stderr
