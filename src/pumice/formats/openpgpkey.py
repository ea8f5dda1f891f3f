"""The packets of OpenPGP keys (RFC 9580, 5.5): what a file begins with, and keys under a passphrase.

The library signs with protected keys but protects none, so that is done here: AES-256 in CFB mode,
its key made of the passphrase by 65,011,712 bytes of SHA-256, as gpg does and reads.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from pumice.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET, PUBLIC = 5, 6
"""Tags of the packets that a key begins with."""

_SUBKEY = 7
_BLOCK = 16
_COUNT = 0xFF  # as large as it can be said
_AES256, _SHA256, _ITERATED, _CHECKED = 9, 8, 3, 254
_ABSENT = b"\x65"  # gpg's own kind: the secret is elsewhere, on a card or another machine
_LARGEST = 1 << 20


def tag(data: bytes) -> int:
    """Return the tag of the first packet of binary data; 0 if it begins with none."""
    first = data[0] if data else 0
    if first & 0xC0 == 0xC0:
        return first & 0x3F
    return (first >> 2) & 0x0F if first & 0x80 else 0


def is_protected(key: bytes) -> bool:
    """Say whether any secret of a key, in binary, needs a passphrase; raises FormatError."""
    return any(secret[:1] != b"\0" and secret[2:3] != _ABSENT for _, _, secret in _secrets(key) if secret)


def protect(key: bytes, passphrase: bytes, random: Callable[[int], bytes]) -> bytes:
    """Return an unprotected key of version 4, in binary, under a passphrase; raises FormatError."""
    done: list[bytes] = []
    for kind, public, secret in _secrets(key):
        body = public
        if kind in (SECRET, _SUBKEY):
            if public[:1] != b"\4" or secret[:1] != b"\0":
                raise FormatError("an OpenPGP key of this version cannot be given a passphrase here")
            body += _sealed(secret[1:-2], passphrase, random(8), random(_BLOCK))
        done.append(bytes((0xC0 | kind, 0xFF)) + len(body).to_bytes(4, "big") + body)
    return b"".join(done)


def _sealed(secret: bytes, passphrase: bytes, salt: bytes, start: bytes) -> bytes:
    plain = secret + hashlib.sha1(secret, usedforsecurity=False).digest()  # what the format asks for
    head = bytes((_CHECKED, _AES256, _ITERATED, _SHA256)) + salt + bytes((_COUNT,)) + start
    return head + _encrypted(plain, _stretched(passphrase, salt), start)


def _stretched(passphrase: bytes, salt: bytes) -> bytes:
    count = (16 + (_COUNT & 15)) << ((_COUNT >> 4) + 6)
    word = salt + passphrase
    state = hashlib.sha256()
    many = word * max(1, _LARGEST // len(word))
    while count > 0:
        state.update(many[:count])
        count -= len(many)
    return state.digest()


def _encrypted(plain: bytes, key: bytes, start: bytes) -> bytes:
    """CFB is on its way out of the library, for use by others than OpenPGP; by hand it is three lines."""
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    cipher = Cipher(algorithms.AES(key), modes.ECB()).encryptor()  # noqa: S305 - CFB is made of it, below
    done, last = b"", start
    for position in range(0, len(plain), _BLOCK):
        part = plain[position : position + _BLOCK]
        last = bytes(a ^ b for a, b in zip(part, cipher.update(last), strict=False))
        done += last
    return done


def _secrets(key: bytes) -> list[tuple[int, bytes, bytes]]:
    """Return tag, body, and of secret keys what follows their public part, for each packet of a key."""
    from pysequoia import Tsk
    from pysequoia.packet import PacketPile, Tag

    public = iter(PacketPile.from_bytes(bytes(Tsk.from_bytes(key).extract_certificate())))
    found: list[tuple[int, bytes, bytes]] = []
    for packet in PacketPile.from_bytes(key):
        body, number = bytes(packet.body), int(packet.tag)
        plain = bytes(next(public).body)
        if packet.tag in (Tag.SecretKey, Tag.SecretSubkey):
            if not body.startswith(plain):
                raise FormatError("the OpenPGP key's packets do not agree")
            found.append((number, plain, body[len(plain) :]))
        else:
            found.append((number, body, b""))
    return found
