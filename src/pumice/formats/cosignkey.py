"""Private keys in cosign's encrypted form: PKCS#8 in a secret box with a key derived by scrypt.

sigstore/cosign, pkg/cosign/keys.go, and secure-systems-lab/go-securesystemslib, encrypted/encrypted.go.
The box is XSalsa20-Poly1305 (NaCl's secretbox).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import Any

from pumice.errors import FormatError, TrustError
from pumice.formats import strictjson

LABEL = b"ENCRYPTED SIGSTORE PRIVATE KEY"
LABELS = (LABEL, b"ENCRYPTED COSIGN PRIVATE KEY")
_N, _R, _P = 65536, 8, 1
_SALT, _NONCE, _KEY = 32, 24, 32
_MAX_FILE = 1 << 16
_MAX_MEMORY = 1 << 29
"""Maximum memory in bytes that the scrypt parameters of a key file may require (cosign's: an eighth)."""
_DOCUMENT = "encrypted key"
_PEM = re.compile(
    rb"\s*-----BEGIN (ENCRYPTED (?:SIGSTORE|COSIGN) PRIVATE KEY)-----\s+"
    rb"([A-Za-z0-9+/=\s]*)-----END \1-----\s*"
)


def is_encrypted(data: bytes) -> bool:
    """Return whether ``data`` is an encrypted key file of cosign."""
    return any(b"-----BEGIN " + label + b"-----" in data[:_MAX_FILE] for label in LABELS)


def encrypt_key(der: bytes, passphrase: bytes, *, salt: bytes, nonce: bytes) -> bytes:
    """Return a key file for a PKCS#8 key in DER; ``salt`` (32 bytes) and ``nonce`` (24) must be random."""
    from nacl.secret import SecretBox

    if len(salt) != _SALT or len(nonce) != _NONCE:
        raise ValueError("salt must have 32 bytes, nonce 24")
    box = SecretBox(_derive_key(passphrase, salt, _N, _R, _P))
    document = {
        "kdf": {"name": "scrypt", "params": {"N": _N, "r": _R, "p": _P}, "salt": _encode_base64(salt)},
        "cipher": {"name": "nacl/secretbox", "nonce": _encode_base64(nonce)},
        "ciphertext": _encode_base64(box.encrypt(der, nonce).ciphertext),
    }
    body = base64.b64encode(json.dumps(document, separators=(",", ":")).encode())
    lines = [body[start : start + 64] for start in range(0, len(body), 64)]
    return b"\n".join([b"-----BEGIN " + LABEL + b"-----", *lines, b"-----END " + LABEL + b"-----", b""])


def decrypt_key(data: bytes, passphrase: bytes) -> bytes:
    """Return the PKCS#8 key of a key file.

    Raises TrustError for a wrong passphrase and FormatError for a malformed file.
    """
    document = _read_document(data)
    kdf, cipher = (
        strictjson.get_object(document, "kdf", _DOCUMENT),
        strictjson.get_object(document, "cipher", _DOCUMENT),
    )
    names = strictjson.get_text(kdf, "name", _DOCUMENT), strictjson.get_text(cipher, "name", _DOCUMENT)
    if names != ("scrypt", "nacl/secretbox"):
        raise FormatError(
            f"the {_DOCUMENT} uses {names[0][:40]!r} and {names[1][:40]!r}, which are not supported"
        )
    salt, nonce = _get_bytes(kdf, "salt"), _get_bytes(cipher, "nonce")
    if not 8 <= len(salt) <= 256 or len(nonce) != _NONCE:
        raise FormatError(f"the {_DOCUMENT} has a salt or a nonce of the wrong length")
    key = _derive_key(
        passphrase, salt, *_read_scrypt_parameters(strictjson.get_object(kdf, "params", _DOCUMENT))
    )
    from nacl.exceptions import CryptoError
    from nacl.secret import SecretBox

    try:
        return bytes(SecretBox(key).decrypt(_get_bytes(document, "ciphertext"), nonce))
    except (CryptoError, ValueError):
        raise TrustError("the passphrase does not open the key, or the key file is damaged") from None


def _read_document(data: bytes) -> dict[str, Any]:
    if len(data) > _MAX_FILE:
        raise FormatError(f"the {_DOCUMENT} is larger than 64 KiB")
    match = _PEM.fullmatch(data)
    if match is None:
        raise FormatError(f"the {_DOCUMENT} is truncated or has text around it")
    try:
        body = base64.b64decode(b"".join(match[2].split()), validate=True)
    except (binascii.Error, ValueError):
        raise FormatError(f"the {_DOCUMENT} contains invalid base64") from None
    return strictjson.read_object(body, _DOCUMENT, limit=_MAX_FILE)


def _read_scrypt_parameters(params: dict[str, Any]) -> tuple[int, int, int]:
    n, r, p = (params.get(name) for name in ("N", "r", "p"))
    if not (type(n) is int and type(r) is int and type(p) is int):
        raise FormatError(f"the {_DOCUMENT} has no scrypt parameters")
    is_valid = 1 < n <= 1 << 24 and n & (n - 1) == 0 and 0 < r <= 64 and 0 < p <= 16
    if not is_valid or 128 * n * r > _MAX_MEMORY:
        raise FormatError(
            f"the {_DOCUMENT} has invalid scrypt parameters N={n % 10**12}, r={r % 10**6}, p={p % 10**6}"
        )
    return n, r, p


def _derive_key(passphrase: bytes, salt: bytes, n: int, r: int, p: int) -> bytes:
    import hashlib

    return hashlib.scrypt(
        passphrase, salt=salt, n=n, r=r, p=p, maxmem=128 * n * r + (1 << 22) + 128 * r * p, dklen=_KEY
    )


def _encode_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _get_bytes(document: dict[str, Any], key: str) -> bytes:
    try:
        return base64.b64decode(strictjson.get_text(document, key, _DOCUMENT), validate=True)
    except (binascii.Error, ValueError):
        raise FormatError(f"the {_DOCUMENT} contains invalid base64") from None
