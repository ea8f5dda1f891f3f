"""One key in several forms, or one that took the place of another, is one signer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from hypothesis import given
from hypothesis import strategies as st
from pysequoia.packet import PacketPile

from pumice.trust import keys, openpgp, policy, policy_edit, signers
from pumice.trust.policy_files import PolicyDirectory
from pumice.trust.trusted_key import TrustedKey
from tests.support import gnupg
from tests.support.signed_images import trusted


@pytest.fixture
def gpg() -> Iterator[gnupg.Gpg]:
    yield from gnupg.running_gpg()


def in_pem(certificate: openpgp.Certificate) -> list[keys.PublicKey]:
    """Return the Ed25519 keys of a certificate as keys in PEM: the primary one first."""
    pem_keys = []
    for packet in PacketPile.from_bytes(certificate.der):
        if int(packet.tag) in (6, 14) and bytes(packet.body)[5] == 22:
            public_key = ed25519.Ed25519PublicKey.from_public_bytes(bytes(packet.body)[-32:])
            data = public_key.public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
            pem_keys.append(keys.parse_pem_public_key(data))
    return pem_keys


def trust(key: keys.PublicKey, **fields: Any) -> TrustedKey:
    return TrustedKey(key=key, rule="test", **fields)


def test_the_openpgp_and_the_pem_form_of_a_key_are_one_signer() -> None:
    certificate = openpgp.generate_key("Ada <ada@example.com>").certificate
    rules = [trust(key_text) for key_text in (certificate, *in_pem(certificate))]
    assert len(rules) > 1
    assert signers.count_signers(rules, rules) == 1
    assert signers.count_signers([*rules, trusted(0)], [*rules, trusted(0)]) == 2


def test_a_replaced_key_and_its_pem_form_are_one_signer() -> None:
    certificate = openpgp.generate_key("Ada <ada@example.com>").certificate
    newer = trusted(0, replaces=certificate.fingerprint)
    everything = [trusted(1), newer, trust(in_pem(certificate)[0]), trust(certificate)]
    assert signers.count_signers(everything, everything) == 2
    assert signers.count_signers([newer, everything[2]], everything) == 1


@given(st.permutations(range(5)), st.lists(st.integers(0, 4), max_size=5))
def test_counting_signers_does_not_depend_on_the_order_of_rules(
    order: list[int], replaced: list[int]
) -> None:
    names = [trusted(number).key.fingerprint for number in range(5)]
    made = [
        trusted(number, replaces=names[replaced[number]] if number < len(replaced) else "")
        for number in range(5)
    ]
    assert signers.count_signers(made, made) == signers.count_signers(
        made, [made[number] for number in order]
    )


@pytest.mark.parametrize("kind", ["rsa2048", "nistp256", "nistp384", "nistp521", "ed25519"])
def test_the_pem_fingerprints_of_gpgs_keys_are_computed(gpg: gnupg.Gpg, kind: str) -> None:
    gpg.run("--quick-generate-key", "Ada <ada@example.com>", kind, "cert,sign", "never")
    certificate = openpgp.parse_certificate(gpg.run("--export").stdout)
    (packet,) = [candidate for candidate in PacketPile.from_bytes(certificate.der) if int(candidate.tag) == 6]
    body = bytes(packet.body)
    made: Any
    if kind.startswith("rsa"):
        size = (int.from_bytes(body[6:8], "big") + 7) // 8
        made = rsa.RSAPublicNumbers(65537, int.from_bytes(body[8 : 8 + size], "big")).public_key()
    elif kind == "ed25519":
        made = ed25519.Ed25519PublicKey.from_public_bytes(body[-32:])
    else:
        curves: dict[str, Any] = {
            "nistp256": ec.SECP256R1,
            "nistp384": ec.SECP384R1,
            "nistp521": ec.SECP521R1,
        }
        curve = curves[kind]()
        made = ec.EllipticCurvePublicKey.from_encoded_point(curve, body[7 + body[6] + 2 :])
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    pem = made.public_bytes(serialization.Encoding.PEM, form)
    assert keys.parse_pem_public_key(pem).fingerprint in signers.known_fingerprints(certificate)


def test_revoking_the_pem_form_revokes_the_certificate(tmp_path: Path) -> None:
    level = PolicyDirectory("user", tmp_path)
    certificate = openpgp.generate_key("Ada <ada@example.com>").certificate
    policy_edit.add_key(level, certificate, "example.com")
    policy_edit.revoke_key(level, in_pem(certificate)[0].fingerprint, "stolen")
    (rule,) = policy.read_rules([level])
    assert rule.key.rejection_reason(0) == "is revoked (stolen)"


@pytest.mark.parametrize("certificate_rule_is_removed", [False, True])
def test_revoking_the_openpgp_fingerprint_revokes_the_pem_form(
    tmp_path: Path, certificate_rule_is_removed: bool
) -> None:
    directory = PolicyDirectory("user", tmp_path)
    certificate = openpgp.generate_key("Ada <ada@example.com>").certificate
    pem_key = in_pem(certificate)[0]
    certificate_path = policy_edit.add_key(directory, certificate, "example.com/archives")
    policy_edit.add_key(directory, pem_key, "example.com/images")
    policy_edit.revoke_key(directory, certificate.fingerprint, "stolen", policy.read_rules([directory]))
    if certificate_rule_is_removed:
        certificate_path.unlink()
    rules = policy.read_rules([directory])
    assert {rule.key.rejection_reason(0) for rule in rules} == {"is revoked (stolen)"}


def test_a_revocation_file_with_the_openpgp_fingerprint_revokes_the_pem_form(tmp_path: Path) -> None:
    directory = PolicyDirectory("user", tmp_path)
    certificate = openpgp.generate_key("Ada <ada@example.com>").certificate
    policy_edit.add_key(directory, certificate, "example.com/archives")
    policy_edit.add_key(directory, in_pem(certificate)[0], "")
    policy_edit.revoke_key(directory, certificate.fingerprint, "stolen")
    rules = policy.read_rules([directory])
    assert [rule.key.rejection_reason(0) for rule in rules] == ["is revoked (stolen)"] * 2
