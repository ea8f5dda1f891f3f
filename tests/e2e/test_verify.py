"""The command ``pumice verify``."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pumice import digest
from pumice.image.transports import layout
from tests.support.trust_world import TrustWorld, signed_world


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TrustWorld:
    return signed_world(tmp_path_factory.mktemp("world"))


def test_verify_with_a_key(world: TrustWorld) -> None:
    printed = world.must("verify", "oci:out", "--key", "release.pub", store="other")
    assert printed.startswith("example.com/hello:1.0  sha256:")
    assert "(--key release.pub)" in printed


def test_verify_prints_json(world: TrustWorld) -> None:
    printed = json.loads(
        world.must("verify", "oci:out", "--key", "release.pub", "--format", "json", store="other")
    )
    assert sorted(signature["form"] for signature in printed["signatures"]) == ["bundle", "cosign"]
    assert (printed["ignored"], printed["built_here"]) == ([], False)


CHECKED = """\
checked  signature: signed by a trusted key
checked  name: signed as example.com/hello:1.0
checked  freshness: no newer image of this name was admitted before
"""


def test_verify_lists_its_checks(world: TrustWorld) -> None:
    printed = world.must("verify", "oci:out", "--key", "release.pub", "--as", "example.com/hello:1.0")
    assert CHECKED in printed
    assert re.search(r"^checked  content: \d+ blobs, .* match their digests$", printed, re.MULTILINE)


def test_an_image_built_here_needs_a_signature_unless_waived(world: TrustWorld) -> None:
    world.must("build", "recipe.yaml", "--no-sign")
    stderr = world.refused("verify", "example.com/hello:1.0")
    assert "no key is trusted for example.com/hello:1.0" in stderr
    printed = world.must("verify", "example.com/hello:1.0", "--allow-built-here")
    assert "skipped  signature: the image was built here" in printed
    assert "checked  name: the image declares the name example.com/hello:1.0" in printed
    stderr = world.refused("verify", "oci:out", "--allow-built-here", "--as", "example.com/bank:1.0")
    assert "the image has no valid signature" in stderr


def _change_a_layer(folder: Path) -> str:
    """Flip a byte of the last layer of a layout; return its name."""
    last = layout.read_layout(folder).layers()[-1].descriptor
    path = folder / layout.BLOBS / digest.hex_of(last.digest)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    return path.name


@pytest.mark.parametrize("kind", ["oci", "oci-archive"])
def test_a_changed_layer_does_not_verify(world: TrustWorld, tmp_path: Path, kind: str) -> None:
    import shutil
    import tarfile

    shutil.copytree(world.project / "out", tmp_path / "copy")
    name = _change_a_layer(tmp_path / "copy")
    location = f"oci:{tmp_path / 'copy'}"
    if kind == "oci-archive":
        location = f"oci-archive:{tmp_path / 'copy.tar'}"
        with tarfile.open(tmp_path / "copy.tar", "w") as archive:
            for path in ("oci-layout", "index.json", "blobs"):
                archive.add(tmp_path / "copy" / path, path)
    stderr = world.refused("verify", location, "--key", "release.pub")
    assert f"sha256:{name}: the content of a blob does not match its digest" in stderr
    printed = world.must("verify", location, "--key", "release.pub", "--no-content")
    assert "skipped  content: configs and layers were not hashed (--no-content)" in printed


def test_a_missing_layer_does_not_verify(world: TrustWorld, tmp_path: Path) -> None:
    import shutil

    shutil.copytree(world.project / "out", tmp_path / "copy")
    (tmp_path / "copy" / "blobs" / "sha256" / _change_a_layer(tmp_path / "copy")).unlink()
    stderr = world.refused("verify", f"oci:{tmp_path / 'copy'}", "--key", "release.pub", code=10)
    assert "the layout has no blob" in stderr


def test_verify_without_a_rule_is_refused(world: TrustWorld) -> None:
    stderr = world.refused("verify", "oci:out", store="other")
    assert "no key is trusted for example.com/hello:1.0: pumice trust add --prefix" in stderr


def test_verify_under_another_name_is_refused(world: TrustWorld) -> None:
    stderr = world.refused("verify", "oci:out", "--key", "release.pub", "--as", "example.com/bank:1.0")
    assert "signed as example.com/hello:1.0, not as example.com/bank:1.0" in stderr


def test_verify_with_another_key_is_refused(world: TrustWorld) -> None:
    world.must("key", "generate", "--output", "stranger")
    assert "not signed by a key that is trusted" in world.refused(
        "verify", "oci:out", "--key", "stranger.pub"
    )


def test_verify_refuses_an_older_image(world: TrustWorld) -> None:
    recipe = world.project / "recipe.yaml"
    text = recipe.read_text()
    recipe.write_text(text.replace('"1.0"', '"1.1"'))
    world.must("build", "recipe.yaml", "--sign", "release.key", "-o", "oci:newer")
    recipe.write_text(text)
    key = ("--key", "release.pub")
    world.must("verify", "oci:out", *key, store="third")
    world.must("verify", "oci:newer", *key, store="third")
    assert "1.1 was admitted" in world.refused("verify", "oci:out", *key, store="third")
    pumice_run = world.do("verify", "oci:out", *key, "--allow-older", store="third")
    assert pumice_run.code == 0
    assert "warning: example.com/hello:1.0: the image is older" in pumice_run.stderr
    world.refused("verify", "oci:out", *key, store="third")


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("--policy", "x"), 2, "--policy needs --attestation"),
        (("--key", "none.pub"), 7, "no such key"),
        (("--key", "release.key"), 8, "the file is a private key"),
        (("--key", "recipe.yaml"), 8, "expected one public key"),
    ],
)
def test_verify_reports_errors(
    world: TrustWorld, arguments: tuple[str, ...], code: int, message: str
) -> None:
    assert message in world.refused("verify", "oci:out", *arguments, code=code)
