"""What was once rightly signed and is used again: about another image, name or thing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from pumice import files
from pumice.errors import TrustError
from pumice.formats import dsse, intoto, oci, sigstore
from pumice.image.model import Image
from pumice.image.transports import attachment, layout
from pumice.store.home import Home
from pumice.trust import claims, document_verification, image_verification, keys, policy, policy_edit
from pumice.trust.policy_files import PolicyDirectory
from tests.support import signed_images
from tests.support.signed_images import NAME, folder, key, sign_folder, trusted
from tests.support.signed_images import attested as attest

KIND = intoto.parse_predicate_type("custom")


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "home")


def replay(source: Image, target: Path) -> Image:
    """Attach every blob that is attached to one image to another one."""
    for attached in claims.read_attached_manifests(source, None):
        image = layout.read_layout(target)
        attachment_target = attachment.LayoutAttachment(target, image)
        for layer in attached.manifest.layers:
            with attached.blobs.open(layer.digest) as file:
                attachment_target.put(file.read(), layer.media_type)
        with attached.blobs.open(attached.manifest.config.digest) as file:
            attachment_target.put(file.read(), attached.manifest.config.media_type)
        manifest = msgspec.structs.replace(attached.manifest, subject=image.root)
        attachment_target.change(
            image.root.digest, [attachment_target.put(oci.encode_document(manifest), oci.MANIFEST)], []
        )
        attachment_target.finish()
    return layout.read_layout(target)


def attesting(image: Image, home: Home, expected: str = NAME) -> int:
    problems = document_verification.check_attestations(
        image, home, [trusted()], KIND, expected=expected, now=0
    )
    return sum(len(of_manifest) for of_manifest in problems.values())


def test_an_attestation_is_not_valid_for_another_image(tmp_path: Path, home: Home) -> None:
    sign_folder(folder(tmp_path / "good"), 0)
    attested_image = attest(tmp_path / "good", 0, {"reviewed": True})
    assert attesting(attested_image, home) == 2
    replayed_image = replay(attested_image, folder(tmp_path / "evil", signed_images.image(content=b"evil")))
    assert len(list(claims.read_attached_manifests(replayed_image, None))) == 4
    assert attesting(replayed_image, home) == 0
    with pytest.raises(TrustError, match="about another image"):
        image_verification.verify_image(replayed_image, home, [trusted()], expected=NAME, now=0)


def test_an_attestation_under_another_name_is_not_valid(tmp_path: Path, home: Home) -> None:
    image = attest(folder(tmp_path / "image"), 0, {}, name="example.com/bank:1.0")
    assert attesting(image, home) == 0
    assert attesting(image, home, expected="example.com/bank:1.0") == 2


def test_an_attestation_of_another_type_is_not_valid(tmp_path: Path, home: Home) -> None:
    image = attest(folder(tmp_path / "image"), 0, {}, kind="https://example.com/review/v1")
    assert attesting(image, home) == 0


def test_an_attestation_annotated_as_a_signature_is_not_a_signature(tmp_path: Path) -> None:
    path = folder(tmp_path / "image")
    for attached in claims.read_attached_manifests(attest(path, 0, {}), None):
        image = layout.read_layout(path)
        target = attachment.LayoutAttachment(path, image)
        notes = {sigstore.PREDICATE_TYPE: sigstore.SIGN}
        manifest = msgspec.structs.replace(attached.manifest, annotations=notes)
        target.change(image.root.digest, [target.put(oci.encode_document(manifest), oci.MANIFEST)], [])
        target.finish()
    with pytest.raises(TrustError, match="an attestation by a trusted key, but no signature"):
        image_verification.verify_image(
            layout.read_layout(path), None, [trusted()], expected=NAME, now=0, signatures_only=True
        )


def test_a_signature_over_a_statement_does_not_verify_its_payload(tmp_path: Path) -> None:
    image = sign_folder(folder(tmp_path / "image"), 0)
    (bundle,) = [claim for claim in claims.read_claims(image, None) if claim.form == "bundle"]
    payload = bundle.signed.split(b" ", 4)[4]
    assert bundle.signed == dsse.encode_pae(dsse.IN_TOTO, payload)
    assert not any(keys.verify_signature(key().public_key, claim, payload) for claim in bundle.signatures)


def test_a_key_is_trusted_at_every_step_of_a_rotation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    level = PolicyDirectory("user", tmp_path)
    policy_edit.add_key(level, key(0).public_key, "example.com")
    policy_edit.set_threshold(level, "example.com", 1)
    trusted_sets: list[set[str]] = []
    write = files.replace

    def watched(path: Path, data: bytes, **how: Any) -> None:
        for moment in ("before", "after"):
            live = [
                rule for rule in policy.read_name_policy(NAME, [level]).keys if not rule.rejection_reason(100)
            ]
            trusted_sets.append({rule.key.fingerprint for rule in live})
            if moment == "before":
                write(path, data, **how)

    monkeypatch.setattr(files, "replace", watched)
    policy_edit.rotate_key(level, policy.read_rules([level]), key(1).public_key, until=50)
    old, new = key(0).public_key.fingerprint, key(1).public_key.fingerprint
    assert trusted_sets == [{old}, {old, new}, {old, new}, {new}]


def test_concurrent_rotations_of_one_key_make_one_signer(tmp_path: Path) -> None:
    from pumice.trust import signers

    level = PolicyDirectory("user", tmp_path)
    policy_edit.add_key(level, key(0).public_key, "example.com")
    seen_by_both = policy.read_rules([level])
    policy_edit.rotate_key(level, seen_by_both, key(1).public_key, until=100)
    policy_edit.rotate_key(level, seen_by_both, key(2).public_key, until=100)
    rules = policy.read_name_policy(NAME, [level]).keys
    assert len(rules) == 3
    assert signers.count_signers(rules, rules) == 1


def test_a_rotation_does_not_restore_a_key_that_was_removed_concurrently(tmp_path: Path) -> None:
    level = PolicyDirectory("user", tmp_path)
    policy_edit.add_key(level, key(0).public_key, "example.com")
    seen_before = policy.read_rules([level])
    policy_edit.remove_rule(level, seen_before[0])
    with pytest.raises(TrustError, match="was changed by another process"):
        policy_edit.rotate_key(level, seen_before, key(1).public_key, until=100)
    assert policy.read_rules([level]) == []
