"""``pumice sign`` and ``pumice build --sign`` as people type them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pumice.formats import oci
from pumice.image import referrers
from pumice.image.transports import layout as reading
from pumice.image.transports import layout_writer
from pumice.store import sealed_files
from pumice.store.memory_blobs import MemoryBlobs
from tests.support.deb import Deb
from tests.support.trust_world import SECRET, signed_world
from tests.support.world import PACKAGES


def test_an_image_is_signed_once_and_stays_signed(tmp_path: Path) -> None:
    world = signed_world(tmp_path)
    index = world.project / "out" / "index.json"
    before = index.read_bytes()
    done = world.do("sign", "oci:out", "--key", "release.key", environment={"PUMICE_KEY_PASSPHRASE": "wrong"})
    assert (done.code, "already signed" in done.stderr) == (0, True)
    world.must(
        "build", "recipe.yaml", "--sign", "release.key", "-o", "oci:out",
        environment={"PUMICE_KEY_PASSPHRASE": "wrong"},
    )  # fmt: skip
    assert index.read_bytes() == before
    assert len(json.loads(before)["manifests"]) == 1


def test_signatures_by_several_keys_are_kept(tmp_path: Path) -> None:
    world = signed_world(tmp_path)
    world.must("key", "generate", "--output", "second", "--type", "ed25519")
    world.must("sign", "oci:out", "--key", "second.key")
    for key in ("release.pub", "second.pub"):
        assert "signed   by" in world.must("verify", "oci:out", "--key", key)


def test_what_goes_wrong(tmp_path: Path) -> None:
    world = signed_world(tmp_path)
    world.must("build", "recipe.yaml", "-o", "oci:plain", "-o", "oci-archive:plain.tar", store="unsigned")
    wrong = {"PUMICE_KEY_PASSPHRASE": "wrong"}
    assert "does not open the key" in world.refused(
        "sign", "oci:plain", "--key", "release.key", environment=wrong
    )
    assert "is a public key" in world.refused("sign", "oci:plain", "--key", "release.pub", code=8)
    assert "cannot add to an archive" in world.refused(
        "sign", "oci-archive:plain.tar", "--key", "release.key", code=2
    )
    assert "no such key 'none'" in world.refused("sign", "oci:plain", "--key", "none")
    assert "invalid image name" in world.refused(
        "sign", "oci:plain", "--key", "release.key", "--as", "a b", code=2
    )
    assert "is not signed" in world.refused("verify", "oci:plain", "--key", "release.pub", store="other")


TYPES = ("slsaprovenance1", "spdx", "cyclonedx")
WRONG = {"PUMICE_KEY_PASSPHRASE": "wrong"}


def test_evidence_is_signed_with_the_image(tmp_path: Path) -> None:
    world = signed_world(tmp_path)
    for kind in TYPES:
        world.must("verify", "oci:out", "--key", "release.pub", "--attestation", kind, store="other")
    world.must("build", "recipe.yaml", "-o", "oci:plain", store="unsigned")
    world.must("sign", "oci:plain", "--key", "release.key", "--no-evidence")
    demand = ("verify", "oci:plain", "--key", "release.pub", "--attestation", "spdx")
    assert "no attestation https://spdx.dev/Document" in world.refused(*demand, store="other")
    done = world.do("sign", "oci:plain", "--key", "release.key")
    assert (done.code, "https://spdx.dev/Document" in done.stderr) == (0, True)
    world.must(*demand, store="other")


@pytest.mark.parametrize("how", ["list", "blob", "content"])
def test_the_signature_cache_is_valid_only_while_the_signatures_exist(tmp_path: Path, how: str) -> None:
    world = signed_world(tmp_path)
    again = ("build", "recipe.yaml", "--sign", "release.key", "-o", "oci:out")
    world.must(*again, environment=WRONG)
    (listed,) = [
        one for one in (tmp_path / "store" / "referrers").iterdir() if b"sigstore" in one.read_bytes()
    ]
    manifests = json.loads(sealed_files.unseal(listed.read_bytes()) or b"")
    bundle = next(one["digest"] for one in manifests if "sigstore" in one.get("artifactType", ""))
    blob = tmp_path / "store" / "blobs" / bundle.replace(":", "/")
    if how == "list":
        listed.unlink()
    elif how == "blob":
        blob.unlink()
    else:
        blob.chmod(0o644)
        blob.write_bytes(blob.read_bytes().replace(b"bundle", b"bungle"))
    assert "does not open the key" in world.refused(*again, environment=WRONG)
    world.must(*again)
    world.must("verify", "oci:out", "--key", "release.pub", store="other")
    world.must(*again, environment=WRONG)


def test_attestations_of_an_earlier_builds_documents_are_removed(tmp_path: Path) -> None:
    world = signed_world(tmp_path)
    world.write(extra="# another recipe that makes the same image\n")
    world.must("build", "recipe.yaml", "--sign", "release.key", "-o", "oci:out")
    told = json.loads(world.must("verify", "oci:out", "--key", "release.pub", "--format", "json", store="x"))
    types = [(one["type"], one["form"]) for one in told["attestations"]]
    assert len(types) == len(set(types)) == 6


def test_the_key_of_the_configuration_signs(tmp_path: Path) -> None:
    world = signed_world(tmp_path)
    folder = world.config / "pumice"
    folder.mkdir(parents=True)
    (folder / "secret").write_text(SECRET + "\n")
    settings = folder / "config.yaml"
    settings.write_text(
        f"sign:\n  key: {world.project}/release.key\n  passphrase_file: secret\n  prefix: example.com\n"
    )
    world.must("build", "recipe.yaml", "-o", "oci:signed", store="a", environment=WRONG)
    world.must("verify", "oci:signed", "--key", "release.pub", "--attestation", "spdx", store="other")
    world.must("build", "recipe.yaml", "--no-sign", "-o", "oci:unsigned", store="b")
    assert "is not signed" in world.refused("verify", "oci:unsigned", "--key", "release.pub", store="other")
    both = world.refused("build", "recipe.yaml", "--no-sign", "--sign", "release.key", code=2)
    assert "not allowed with" in both
    settings.write_text("sign: {key: none, keys: x}\n")
    said = world.refused("build", "recipe.yaml", code=3)
    assert "config.yaml:1:19: unknown setting" in said
    settings.write_text("sign: {key: none}\n")
    said = world.refused("build", "recipe.yaml")
    assert "config.yaml:1:7: no such key 'none'" in said


def test_a_replaced_document_is_not_printed(tmp_path: Path) -> None:
    world = signed_world(tmp_path)
    layout = world.project / "out"
    unchecked = world.do("sbom", "oci:out", store="other")
    assert (unchecked.code, "not signed by a trusted key" in unchecked.stderr) == (0, True)
    finger = json.loads(world.must("verify", "oci:out", "--key", "release.pub", "--format", "json"))
    key = finger["signatures"][0]["key"]
    world.must("trust", "add", "--prefix", "example.com", "release.pub", "--fingerprint", key)
    checked = world.do("sbom", "oci:out", store="other")
    assert (checked.code, checked.stdout_bytes, key in checked.stderr) == (0, unchecked.stdout_bytes, True)
    swap(layout, "application/spdx+json", b'{"spdxVersion":"SPDX-2.3","packages":[]}')
    said = world.refused("sbom", "oci:out", store="other")
    assert "is not the document that was signed" in said
    world.must("sbom", "oci:out", "--format", "cyclonedx", store="other")
    world.must("sbom", "oci:out", "--scan", store="other")
    assert "the document is attested by" in world.refused("sbom", strip(layout), store="other")


def swap(layout: Path, kind: str, content: bytes) -> None:
    """Put another document in the place of the one that is attached, as whoever has the folder can."""
    found = reading.read_layout(layout)
    (old,) = [one for one in found.beside if one.artifact_type == kind]
    root = oci.Descriptor(found.root.media_type, found.root.digest, found.root.size)
    blobs = MemoryBlobs()
    new = referrers.put_artifact(root, content, kind, blobs, annotations=old.annotations)
    fresh = [content, b"{}", blobs.open(new.digest).read()]
    listed = tuple(new if one == old else one for one in found.beside)
    layout_writer.attach_referrers(layout, found, listed, referrers.OverlaidBlobs(fresh, found.blobs))


def strip(layout: Path) -> str:
    """Remove all attestations, and return how to refer to the image."""
    found = reading.read_layout(layout)
    gone = [
        one for one in found.beside if oci.ATTESTED_DIGEST in one.annotations or ".att." in one.artifact_type
    ]
    kept = tuple(one for one in found.beside if one not in gone)
    layout_writer.attach_referrers(layout, found, kept, found.blobs)
    return f"oci:{layout}"


def test_an_image_of_several_platforms_is_signed_on_each(tmp_path: Path) -> None:
    world = signed_world(tmp_path)
    other = [Deb(**{**package.__dict__, "architecture": "arm64"}) for package in PACKAGES]
    world.publish([*PACKAGES, *other])
    both = ("build", "recipe.yaml", "--arch", "amd64", "--arch", "arm64", "--sign", "release.key")
    digest = world.must(*both, "-o", "oci:both")
    assert world.must(*both, "-o", "oci:both", environment=WRONG) == digest
    for kind in TYPES:
        world.must("verify", "oci:both", "--key", "release.pub", "--attestation", kind, store="other")
    told = json.loads(world.must("verify", "oci:both", "--key", "release.pub", "--format", "json", store="o"))
    assert [one["type"] for one in told["attestations"]] == ["https://slsa.dev/provenance/v1"] * 2
    tree = world.must("tree", "oci:both")
    assert tree.count("signature (sigstore bundle)") == 3
    assert tree.count("attestation (sigstore bundle) of SBOM (SPDX)") == 2
    assert tree.count("attestation (sigstore bundle) of provenance (SLSA v1)") == 3
