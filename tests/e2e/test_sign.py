"""The commands ``pumice sign`` and ``pumice build --sign``."""

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
    pumice_run = world.do(
        "sign", "oci:out", "--key", "release.key", environment={"PUMICE_KEY_PASSPHRASE": "wrong"}
    )
    assert (pumice_run.code, "already signed" in pumice_run.stderr) == (0, True)
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


def test_sign_reports_errors(tmp_path: Path) -> None:
    world = signed_world(tmp_path)
    world.must("build", "recipe.yaml", "-o", "oci:plain", "-o", "oci-archive:plain.tar", store="unsigned")
    wrong_passphrase = {"PUMICE_KEY_PASSPHRASE": "wrong"}
    assert "does not open the key" in world.refused(
        "sign", "oci:plain", "--key", "release.key", environment=wrong_passphrase
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
    pumice_run = world.do("sign", "oci:plain", "--key", "release.key")
    assert (pumice_run.code, "https://spdx.dev/Document" in pumice_run.stderr) == (0, True)
    world.must(*demand, store="other")


@pytest.mark.parametrize("how", ["list", "blob", "content"])
def test_the_signature_cache_is_valid_only_while_the_signatures_exist(tmp_path: Path, how: str) -> None:
    world = signed_world(tmp_path)
    build = ("build", "recipe.yaml", "--sign", "release.key", "-o", "oci:out")
    world.must(*build, environment=WRONG)
    (referrer_list,) = [
        path for path in (tmp_path / "store" / "referrers").iterdir() if b"sigstore" in path.read_bytes()
    ]
    manifests = json.loads(sealed_files.unseal(referrer_list.read_bytes()) or b"")
    bundle = next(path["digest"] for path in manifests if "sigstore" in path.get("artifactType", ""))
    blob = tmp_path / "store" / "blobs" / bundle.replace(":", "/")
    if how == "list":
        referrer_list.unlink()
    elif how == "blob":
        blob.unlink()
    else:
        blob.chmod(0o644)
        blob.write_bytes(blob.read_bytes().replace(b"bundle", b"bungle"))
    assert "does not open the key" in world.refused(*build, environment=WRONG)
    world.must(*build)
    world.must("verify", "oci:out", "--key", "release.pub", store="other")
    world.must(*build, environment=WRONG)


def test_attestations_of_an_earlier_builds_documents_are_removed(tmp_path: Path) -> None:
    world = signed_world(tmp_path)
    world.write(extra="# another recipe that makes the same image\n")
    world.must("build", "recipe.yaml", "--sign", "release.key", "-o", "oci:out")
    verification = json.loads(
        world.must("verify", "oci:out", "--key", "release.pub", "--format", "json", store="x")
    )
    types = [(attestation["type"], attestation["form"]) for attestation in verification["attestations"]]
    assert len(types) == len(set(types)) == 6


def test_build_signs_with_the_key_of_the_configuration(tmp_path: Path) -> None:
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
    stderr_of_both = world.refused("build", "recipe.yaml", "--no-sign", "--sign", "release.key", code=2)
    assert "cannot use " in stderr_of_both
    settings.write_text("sign: {key: none, keys: x}\n")
    stderr = world.refused("build", "recipe.yaml", code=3)
    assert "config.yaml:1:19: unknown setting" in stderr
    settings.write_text("sign: {key: none}\n")
    stderr = world.refused("build", "recipe.yaml")
    assert "config.yaml:1:7: no such key 'none'" in stderr


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
    stderr = world.refused("sbom", "oci:out", store="other")
    assert "is not the document that was signed" in stderr
    world.must("sbom", "oci:out", "--format", "cyclonedx", store="other")
    world.must("sbom", "oci:out", "--scan", store="other")
    assert "the document is attested by" in world.refused("sbom", strip(layout), store="other")


def swap(layout: Path, kind: str, content: bytes) -> None:
    """Replace the attached document, as everybody with access to the layout can."""
    image = reading.read_layout(layout)
    (old_descriptor,) = [
        descriptor for descriptor in image.listed_referrers if descriptor.artifact_type == kind
    ]
    root = oci.Descriptor(image.root.media_type, image.root.digest, image.root.size)
    blobs = MemoryBlobs()
    new_descriptor = referrers.put_artifact(
        root, content, kind, blobs, annotations=old_descriptor.annotations
    )
    fresh = [content, b"{}", blobs.open(new_descriptor.digest).read()]
    referrer_descriptors = tuple(
        new_descriptor if descriptor == old_descriptor else descriptor
        for descriptor in image.listed_referrers
    )
    layout_writer.attach_referrers(
        layout, image, referrer_descriptors, referrers.OverlaidBlobs(fresh, image.blobs)
    )


def strip(layout: Path) -> str:
    """Remove all attestations; return the reference of the image."""
    image = reading.read_layout(layout)
    attestations = [
        descriptor
        for descriptor in image.listed_referrers
        if oci.ATTESTED_DIGEST in descriptor.annotations or ".att." in descriptor.artifact_type
    ]
    other_referrers = tuple(
        descriptor for descriptor in image.listed_referrers if descriptor not in attestations
    )
    layout_writer.attach_referrers(layout, image, other_referrers, image.blobs)
    return f"oci:{layout}"


def test_an_image_of_several_platforms_is_signed_on_each(tmp_path: Path) -> None:
    world = signed_world(tmp_path)
    arm64_packages = [Deb(**{**package.__dict__, "architecture": "arm64"}) for package in PACKAGES]
    world.publish([*PACKAGES, *arm64_packages])
    build = ("build", "recipe.yaml", "--arch", "amd64", "--arch", "arm64", "--sign", "release.key")
    digest = world.must(*build, "-o", "oci:both")
    assert world.must(*build, "-o", "oci:both", environment=WRONG) == digest
    for kind in TYPES:
        world.must("verify", "oci:both", "--key", "release.pub", "--attestation", kind, store="other")
    verification = json.loads(
        world.must("verify", "oci:both", "--key", "release.pub", "--format", "json", store="o")
    )
    assert [attestation["type"] for attestation in verification["attestations"]] == [
        "https://slsa.dev/provenance/v1"
    ] * 2
    tree = world.must("tree", "oci:both")
    assert tree.count("signature (sigstore bundle)") == 3
    assert tree.count("attestation (sigstore bundle) of SBOM (SPDX)") == 2
    assert tree.count("attestation (sigstore bundle) of provenance (SLSA v1)") == 3
