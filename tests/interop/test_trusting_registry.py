"""A registry that accepts tags only for trusted images, with several clients."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import trust_world
from tests.support.peers import need
from tests.support.serving import MANIFEST, Registry, digest_of, image, serving
from tests.support.trust_world import TrustWorld


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TrustWorld:
    """Return a world with a signed layout ``oci:out``, and a key that is trusted for every name."""
    new_world = trust_world.signed_world(tmp_path_factory.mktemp("world"))
    fingerprint(new_world)
    for repository in ("team/app", "other/app"):
        new_world.must("trust", "mirror", f"registry.example/{repository}", "example.com/hello")
    return new_world


def fingerprint(world: TrustWorld) -> str:
    """Trust the world's key for every name; return its fingerprint."""
    from pumice.trust import public_keys

    release_fingerprint = public_keys.read_public_key(world.project / "release.pub").fingerprint
    world.must("trust", "add", "--root", "release.pub", "--fingerprint", release_fingerprint)
    return release_fingerprint


@pytest.fixture
def registry(world: TrustWorld, tmp_path: Path) -> Iterator[Registry]:
    with serving(
        tmp_path / "root", "--require-signed", str(world.config / "pumice/trust")
    ) as running_registry:
        yield running_registry


def run(*command: str, folder: Path, is_expected_to_succeed: bool = True) -> str:
    environment = os.environ | {"COSIGN_PASSWORD": trust_world.SECRET, "HOME": str(folder)}
    process = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    assert (process.returncode == 0) is is_expected_to_succeed, process.stderr
    return process.stdout if is_expected_to_succeed else process.stderr


def test_a_signed_image_is_pushed_with_its_signatures(world: TrustWorld, registry: Registry) -> None:
    location = f"docker://{registry.host}/team/app:1.0"
    world.must("push", "oci:out", location)
    assert registry.ask("GET", "/v2/team/app/manifests/1.0").status == 200
    assert "signed" in world.must("verify", location, "--as", "example.com/hello:1.0", "--key", "release.pub")
    other_location = f"docker://{registry.host}/other/app:latest"
    world.must("copy", location, other_location)
    assert registry.ask("GET", "/v2/other/app/manifests/latest").status == 200


def test_an_unsigned_image_gets_no_tag(world: TrustWorld, registry: Registry) -> None:
    pumice_run = world.do("push", "--only-image", "oci:out", f"docker://{registry.host}/team/plain:1.0")
    assert pumice_run.code != 0
    assert "DENIED: the policy does not allow the tag: the image is not signed; " in pumice_run.stderr
    assert "push the image by digest, sign it, then set the tag" in pumice_run.stderr
    assert registry.ask("GET", "/v2/team/plain/manifests/1.0").status == 404
    world.must("push", "oci:out", f"docker://{registry.host}/hello:1.0")
    refused = world.do(
        "copy",
        "--only-image",
        f"docker://{registry.host}/hello:1.0",
        f"docker://{registry.host}/stripped/hello:1.0",
    )
    assert "the image is not signed" in refused.stderr


def test_a_revocation_takes_effect_without_a_restart(tmp_path: Path) -> None:
    world = trust_world.signed_world(tmp_path / "world")
    key = fingerprint(world)
    with serving(tmp_path / "root", "--require-signed", str(world.config / "pumice/trust")) as registry:
        world.must("push", "oci:out", f"docker://{registry.host}/hello:1.0")
        world.must("trust", "revoke", key, "--reason", "lost")
        refused = world.do("push", "oci:out", f"docker://{registry.host}/hello:latest")
        assert "revoked (lost)" in refused.stderr


def test_an_image_signed_as_another_name_or_version_gets_no_tag(
    world: TrustWorld, registry: Registry
) -> None:
    for tag, reason in (
        ("another/app:1.0", "the image is signed as example.com/hello, not as another/app"),
        ("hello:2.0", "the signed version is 1.0, and the tag is 2.0"),
    ):
        refused = world.do("push", "oci:out", f"docker://{registry.host}/{tag}")
        assert refused.code != 0
        assert reason in refused.stderr
    world.must("push", "oci:out", f"docker://{registry.host}/hello:latest")


def test_every_tag_of_a_put_is_checked(registry: Registry) -> None:
    document = image()
    digest = digest_of(document)
    for data in (b"{}", b"layer"):
        registry.push_blob("many", data)
    assert registry.put("many", digest, document).status == 201
    mixed = registry.put("many", digest, document, tag=[digest.replace(":", "-"), "1.0"])
    assert (mixed.status, mixed.code) == (403, "DENIED")
    assert registry.ask("GET", "/v2/many/tags/list").json["tags"] == []
    assert registry.put("many", "sha256-" + "0" * 63, document).status == 403
    assert registry.put("many", digest.replace(":", "-") + ".exe", document).status == 403


def test_a_manifest_that_is_not_an_image_is_refused_with_one_sentence(registry: Registry) -> None:
    for document, kind in ((b'{"a": 1}', "application/x"), (b'{"annotations": 7}', "application/y+json")):
        assert registry.put("odd", "v1", document, kind).status == 403
    digest = digest_of(b'{"a": 1}', "sha512")
    assert registry.put("odd", digest, b'{"a": 1}', "application/x", tag="v1").status == 403


@pytest.mark.parametrize("generation", ["cosign2", "cosign3"])
def test_crane_and_cosign_push_by_digest_then_sign_then_tag(
    world: TrustWorld, registry: Registry, tmp_path: Path, generation: str
) -> None:
    crane, cosign = need("crane"), need(generation)
    name = f"{registry.host}/theirs/{generation}"
    output = run(
        crane,
        "push",
        str(world.project / "out"),
        f"{name}:1.0",
        folder=tmp_path,
        is_expected_to_succeed=False,
    )
    assert "push the image by digest, sign it, then set the tag" in output
    for data in (b"{}", b"layer"):
        registry.push_blob(f"theirs/{generation}", data)
    document = image()
    digest = digest_of(document)
    run(
        crane,
        "push",
        str(world.project / "out"),
        f"{name}@{_root(world.project / 'out')}",
        folder=tmp_path,
    )
    assert registry.put(f"theirs/{generation}", digest, document, MANIFEST).status == 201
    assert "not signed" in run(
        crane, "tag", f"{name}@{digest}", "1.0", folder=tmp_path, is_expected_to_succeed=False
    )
    offline = ["--tlog-upload=false"]
    if generation == "cosign3":
        services = {
            "mediaType": "application/vnd.dev.sigstore.signingconfig.v0.2+json",
            "rekorTlogConfig": {"selector": "ANY"},
            "tsaConfig": {"selector": "ANY"},
        }
        (tmp_path / "services.json").write_text(json.dumps(services))
        offline = ["--signing-config", "services.json"]
    key = str(world.project / "release.key")
    run(
        *(cosign, "sign", "--yes", "--allow-http-registry", *offline, "--key", key, f"{name}@{digest}"),
        folder=tmp_path,
    )
    run(crane, "tag", f"{name}@{digest}", "1.0", folder=tmp_path)
    assert registry.ask("GET", f"/v2/theirs/{generation}/manifests/1.0").body == document


def _root(folder: Path) -> str:
    return str(json.loads((folder / "index.json").read_text())["manifests"][0]["digest"])
