"""Signatures by certificates, made by a simulated sigstore instance; no network."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pumice import installation
from pumice.errors import FormatError, PumiceError, TrustError, UsageError
from pumice.formats import dsse, intoto, sigstore, simplesigning
from pumice.image.model import Image
from pumice.image.transports import layout
from pumice.trust import image_verification, keyless, policy, policy_edit, policy_files
from pumice.trust.trusted_key import TrustedKey
from tests.support import certified, signed_images, sigstore_simulator
from tests.support.certified import trusted
from tests.support.signed_images import NAME
from tests.support.sigstore_simulator import ADA, ISSUER, WORKFLOW, Wish

EVE = "eve@example.com"


@pytest.fixture
def layout_folder(tmp_path: Path) -> Path:
    return signed_images.folder(tmp_path / "image")


def checked(
    image: Image, *keys: TrustedKey, expected: str = NAME, **how: Any
) -> image_verification.VerifiedImage:
    return image_verification.verify_image(image, None, keys, expected=expected, now=1, **how)


def refused(image: Image, *keys: TrustedKey, **how: Any) -> str:
    with pytest.raises(TrustError) as caught:
        checked(image, *keys, **how)
    return caught.value.message


@pytest.mark.parametrize("identity", [ADA, WORKFLOW])
def test_the_subject_of_a_certificate_is_the_signer(layout_folder: Path, identity: str) -> None:
    image = certified.sign(layout_folder, Wish(identity=identity))
    verdict = checked(image, trusted(identity))
    assert [evaluation.trusted_key and evaluation.trusted_key.label for evaluation in verdict.signatures] == [
        f"{identity} of {ISSUER}"
    ]
    assert verdict.signatures[0].claim.names == (NAME,)  # the bundle has none: the image's own counts


@pytest.mark.parametrize(
    ("wish", "reason"),
    [
        (Wish(identity=EVE), "signed by eve@example.com of"),
        (Wish(identity=f"{ADA}.example.net"), "who is not trusted"),
        (Wish(issuer="https://accounts.example.net"), "of https://accounts.example.net, who is not trusted"),
        (Wish(after=601), "cert is not valid at validation time"),
        (Wish(after=-1), "cert is not valid at validation time"),
        (Wish(timestamped=False), "does not contain a signed certificate timestamp"),
        (Wish(promised=False), "must contain an inclusion promise"),
        (Wish(logged=b"{}"), "log entry payload hash does not match"),
    ],
)
def test_invalid_bundles_are_refused(layout_folder: Path, wish: Wish, reason: str) -> None:
    assert reason in refused(certified.sign(layout_folder, wish), trusted())


def test_a_bundle_of_another_instance_is_refused(layout_folder: Path) -> None:
    image = certified.sign(layout_folder, number=1)
    assert "the certificate is not valid" in refused(image, trusted())
    assert "the certificate is not valid" in refused(image, trusted(number=None))
    assert checked(image, trusted(number=1)).signatures


def test_a_keyless_signature_under_another_name_is_refused(layout_folder: Path) -> None:
    message = refused(certified.sign(layout_folder), trusted(), expected="example.com/bank:1.0")
    assert f"signed as {NAME}, not as example.com/bank:1.0" in message


def test_an_attestation_is_not_a_signature(layout_folder: Path) -> None:
    image = certified.sign(layout_folder, kind="https://example.com/review")
    assert "an attestation by a trusted key, but no signature" in refused(image, trusted())


def test_a_keyless_signature_of_another_image_is_not_valid(layout_folder: Path) -> None:
    bundle = certified.instance().signature("sha256:" + "0" * 64)
    assert "about another image" in refused(certified.attach(layout_folder, bundle), trusted())


def test_a_replaced_statement_is_detected(layout_folder: Path) -> None:
    digest = layout.read_layout(layout_folder).root.digest
    document = json.loads(certified.instance().signature("sha256:" + "0" * 64))
    payload = intoto.encode_statement(intoto.Statement((intoto.Subject("", digest),), sigstore.SIGN, b"{}"))
    signatures = dsse.envelope_from_json(document["dsseEnvelope"]).signatures
    document["dsseEnvelope"] = dsse.envelope_to_json(dsse.Envelope(dsse.IN_TOTO, payload, signatures))
    image = certified.attach(layout_folder, json.dumps(document).encode())
    assert "the certificate is not valid" in refused(image, trusted())


def test_two_identities_are_two_signers(layout_folder: Path) -> None:
    certified.sign(layout_folder)
    identities = (trusted(), trusted(EVE))
    assert "signed by 1 of 2" in refused(layout.read_layout(layout_folder), *identities, threshold=2)
    certified.sign(layout_folder)  # again by the same identity: still one
    assert "signed by 1 of 2" in refused(layout.read_layout(layout_folder), *identities, threshold=2)
    certified.sign(layout_folder, Wish(identity=EVE))
    assert len(checked(layout.read_layout(layout_folder), *identities, threshold=2).signatures) == 3


def test_a_key_and_an_identity_do_not_hide_each_other(layout_folder: Path) -> None:
    certified.sign(layout_folder, Wish(identity=EVE))
    signed_images.sign_folder(layout_folder, 0)
    assert checked(layout.read_layout(layout_folder), signed_images.trusted()).signatures
    assert "eve@example.com" in refused(layout.read_layout(layout_folder), trusted())
    certified.sign(layout_folder)
    assert checked(layout.read_layout(layout_folder), trusted()).signatures


def test_expired_and_revoked_identities_are_not_trusted(layout_folder: Path) -> None:
    image = certified.sign(layout_folder)
    assert "its identity ada@example.com of" in refused(image, trusted(expires=1))
    assert "is revoked (left)" in refused(image, trusted(revocation="left"))


def test_cosigns_older_format_with_a_certificate_is_refused_with_a_reason(layout_folder: Path) -> None:
    payload = simplesigning.encode_payload(
        simplesigning.Payload(NAME, layout.read_layout(layout_folder).root.digest)
    )
    words = {simplesigning.SIGNATURE: "aGVsbG8=", simplesigning.CERTIFICATE: "-----BEGIN CERTIFICATE-----"}
    image = certified.attach(layout_folder, payload, simplesigning.PAYLOAD, annotations=words)
    assert "in cosign's older form" in refused(image, trusted())
    assert "no identity is trusted" in refused(image, signed_images.trusted())


def test_without_the_extra_the_error_says_what_to_install(
    layout_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = certified.sign(layout_folder)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(TrustError) as caught:
        checked(image, trusted())
    assert "the Python package sigstore is not installed" in caught.value.message
    assert caught.value.hint == f"install it: {installation.command_for_extra('keyless')}"
    signed_images.sign_folder(layout_folder, 0)  # and it is in nobody's way
    assert checked(layout.read_layout(layout_folder), trusted(), signed_images.trusted()).signatures


def test_the_librarys_trusted_root_is_usable() -> None:
    bundle = certified.instance().signature("sha256:" + "0" * 64)
    with pytest.raises(TrustError, match="the certificate is not valid"):
        keyless.verify_bundle(bundle, b"")


def test_a_rule_is_a_plain_file(tmp_path: Path) -> None:
    level = policy_files.PolicyDirectory("user", tmp_path)
    path = policy_edit.add_key(
        level, trusted().key, "example.com/apps", comment="Ada", expires=policy.parse_day("2027-01-01")
    )
    head = path.read_text().splitlines()
    assert head[:4] == ["Comment: Ada", "Expires: 2027-01-01", f"Identity: {ADA}", f"Issuer: {ISSUER}"]
    (rule,) = policy.read_name_policy("example.com/apps/web:1", [level]).keys
    assert (rule.key, rule.label) == (trusted().key, f"Ada {ADA} of {ISSUER}")
    assert policy.read_name_policy("example.com/appstore:1", [level]).keys == ()
    weaker = policy_files.PolicyDirectory("vendor", tmp_path)
    own_directory = policy_files.PolicyDirectory("user", tmp_path / "mine")
    policy_edit.remove_rule(own_directory, policy.read_rules([weaker])[0])  # an empty file hides it
    assert policy.read_name_policy("example.com/apps/web:1", [weaker, own_directory]).keys == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("Issuer: https", "Issuer: gopher"), "invalid issuer"),
        (("Identity: ada", "Identity: "), "is not the fingerprint of the key"),
        (("Identity: ada@example.com", "Identity: nobody"), "invalid identity"),
        (("Trusted-Root: ", "Trusted-Root: ../../"), "the trusted root is not a digest"),
        (("Trusted-Root: ", "Trusted-Root: " + "0" * 64 + "\nX: "), "cannot read"),
    ],
)
def test_a_malformed_rule_is_an_error(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = policy_edit.add_key(policy_files.PolicyDirectory("user", tmp_path), trusted().key, "")
    path.write_text(path.read_text().replace(*change))
    with pytest.raises((FormatError, TrustError), match=message):
        policy.read_name_policy("example.com/apps:1", [policy_files.PolicyDirectory("user", tmp_path)])


def test_a_changed_trusted_root_is_an_error(tmp_path: Path) -> None:
    level = policy_files.PolicyDirectory("user", tmp_path)
    policy_edit.add_key(level, trusted().key, "")
    (root_file,) = (tmp_path / "sigstore.d").iterdir()
    root_file.write_bytes(certified.instance(1).trusted_root())
    with pytest.raises(TrustError, match="does not match its digest"):
        policy.read_name_policy("example.com/apps:1", [level])


@pytest.mark.parametrize(
    ("identity", "issuer"),
    [
        ("", ISSUER),
        ("ada", ISSUER),
        ("a b@c", ISSUER),
        ("a@b\nIssuer: x", ISSUER),
        (ADA, ""),
        (ADA, "accounts"),
    ],
)
def test_invalid_identities_are_refused(identity: str, issuer: str) -> None:
    with pytest.raises(UsageError):
        keyless.parse_identity(identity, issuer)


@pytest.mark.parametrize(
    "content", [b"", b"[]", b"{}", b'{"mediaType": 1}', b"\xff", b"[" * 5000, b" " * (2 << 20)]
)
def test_files_that_are_not_trusted_roots_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "root").write_bytes(content)
    with pytest.raises(FormatError):
        keyless.read_trusted_root(tmp_path / "root")


def test_an_empty_trusted_root_is_unusable(layout_folder: Path) -> None:
    empty = json.dumps({"mediaType": json.loads(certified.instance().trusted_root())["mediaType"]}).encode()
    with pytest.raises(TrustError, match="cannot use the trusted root"):
        keyless.verify_bundle(certified.instance().signature("sha256:" + "0" * 64), b"", empty)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_bundle_is_verified_or_refused(data: st.DataObject) -> None:
    bundle = _BUNDLE
    start = data.draw(st.integers(0, len(bundle)))
    end = data.draw(st.integers(start, min(len(bundle), start + 40)))
    torn = bundle[:start] + data.draw(st.binary(max_size=20)) + bundle[end:]
    try:
        keyless.verify_bundle(torn, b"", certified.instance().trusted_root())
    except PumiceError:
        return
    raise AssertionError(torn)


_BUNDLE = sigstore_simulator.Instance().signature("sha256:" + "0" * 64)
