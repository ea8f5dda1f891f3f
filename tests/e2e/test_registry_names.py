"""An image from a registry must be signed as the name it is pulled by before it enters the store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice.trust import policy_edit
from tests.support import registry as support
from tests.support import signed_images
from tests.support.pushing import push
from tests.support.registry import Registry
from tests.support.trust_world import TrustWorld

OWN = "example.com/hello:1.0"


@pytest.fixture
def host() -> Iterator[str]:
    with support.serving(Registry()) as registry_host:
        yield registry_host


@pytest.fixture
def world(tmp_path: Path, host: str) -> TrustWorld:
    """A registry with a signed and an unsigned image; the key is trusted for all names."""
    world = TrustWorld(tmp_path)
    signed_images.folder(tmp_path / "signed")
    signed_images.sign_folder(tmp_path / "signed", 0)
    push(tmp_path / "signed", host, "team/hello", "1.0")
    signed_images.folder(tmp_path / "unsigned", signed_images.image(content=b"other"))
    push(tmp_path / "unsigned", host, "team/unsigned", "1.0")
    policy_edit.add_key(world.rules, signed_images.key().public_key, "")
    (world.project / "key.pub").write_bytes(signed_images.key().public_key.pem())
    return world


@pytest.mark.parametrize("key_options", [(), ("--key", "key.pub")])
def test_an_image_signed_under_another_name_is_refused_with_a_hint(
    world: TrustWorld, host: str, key_options: tuple[str, ...]
) -> None:
    name = f"{host}/team/hello:1.0"
    error = world.refused("verify", f"docker://{name}", *key_options)
    assert f"signed as {OWN}, not as {name}" in error
    assert f"pass --as {OWN}, or once: pumice trust mirror {host}/team example.com" in error
    assert "signed   by" in world.must("verify", f"docker://{name}", *key_options, "--as", OWN)
    world.refused("verify", f"docker://{name}", *key_options, "--as", "example.com/bank:1.0")


@pytest.mark.parametrize("key_options", [(), ("--key", "key.pub")])
def test_a_mirror_rule_accepts_the_original_name(
    world: TrustWorld, host: str, key_options: tuple[str, ...]
) -> None:
    image_reference = f"docker://{host}/team/hello:1.0"
    world.must("trust", "mirror", f"{host}/team", "example.com")
    assert "signed   by" in world.must("verify", image_reference, *key_options)
    assert f"{OWN}, by the user mirror" in world.must("trust", "why", image_reference)
    world.must("pull", image_reference)
    assert "signed   by" in world.must(
        "verify", image_reference.removeprefix("docker://"), *key_options, "--as", OWN
    )


def test_a_digest_reference_accepts_any_signed_name(world: TrustWorld, host: str, tmp_path: Path) -> None:
    digest = world.must("resolve", f"docker://{host}/team/hello:1.0").split()[-1]
    assert f"{OWN}  {digest}" in world.must("verify", f"docker://{host}/team/hello@{digest}")


def test_another_signed_image_under_the_same_name_is_refused(
    world: TrustWorld, host: str, tmp_path: Path
) -> None:
    world.must("trust", "mirror", f"{host}/team", "example.com")
    signed_images.folder(tmp_path / "bank", signed_images.image("example.com/bank:1.0"))
    signed_images.sign_folder(tmp_path / "bank", 0)
    push(tmp_path / "bank", host, "team/hello", "1.0")
    image_reference = f"docker://{host}/team/hello:1.0"
    for command in (
        ("verify", image_reference),
        ("run", image_reference),
        ("pull", image_reference),
        ("copy", image_reference, "store:x.example/a:1"),
    ):
        assert f"signed as example.com/bank:1.0, not as {OWN}" in world.refused(*command)
    assert len(world.must("images").splitlines()) == 1  # the head


@pytest.mark.parametrize("command", ["pull", "copy", "oci"])
def test_an_unsigned_image_does_not_enter_the_store(
    world: TrustWorld, host: str, tmp_path: Path, command: str
) -> None:
    image_reference = f"docker://{host}/team/unsigned:1.0"
    arguments = {
        "pull": ("pull", image_reference, "x.example/a:1"),
        "copy": ("copy", image_reference, "store:x.example/a:1"),
        "oci": ("copy", f"oci:{tmp_path}/unsigned", "store:x.example/a:1"),
    }[command]
    assert "the image is not signed" in world.refused(*arguments)
    assert len(world.must("images").splitlines()) == 1  # the head
    pumice_run = world.do(*arguments, "--insecure-options=image")
    assert (
        pumice_run.code,
        "signatures are not verified (--allow-unsigned)" in pumice_run.stderr,
    ) == (
        0,
        True,
    )
    assert "x.example/a" in world.must("images")
    world.refused("run", "x.example/a:1")


def test_copies_outside_the_store_need_no_signature(world: TrustWorld, host: str, tmp_path: Path) -> None:
    world.must("copy", f"docker://{host}/team/unsigned:1.0", "oci:there:1")
    world.must("copy", "oci:there:1", f"docker://{host}/team/again:1")


def test_run_uses_the_name_in_the_image(world: TrustWorld, host: str) -> None:
    image_reference = f"docker://{host}/team/hello:1.0"
    assert "pass --as" in world.refused("run", image_reference, "/x")
    assert "signed as" not in world.do("run", "--as", OWN, image_reference, "/x").stderr
