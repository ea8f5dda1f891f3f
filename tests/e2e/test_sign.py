"""``pumice sign`` and ``pumice build --sign`` as people type them."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.trusting import signed


def test_an_image_is_signed_once_and_stays_signed(tmp_path: Path) -> None:
    world = signed(tmp_path)
    index = world.project / "out" / "index.json"
    before = index.read_bytes()
    done = world.do("sign", "oci:out", "--key", "release.key", environment={"PUMICE_KEY_PASSPHRASE": "wrong"})
    assert (done.code, "was signed already" in done.stderr) == (0, True)
    world.must(
        "build", "recipe.yaml", "--sign", "release.key", "-o", "oci:out",
        environment={"PUMICE_KEY_PASSPHRASE": "wrong"},
    )  # fmt: skip
    assert index.read_bytes() == before
    assert len(json.loads(before)["manifests"]) == 1


def test_signatures_of_several_keys_stay_beside_each_other(tmp_path: Path) -> None:
    world = signed(tmp_path)
    world.must("key", "generate", "--output", "second", "--type", "ed25519")
    world.must("sign", "oci:out", "--key", "second.key")
    for key in ("release.pub", "second.pub"):
        assert "signed   by" in world.must("verify", "oci:out", "--key", key)


def test_what_goes_wrong(tmp_path: Path) -> None:
    world = signed(tmp_path)
    world.must("build", "recipe.yaml", "-o", "oci:plain", "-o", "oci-archive:plain.tar", store="unsigned")
    wrong = {"PUMICE_KEY_PASSPHRASE": "wrong"}
    assert "does not open the key" in world.refused(
        "sign", "oci:plain", "--key", "release.key", environment=wrong
    )
    assert "is a public key" in world.refused("sign", "oci:plain", "--key", "release.pub", code=8)
    assert "not changed once" in world.refused(
        "sign", "oci-archive:plain.tar", "--key", "release.key", code=2
    )
    assert "there is no key 'none'" in world.refused("sign", "oci:plain", "--key", "none")
    assert "is not the name of an image" in world.refused(
        "sign", "oci:plain", "--key", "release.key", "--as", "a b", code=2
    )
    assert "is not signed" in world.refused("verify", "oci:plain", "--key", "release.pub", store="other")
