"""What counts as a signature, and everything that does not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pumice.errors import PumiceError, TrustError
from pumice.formats import dsse, intoto, oci, sigstore, simplesigning
from pumice.image.model import Image
from pumice.image.transports import attachment, layout
from pumice.trust import claims, image_signing, image_verification, keys, public_keys
from pumice.trust.trusted_key import TrustedKey
from tests.support import signed_images
from tests.support.signed_images import DATA, NAME, attested, folder, key, sign_folder, signer, trusted


def checked(
    image: Image, *trust: TrustedKey, expected: str = NAME, **more: Any
) -> image_verification.VerifiedImage:
    return image_verification.verify_image(image, None, trust, expected=expected, now=1_000_000_000, **more)


def refused(image: Image, *trust: TrustedKey, expected: str = NAME, **more: Any) -> str:
    with pytest.raises(TrustError) as caught:
        checked(image, *trust, expected=expected, **more)
    return caught.value.message


def predicates(image: Image, *trust: TrustedKey) -> list[Any]:
    evaluations = image_verification.evaluate_claims(image, None, trust, expected="", now=1_000_000_000)
    return [
        evaluation.claim.predicate
        for evaluation in evaluations
        if not evaluation.problem and not evaluation.claim.is_signature
    ]


@pytest.fixture
def layout_folder(tmp_path: Path) -> Path:
    return folder(tmp_path / "image")


def test_both_formats_are_verified(layout_folder: Path) -> None:
    verdict = checked(sign_folder(layout_folder, 0), trusted())
    assert [evaluation.claim.form for evaluation in verdict.signatures] == ["cosign", "bundle"]
    assert (verdict.name, verdict.rejected) == (NAME, ())


def test_signing_is_deterministic_and_done_once(layout_folder: Path, tmp_path: Path) -> None:
    sign_folder(layout_folder, 0)
    other_folder = folder(tmp_path / "other")
    sign_folder(other_folder, 0)
    index_before = (layout_folder / "index.json").read_bytes()
    assert index_before == (other_folder / "index.json").read_bytes()

    def never() -> keys.PrivateKey:
        raise AssertionError("the key was opened")

    image = layout.read_layout(layout_folder)
    second_signing = image_signing.sign_image(
        image,
        attachment.LayoutAttachment(layout_folder, image),
        None,
        image_signing.Signer(key().public_key, never),
    )
    assert not second_signing.is_new
    assert (layout_folder / "index.json").read_bytes() == index_before


def test_a_signed_layout_still_has_one_descriptor_in_its_index(layout_folder: Path) -> None:
    sign_folder(layout_folder, 0)
    index = json.loads((layout_folder / "index.json").read_bytes())
    (descriptor,) = index["manifests"]
    assert descriptor["annotations"]["dev.pumice.referrers"].startswith("sha256:")


def test_an_unsigned_image_is_refused(layout_folder: Path) -> None:
    assert refused(layout.read_layout(layout_folder), trusted()) == "the image is not signed"


def test_a_signature_by_another_key_is_refused(layout_folder: Path) -> None:
    assert "not signed by a key that is trusted" in refused(sign_folder(layout_folder, 1), trusted())


def test_a_signature_under_another_name_is_refused(layout_folder: Path) -> None:
    image = sign_folder(layout_folder, 0)
    message = refused(image, trusted(), expected="example.com/other:1.0")
    assert f"signed as {NAME}, not as example.com/other:1.0" in message
    assert "not as example.com/hello:2" in refused(image, trusted(), expected="example.com/hello:2")
    assert checked(image, trusted(), expected="example.com/hello").signatures


def test_a_requested_name_replaces_the_declared_name(layout_folder: Path) -> None:
    image = sign_folder(layout_folder, 0, name="example.com/other:7")
    assert checked(image, trusted(), expected="example.com/other:7").signatures
    assert "not as" in refused(image, trusted())
    assert "not as" in refused(image, trusted(), expected="")


def test_an_image_without_a_name_is_signed_as_the_requested_name(tmp_path: Path) -> None:
    layout_folder = folder(tmp_path / "image", signed_images.image(""))
    with pytest.raises(PumiceError, match="declares no name"):
        sign_folder(layout_folder, 0)
    assert checked(sign_folder(layout_folder, 0, name=NAME), trusted(), expected="").name == NAME


def test_an_attestation_is_not_a_signature(layout_folder: Path) -> None:
    assert "an attestation by a trusted key, but no signature" in refused(
        attested(layout_folder, 0, {}), trusted()
    )


def test_the_error_mentions_an_attestation_by_a_trusted_key(layout_folder: Path) -> None:
    sign_folder(layout_folder, 0)
    attested(layout_folder, 1, {"by": "stranger"})
    verdict = checked(attested(layout_folder, 0, {"by": "us"}), trusted())
    assert predicates(layout.read_layout(layout_folder), trusted()) == [{"by": "us"}] * 2
    assert (len(verdict.attestations), len(verdict.rejected)) == (2, 2)


def test_a_stranger_hides_nothing(layout_folder: Path) -> None:
    sign_folder(layout_folder, 1, 0, 2)
    verdict = checked(attested(layout_folder, 1, {}), trusted())
    assert len(verdict.signatures) == 2


@pytest.mark.parametrize("media_type", [simplesigning.PAYLOAD, dsse.ENVELOPE, sigstore.BUNDLE])
@settings(max_examples=15)
@given(data=st.binary(max_size=100))
def test_garbage_does_not_hide_a_signature(
    tmp_path_factory: pytest.TempPathFactory, media_type: str, data: bytes
) -> None:
    path = folder(tmp_path_factory.mktemp("garbage") / "image")
    image = sign_folder(path, 0)
    _attach(path, image, media_type, data, {simplesigning.SIGNATURE: "!"})
    verdict = checked(layout.read_layout(path), trusted())
    assert len(verdict.signatures) == 2
    assert all(evaluation.problem for evaluation in verdict.rejected)


def _attach(
    path: Path, image: Image, media_type: str, data: bytes, annotations: dict[str, str] | None = None
) -> None:
    target = attachment.LayoutAttachment(path, image)
    layer = msgspec.structs.replace(target.put(data, media_type), annotations=annotations or {})
    manifest = oci.Manifest(
        schema_version=2,
        config=target.put(b"{}", oci.EMPTY),
        layers=(layer,),
        subject=image.root,
        artifact_type="x/y",
    )
    target.change(image.root.digest, [target.put(oci.encode_document(manifest), oci.MANIFEST)], [])
    target.finish()


def test_a_signature_of_another_image_is_not_valid(layout_folder: Path, tmp_path: Path) -> None:
    other_image = sign_folder(folder(tmp_path / "other", signed_images.image(content=b"evil")), 0)
    image = layout.read_layout(layout_folder)
    for claim in claims.read_claims(other_image, None):
        envelope = dsse.Envelope(dsse.IN_TOTO, b"", (dsse.Signature(claim.signatures[0]),))
        if claim.form == "bundle":
            payload = claim.signed.split(b" ", 4)[4]
            envelope = msgspec.structs.replace(envelope, payload=payload)
            _attach(layout_folder, image, sigstore.BUNDLE, sigstore.encode_bundle(sigstore.Bundle(envelope)))
    assert "it is about another image" in refused(layout.read_layout(layout_folder), trusted())


def test_a_signature_over_changed_bytes_is_not_valid(layout_folder: Path) -> None:
    image = layout.read_layout(layout_folder)
    payload = intoto.encode_statement(
        intoto.Statement((intoto.Subject(NAME, image.root.digest),), sigstore.SIGN, b"{}")
    )
    signature = dsse.Signature(key().sign(dsse.encode_pae("text/plain", payload)))
    envelope = dsse.Envelope(dsse.IN_TOTO, payload, (signature,))
    _attach(layout_folder, image, sigstore.BUNDLE, sigstore.encode_bundle(sigstore.Bundle(envelope)))
    assert "not signed by a key that is trusted" in refused(layout.read_layout(layout_folder), trusted())


def test_a_changed_blob_is_detected(layout_folder: Path) -> None:
    image = sign_folder(layout_folder, 0)
    for claim in claims.read_claims(image, None):
        manifest = oci.read_manifest((layout_folder / "blobs" / claim.source.replace(":", "/")).read_bytes())
        path = layout_folder / "blobs" / manifest.layers[0].digest.replace(":", "/")
        path.write_bytes(path.read_bytes().replace(b"hello", b"hellO").replace(b"5", b"6"))
    assert "does not match its digest" in refused(layout.read_layout(layout_folder), trusted())


def test_expired_and_revoked_keys_are_not_trusted(layout_folder: Path) -> None:
    image = sign_folder(layout_folder, 0)
    assert "expired on 2001-09-09" in refused(image, trusted(expires=1_000_000_000))
    assert "is revoked (stolen)" in refused(image, trusted(revocation="stolen"))
    assert checked(image, trusted(expires=1_000_000_001)).signatures


def test_thresholds_count_keys_not_signatures(layout_folder: Path) -> None:
    image = sign_folder(layout_folder, 0)
    trust = (trusted(0), trusted(1), trusted(2))
    assert refused(image, *trust, threshold=2).startswith("the image is signed by 1 of 2 required keys: ")
    assert checked(sign_folder(layout_folder, 2), *trust, threshold=2).signatures


@pytest.mark.parametrize("kind", keys.GENERATED_KINDS)
def test_every_kind_of_key_signs_and_verifies(layout_folder: Path, kind: str) -> None:
    private_key = keys.generate_key(kind)
    image = layout.read_layout(layout_folder)
    image_signing.sign_image(
        image,
        attachment.LayoutAttachment(layout_folder, image),
        None,
        image_signing.Signer(private_key.public_key, lambda: private_key),
    )
    assert checked(
        layout.read_layout(layout_folder), TrustedKey(key=private_key.public_key, rule="x")
    ).signatures


def test_an_index_is_signed_with_its_platforms(tmp_path: Path) -> None:
    from tests.support import handmade
    from tests.support.handmade import AMD64, ARM64, ImageContents, file

    unsigned_index = handmade.index(
        {AMD64: ImageContents([[file("a")]]), ARM64: ImageContents([[file("b")]])}
    )
    layout_folder = folder(tmp_path / "image", unsigned_index)
    image = sign_folder(layout_folder, 0, name=NAME)
    for signed_image in (image, *(image.at(descriptor) for descriptor, _ in image.members())):
        assert len(checked(signed_image, trusted()).signatures) == 2


@pytest.mark.parametrize("name", ["cosign2", "cosign3"])
def test_images_that_cosign_signed_and_saved(name: str) -> None:
    image = layout.read_layout(DATA / name)
    by = TrustedKey(key=public_keys.read_public_key(DATA / "saved.pub"), rule="x")
    verdict = checked(image, by, expected="")
    assert len(verdict.signatures) == 1
    assert len(verdict.attestations) == 1
    assert predicates(image, by) == [{"Data": '{"a":1.5}', "Timestamp": ANY}]


def test_a_signature_without_a_name_is_valid_for_the_declared_name(layout_folder: Path) -> None:
    image = layout.read_layout(layout_folder)
    payload = intoto.encode_statement(
        intoto.Statement((intoto.Subject("", image.root.digest),), sigstore.SIGN, b"{}")
    )
    envelope = dsse.Envelope(
        dsse.IN_TOTO, payload, (dsse.Signature(key().sign(dsse.encode_pae(dsse.IN_TOTO, payload))),)
    )
    _attach(layout_folder, image, sigstore.BUNDLE, sigstore.encode_bundle(sigstore.Bundle(envelope)))
    assert checked(layout.read_layout(layout_folder), trusted()).signatures
    assert "not as" in refused(layout.read_layout(layout_folder), trusted(), expected="example.com/other:1.0")


def test_the_error_mentions_a_signature_by_certificate(layout_folder: Path) -> None:
    subject = intoto.Subject("", layout.read_layout(layout_folder).root.digest)
    payload = intoto.encode_statement(intoto.Statement((subject,), sigstore.SIGN, b"{}"))
    document = {
        "mediaType": sigstore.BUNDLE,
        "verificationMaterial": {"certificate": {}},
        "dsseEnvelope": dsse.envelope_to_json(dsse.Envelope(dsse.IN_TOTO, payload, (dsse.Signature(b""),))),
    }
    _attach(layout_folder, layout.read_layout(layout_folder), sigstore.BUNDLE, json.dumps(document).encode())
    assert "signed with a certificate" in refused(layout.read_layout(layout_folder), trusted())


def test_keys_that_do_not_match_are_refused(layout_folder: Path) -> None:
    image = layout.read_layout(layout_folder)
    with pytest.raises(TrustError, match="does not match the public key"):
        image_signing.sign_image(
            image,
            attachment.LayoutAttachment(layout_folder, image),
            None,
            image_signing.Signer(signer(1).public_key, lambda: key(0)),
        )


@pytest.mark.parametrize(
    ("policy", "predicate", "where"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, ""),
        ({"a": {"b": "x"}}, {"a": {"b": "y"}}, ".a.b"),
        ({"a": 1}, {}, ".a"),
        ({"a": [1]}, {"a": [2, 1]}, ""),
        ([{"n": 1}], [{"n": 2}], "[0]"),
        ({"a": True}, {"a": 1}, ".a"),
        ({}, [], "."),
    ],
)
def test_policies_are_matched_against_predicates(policy: object, predicate: object, where: str) -> None:
    assert image_verification.find_mismatch(policy, predicate) == where


_GOOD = dsse.Envelope(dsse.IN_TOTO, b"{}", (dsse.Signature(b"x"),))
_HOSTILE = [
    (sigstore.BUNDLE, b"[" * 100_000, "nested too deep"),
    (dsse.ENVELOPE, b'{"a":' * 100_000, "nested too deep"),
    (sigstore.BUNDLE, b'{"mediaType":"a","mediaType":"b"}', "duplicate key"),
    (simplesigning.PAYLOAD, b'{"critical":{"type":"a","type":"b"}}', "duplicate key"),
    (dsse.ENVELOPE, b'{"payloadType":"text/plain","payload":"","signatures":[{}]}', "payload type"),
    (sigstore.BUNDLE, sigstore.encode_bundle(sigstore.Bundle(_GOOD)), "statement"),
    (simplesigning.PAYLOAD, b'{"critical":{"type":"x","identity":{},"image":{}}}', "unsupported type"),
]  # fmt: skip


@pytest.mark.parametrize(("media_type", "data", "message"), _HOSTILE)
def test_hostile_attachments_are_reported_and_hide_nothing(
    layout_folder: Path, media_type: str, data: bytes, message: str
) -> None:
    _attach(
        layout_folder, layout.read_layout(layout_folder), media_type, data, {simplesigning.SIGNATURE: "eA=="}
    )
    assert message in refused(layout.read_layout(layout_folder), trusted())
    verdict = checked(sign_folder(layout_folder, 0), trusted())
    assert len(verdict.signatures) == 2


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa-p384", "rsa"])
def test_a_key_of_another_kind_does_not_verify(layout_folder: Path, kind: str) -> None:
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    private = {
        "ed25519": lambda: keys.generate_key("ed25519"),
        "ecdsa-p384": lambda: keys.PrivateKey(ec.generate_private_key(ec.SECP384R1())),
        "rsa": lambda: keys.PrivateKey(rsa.generate_private_key(65537, 2048)),
    }[kind]()
    other_key = TrustedKey(key=private.public_key, rule="x")
    assert "not signed by a key that is trusted" in refused(sign_folder(layout_folder, 0), other_key)


@pytest.mark.parametrize("status", [0, 500])
def test_an_unreachable_location_does_not_make_an_image_unsigned(layout_folder: Path, status: int) -> None:
    from pumice.registry.errors import RegistryError

    class Silent:
        def open(self, digest: str) -> Any:
            if digest == image.root.digest:
                return image.blobs.open(digest)
            raise RegistryError("the registry does not answer", status=status)

    image = sign_folder(layout_folder, 0)
    remote = Image(image.root, Silent(), image.referrers)
    with pytest.raises(RegistryError, match="does not answer"):
        checked(remote, trusted())
    with pytest.raises(RegistryError, match="does not answer"):
        image_signing.sign_image(remote, attachment.LayoutAttachment(layout_folder, remote), None, signer(1))
