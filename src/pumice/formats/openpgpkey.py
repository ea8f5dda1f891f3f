"""The packets of OpenPGP keys (RFC 9580, 5.5): types of files, and protection by a passphrase.

The library can sign with protected keys but cannot protect them, so that is implemented here: AES-256 in
CFB mode with a key derived from 65,011,712 bytes of SHA-256, which gpg uses too.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from pumice.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET, PUBLIC = 5, 6
"""Packet types at the start of a secret or public key (RFC 9580, 5)."""

_SUBKEY = 7
_PUBLIC_SUBKEY = 14
_BLOCK = 16
_ITERATION_COUNT = 0xFF  # the largest encodable count
_AES256, _SHA256, _ITERATED, _CHECKED = 9, 8, 3, 254
_ABSENT = b"\x65"  # GnuPG's S2K type for a secret that is stored elsewhere, such as on a smart card
_HASH_CHUNK = 1 << 20
_RSA, _ECDSA, _EDDSA, _ED25519 = (1, 3), 19, 22, 27
_ED25519_CURVE = bytes.fromhex("2b06010401da470f01")
_CURVES = {
    bytes.fromhex("2a8648ce3d030107"): "SECP256R1",
    bytes.fromhex("2b81040022"): "SECP384R1",
    bytes.fromhex("2b81040023"): "SECP521R1",
}


def read_packet_tag(data: bytes) -> int:
    """Return the type of the first packet of binary data, 0 if there is none (RFC 9580, 4.2)."""
    first_byte = data[0] if data else 0
    if first_byte & 0xC0 == 0xC0:
        return first_byte & 0x3F
    return (first_byte >> 2) & 0x0F if first_byte & 0x80 else 0


def is_protected(key: bytes) -> bool:
    """Return whether any secret part of a binary key needs a passphrase; raises FormatError."""
    return any(
        secret[:1] != b"\0" and secret[2:3] != _ABSENT for _, _, secret in _split_packets(key) if secret
    )


def protect_key(key: bytes, passphrase: bytes, random: Callable[[int], bytes]) -> bytes:
    """Return an unprotected binary key of version 4 protected by a passphrase; raises FormatError."""
    packets: list[bytes] = []
    for kind, public, secret in _split_packets(key):
        body = public
        if kind in (SECRET, _SUBKEY):
            if public[:1] != b"\4" or secret[:1] != b"\0":
                raise FormatError("cannot protect an OpenPGP key of this version with a passphrase")
            body += _encrypt_secret(secret[1:-2], passphrase, random(8), random(_BLOCK))
        packets.append(bytes((0xC0 | kind, 0xFF)) + len(body).to_bytes(4, "big") + body)
    return b"".join(packets)


def _encrypt_secret(secret: bytes, passphrase: bytes, salt: bytes, initialization_vector: bytes) -> bytes:
    checked_secret = secret + hashlib.sha1(secret, usedforsecurity=False).digest()  # required by the format
    header = (
        bytes((_CHECKED, _AES256, _ITERATED, _SHA256))
        + salt
        + bytes((_ITERATION_COUNT,))
        + initialization_vector
    )
    return header + _encrypt_cfb(checked_secret, _derive_key(passphrase, salt), initialization_vector)


def _derive_key(passphrase: bytes, salt: bytes) -> bytes:
    count = (16 + (_ITERATION_COUNT & 15)) << ((_ITERATION_COUNT >> 4) + 6)
    salted_passphrase = salt + passphrase
    state = hashlib.sha256()
    block = salted_passphrase * max(1, _HASH_CHUNK // len(salted_passphrase))
    while count > 0:
        state.update(block[:count])
        count -= len(block)
    return state.digest()


def _encrypt_cfb(plaintext: bytes, key: bytes, initialization_vector: bytes) -> bytes:
    """Encrypt in CFB mode, which the library is going to remove."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - the building block of CFB below
    ciphertext, previous = b"", initialization_vector
    for position in range(0, len(plaintext), _BLOCK):
        block = plaintext[position : position + _BLOCK]
        previous = bytes(
            plain_byte ^ key_byte
            for plain_byte, key_byte in zip(block, cipher.update(previous), strict=False)
        )
        ciphertext += previous
    return ciphertext


def _split_packets(key: bytes) -> list[tuple[int, bytes, bytes]]:
    """Return the type, body and secret part (empty for other packets) of each packet of a key."""
    from pysequoia import Tsk
    from pysequoia.packet import PacketPile, Tag

    public_packets = iter(PacketPile.from_bytes(bytes(Tsk.from_bytes(key).extract_certificate())))
    packets: list[tuple[int, bytes, bytes]] = []
    for packet in PacketPile.from_bytes(key):
        body, packet_type = bytes(packet.body), int(packet.tag)
        public_body = bytes(next(public_packets).body)
        if packet.tag in (Tag.SecretKey, Tag.SecretSubkey):
            if not body.startswith(public_body):
                raise FormatError("the OpenPGP key has inconsistent packets")
            packets.append((packet_type, public_body, body[len(public_body) :]))
        else:
            packets.append((packet_type, body, b""))
    return packets


def spki_fingerprints(certificate: bytes) -> frozenset[str]:
    """Return the SHA-256 of the SubjectPublicKeyInfo of each key in a certificate, in hexadecimal.

    They identify the same key in a PEM file. Keys with unsupported algorithms are omitted.
    """
    from pysequoia.packet import PacketPile

    fingerprints: set[str] = set()
    for packet in PacketPile.from_bytes(certificate):
        if int(packet.tag) in (PUBLIC, _PUBLIC_SUBKEY):
            try:
                fingerprints.add(_compute_fingerprint(bytes(packet.body)))
            except (ValueError, IndexError):  # malformed keys are omitted too
                continue
    return frozenset(fingerprints - {""})


def _compute_fingerprint(body: bytes) -> str:
    """Return the fingerprint for the body of one key packet, ``""`` for an unsupported algorithm."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    algorithm, material = body[5], body[6:] if body[0] == 4 else body[10:]
    try:
        key = _make_public_key(algorithm, material)
    except UnsupportedAlgorithm:
        return ""
    if key is None:
        return ""
    key_format = serialization.PublicFormat.SubjectPublicKeyInfo
    return hashlib.sha256(key.public_bytes(serialization.Encoding.DER, key_format)).hexdigest()


def _make_public_key(algorithm: int, material: bytes) -> Any:
    """Return the public key for an algorithm of RFC 9580, 9.1, None if it is unsupported."""
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if algorithm in _RSA:
        modulus, remainder = _read_mpi(material)
        exponent, _ = _read_mpi(remainder)
        return rsa.RSAPublicNumbers(
            int.from_bytes(exponent, "big"), int.from_bytes(modulus, "big")
        ).public_key()
    if algorithm == _ED25519:
        return ed25519.Ed25519PublicKey.from_public_bytes(material[:32])
    if algorithm in (_ECDSA, _EDDSA):
        name, remainder = material[1 : 1 + material[0]], material[1 + material[0] :]
        point, _ = _read_mpi(remainder)
        if algorithm == _EDDSA and name == _ED25519_CURVE and point[:1] == b"\x40":
            return ed25519.Ed25519PublicKey.from_public_bytes(point[1:])
        if algorithm == _ECDSA and name in _CURVES:
            curve: ec.EllipticCurve = getattr(ec, _CURVES[name])()
            return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    return None


def _read_mpi(data: bytes) -> tuple[bytes, bytes]:
    """Return the multiprecision integer at the start of ``data``, and the remainder (RFC 9580, 3.2)."""
    end = 2 + (int.from_bytes(data[:2], "big") + 7) // 8
    if len(data) < end:
        raise ValueError("a multiprecision integer is truncated")
    return data[2:end], data[end:]
