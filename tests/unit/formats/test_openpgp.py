"""Only what somebody in the keyring signed counts, and only while their key is good."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pumice import digest
from pumice.errors import FormatError, PumiceError, TrustError
from pumice.formats import openpgp
from tests.support import archive

TEXT = b"Origin: Debian\nCodename: bookworm\n"
NOW = 1_800_000_000
GOOD = "B8A9EF63C56A3BB3D0E7713B2E99162619536278"
SUBKEY = "3E22017AD59E56DEA90D42778FDCC1676BE81C2A"


def keys(*names: str) -> openpgp.Keyring:
    return openpgp.read_keyring(archive.keyring(*names))


def clearsigned(data: bytes, *names: str, now: int = NOW) -> openpgp.VerifiedContent:
    return openpgp.verify_clearsigned(data, keys(*names), now=now)


def detached(signature: bytes, *names: str) -> openpgp.VerifiedContent:
    return openpgp.verify_detached(TEXT, signature, keys(*names), now=NOW)


@pytest.mark.parametrize(("signer", "fingerprint"), [("good", GOOD), ("subkey", SUBKEY)])
def test_a_valid_signature_returns_the_text_and_the_primary_key(signer: str, fingerprint: str) -> None:
    verified = clearsigned(archive.sign(TEXT, signer), "good", "subkey")
    assert verified.content.rstrip() == TEXT.rstrip()
    assert verified.signers == (fingerprint,)
    assert detached(archive.detached(TEXT, signer), "good", "subkey").signers == (fingerprint,)


@pytest.mark.parametrize(
    ("signer", "ring", "reason"),
    [
        (
            "other",
            "good",
            "it is signed by 148A9D986454DC00DFAEA2CAA40CA0EAFCD5819E, which is not in the keyring",
        ),
        ("expired", "expired", "its key 43B49861583E5C6375BA50197BF6E91792768477 has expired on 2021-01-01"),
        ("lapsed", "lapsed", "its key 7C1AB3FA3BEAE035C9DFD9CFFDB587F7410CBBF7 has expired on 2021-01-01"),
        ("revoked", "revoked", "its key 24F92DF38F802A7CD6758027E5E2EB36F5E9ED6D is revoked"),
    ],
)
def test_errors_for_invalid_signatures_have_the_reason(signer: str, ring: str, reason: str) -> None:
    with pytest.raises(TrustError) as caught:
        clearsigned(archive.sign(TEXT, signer), ring)
    assert caught.value.message == f"no valid signature: {reason}"
    with pytest.raises(TrustError) as caught:
        detached(archive.detached(TEXT, signer), ring)
    assert caught.value.message == f"no valid signature: {reason}"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("signed-with-sha1", f"the signature by {GOOD} uses SHA1, which is broken"),
        ("signature-expired", f"the signature by {GOOD} has expired on 2020-07-01"),
        (
            "signed-before-expiry",
            "its key 43B49861583E5C6375BA50197BF6E91792768477 has expired on 2021-01-01",
        ),
    ],
)
def test_signatures_by_expired_keys(name: str, reason: str) -> None:
    with pytest.raises(TrustError) as caught:
        clearsigned((archive.KEYS / f"{name}.asc").read_bytes(), "good", "expired")
    assert caught.value.message == f"no valid signature: {reason}"


def test_a_key_is_valid_until_it_expires() -> None:
    data = (archive.KEYS / "signed-before-expiry.asc").read_bytes()
    assert clearsigned(data, "expired", now=1_591_000_000).content == b"Origin: Debian\nCodename: old"


def test_a_key_is_valid_until_the_last_second() -> None:
    data = (archive.KEYS / "signed-before-expiry.asc").read_bytes()
    ends = 1_609_459_200
    assert clearsigned(data, "expired", now=ends).signers
    with pytest.raises(TrustError, match="has expired on 2021-01-01"):
        clearsigned(data, "expired", now=ends + 1)


def test_refuses_a_changed_text() -> None:
    changed_text = archive.sign(TEXT).replace(b"Debian", b"Devian")
    with pytest.raises(TrustError, match=f"the text is not what {GOOD} signed"):
        clearsigned(changed_text)
    with pytest.raises(TrustError, match=f"the text is not what {GOOD} signed"):
        openpgp.verify_detached(TEXT + b"x", archive.detached(TEXT), keys(), now=NOW)


def test_one_valid_signature_is_enough() -> None:
    signatures = archive.detached(TEXT, "other") + archive.detached(TEXT, "good")
    assert detached(signatures, "good").signers == (GOOD,)


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda data: b"Origin: Evil\n\n" + data, "it is not signed"),
        (lambda data: data + b"Origin: Evil\n", "there is text outside the signed part"),
        (lambda data: data + data, "there is text outside the signed part"),
        (lambda data: data[:-30], "there is text outside the signed part, or the signature is truncated"),
        (lambda data: data[:150], "there is text outside the signed part, or the signature is truncated"),
        (lambda _: TEXT, "it is not signed"),
        (lambda _: b"", "it is not signed"),
    ],
)
def test_refuses_text_outside_the_signed_part(spoil: Callable[[bytes], bytes], sentence: str) -> None:
    with pytest.raises(TrustError, match=sentence):
        clearsigned(spoil(archive.sign(TEXT)))


def test_an_armor_header_is_not_part_of_the_text() -> None:
    data = archive.sign(TEXT).replace(b"Hash: SHA512\n", b"Hash: SHA512\nOrigin: Evil\n")
    try:
        assert b"Evil" not in clearsigned(data).content
    except TrustError:
        pass


def test_dash_escaping_is_removed() -> None:
    text = b"A: - x\n-----BEGIN PGP MESSAGE-----\n- y\n"
    assert clearsigned(archive.sign(text)).content.rstrip() == text.rstrip()
    assert openpgp.strip_clearsign_armor(archive.sign(text)).rstrip() == text.rstrip()


def test_reads_binary_and_armored_keyrings_and_selects_fingerprints() -> None:
    keyring_bytes = archive.keyring("good", "other")
    assert len(openpgp.read_keyring(keyring_bytes).certificates) == 2
    assert openpgp.read_keyring(keyring_bytes).digest == digest.of(keyring_bytes)
    binary = b"".join(bytes(certificate) for certificate in openpgp.read_keyring(keyring_bytes).certificates)
    assert len(openpgp.read_keyring(binary).certificates) == 2
    keyring = openpgp.read_keyring(keyring_bytes, fingerprints=[f"{GOOD}!"])
    assert [certificate.fingerprint for certificate in keyring.certificates] == [GOOD.lower()]
    with pytest.raises(FormatError):
        openpgp.read_keyring(keyring_bytes, fingerprints=["F" * 40])


@pytest.mark.parametrize("data", [b"", b"rubbish", b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nrubbish"])
def test_refuses_files_that_are_not_keyrings(data: bytes) -> None:
    with pytest.raises(FormatError):
        openpgp.read_keyring(data)


SIGNED = archive.sign(TEXT)
SIGNATURE = archive.detached(TEXT)


@settings(max_examples=200)
@given(st.binary(), st.integers(0, len(SIGNED)), st.integers(0, 20))
def test_any_damage_returns_only_the_signed_text(junk: bytes, at: int, drop: int) -> None:
    try:
        verified = clearsigned(SIGNED[:at] + junk + SIGNED[at + drop :])
    except PumiceError:
        return
    assert verified.content.split() == TEXT.split()


@settings(max_examples=200)
@given(st.binary(), st.integers(0, len(SIGNATURE)), st.integers(0, 20))
def test_any_bytes_as_a_signature_raise_a_pumice_error(junk: bytes, at: int, drop: int) -> None:
    try:
        detached(SIGNATURE[:at] + junk + SIGNATURE[at + drop :])
    except PumiceError:
        pass


@given(st.binary())
def test_any_bytes_return_a_keyring_or_raise_format_error(data: bytes) -> None:
    for keyring in (data, archive.keyring() + data):
        try:
            openpgp.read_keyring(keyring)
        except PumiceError:
            pass
