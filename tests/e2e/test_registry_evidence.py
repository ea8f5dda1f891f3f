"""Evidence and signatures are copied between registries without loss, and verify there."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from tests.support import registry as support
from tests.support.registry import Registry
from tests.support.trust_world import TrustWorld

NAME = "example.com/hello:1.0"
KINDS = ["memory", pytest.param("debian", marks=pytest.mark.peer("docker-registry"))]


@pytest.fixture(params=KINDS)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A registry with the referrers API, and docker-registry, which has none."""
    if request.param == "debian":
        with support.debian(tmp_path) as docker_registry:
            yield docker_registry
    else:
        with support.serving(Registry()) as docker_registry:
            yield docker_registry


def attached(world: TrustWorld, reference: str, store: str = "store") -> list[str]:
    """Return the sorted output of ``tree``, with artifacts."""

    def names(branch: object) -> Iterator[str]:
        if isinstance(branch, dict):
            yield from [str(branch["digest"])] if "digest" in branch else []
            for value in branch.values():
                yield from names(value)
        elif isinstance(branch, list):
            for artifact in branch:
                yield from names(artifact)

    return sorted(names(json.loads(world.must("tree", reference, "--format", "json", store=store))))


def test_a_signed_build_survives_a_round_trip(host: str, tmp_path: Path) -> None:
    world = TrustWorld(tmp_path)
    world.must("key", "generate", "--output", "release")
    pushed = f"docker://{host}/team/hello:1.0"
    world.must("build", "recipe.yaml", "--sign", "release.key", "-o", pushed, "-o", "oci:out")
    expected = attached(world, "oci:out")
    assert len(expected) > 6
    assert attached(world, pushed) == expected
    hops = [
        *(pushed, "store:example.com/a:1", f"docker://{host}/b:1", "oci-archive:c.tar:1"),
        *("oci:d:1", f"docker://{host}/e:1", "store:example.com/f:1"),
    ]
    world.trust("release.pub")
    for source, target in pairwise(hops):
        signed_as = ("--as", NAME) if source.startswith("docker:") else ()
        world.must("copy", source, target, *signed_as, store="elsewhere")
        stored_name = target.removeprefix("store:")
        assert attached(world, stored_name, "elsewhere") == expected, target
        output = world.must("verify", stored_name, "--key", "release.pub", "--as", NAME, store="elsewhere")
        assert "signed   by" in output
    assert world.must("sbom", pushed, store="other") == world.must("sbom", "oci:out", store="other")


def test_an_image_is_signed_and_attested_in_its_registry(host: str, tmp_path: Path) -> None:
    world = TrustWorld(tmp_path)
    for key in ("one", "two"):
        world.must("key", "generate", "--output", key)
    (world.project / "p.json").write_text('{"passed": true}')
    pushed = f"docker://{host}/team/hello:1.0"
    world.must("build", "recipe.yaml", "-o", pushed)
    assert "not signed" in world.refused("verify", pushed, "--key", "one.pub", store="other")
    for key in ("one", "two"):
        world.must("sign", pushed, "--key", f"{key}.key")
    second_signing = world.do(
        "sign", pushed, "--key", "one.key", environment={"PUMICE_KEY_PASSPHRASE": "wrong"}
    )
    assert (second_signing.code, "already signed" in second_signing.stderr) == (0, True)
    world.must("attest", pushed, "--key", "one.key", "--type", "https://t.example/t", "--predicate", "p.json")
    for key in ("one", "two"):
        assert "signed   by" in world.must("verify", pushed, "--key", f"{key}.pub", store="other")
    world.must("verify", pushed, "--key", "one.pub", "--attestation", "https://t.example/t", store="other")
    assert "no key is trusted for" in world.refused("pull", pushed, "example.com/x:1", store="third")
    world.trust("two.pub", pushed.removeprefix("docker://").rpartition(":")[0])
    world.must("pull", pushed, "example.com/x:1", store="third")
    assert "signed   by" in world.must(
        "verify", "example.com/x:1", "--key", "two.pub", "--as", NAME, store="third"
    )
