"""JSON Web Encryption (RFC 7516) of short texts to public keys, as encrypted layers of OCI images use it.

Keys are wrapped by RSA-OAEP or ECDH-ES+A256KW (RFC 7518, sections 4.3 and 4.6), the content by A256GCM.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import struct
from typing import TYPE_CHECKING, Any

from pumice.errors import FormatError
from pumice.formats import strictjson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey, EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

    PublicKey = RSAPublicKey | EllipticCurvePublicKey
    PrivateKey = RSAPrivateKey | EllipticCurvePrivateKey

RSA_OAEP, ECDH_ES = "RSA-OAEP", "ECDH-ES+A256KW"
_RSA_OAEP_256 = "RSA-OAEP-256"
_GCM = "A256GCM"
_KEY_SIZE, _NONCE_SIZE, _TAG_SIZE = 32, 12, 16
_MAX_DOCUMENT = 1 << 20
_MAX_RECIPIENTS = 100
_LEAST_RSA = 2048
_HINT = "use RSA with 2048 bits or more, or an elliptic curve of NIST: openssl genrsa -out KEY 4096"
_CURVES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}


def encrypt(text: bytes, keys: Sequence[PublicKey]) -> bytes:
    """Return a document in the JSON serialization that each of the keys decrypts."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    content_key, nonce = os.urandom(_KEY_SIZE), os.urandom(_NONCE_SIZE)
    recipients = [_wrap(content_key, key) for key in keys]
    protected: dict[str, Any] = {"enc": _GCM}
    document: dict[str, Any] = {}
    if len(recipients) == 1:  # then other tools expect the flattened serialization
        protected |= recipients[0]["header"]
        document["encrypted_key"] = recipients[0]["encrypted_key"]
    else:
        document["recipients"] = recipients
    header = _encode(json.dumps(protected, separators=(",", ":")).encode())
    sealed = AESGCM(content_key).encrypt(nonce, text, header.encode())
    document |= {
        "protected": header,
        "iv": _encode(nonce),
        "ciphertext": _encode(sealed[:-_TAG_SIZE]),
        "tag": _encode(sealed[-_TAG_SIZE:]),
    }
    return json.dumps(document, separators=(",", ":")).encode()


def decrypt(data: bytes, key: PrivateKey) -> bytes | None:
    """Return the text of a document in any JSON serialization, None if the key does not decrypt it.

    Raises FormatError for a malformed document.
    """
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    document = strictjson.read_object(data, "encrypted key", limit=_MAX_DOCUMENT)
    header_text = _text(document, "protected")
    header = strictjson.read_object(_decode(header_text), "header of an encrypted key", limit=_MAX_DOCUMENT)
    recipients = document.get("recipients", [document])
    if not isinstance(recipients, list) or len(recipients) > _MAX_RECIPIENTS:
        raise FormatError("the encrypted key has no usable list of recipients")
    nonce = _decode(_text(document, "iv"))
    sealed = _decode(_text(document, "ciphertext")) + _decode(_text(document, "tag"))
    if header.get("enc") != _GCM or "zip" in header or len(nonce) != _NONCE_SIZE:
        raise FormatError(f"the key is encrypted by {str(header.get('enc'))[:40]!r}, not {_GCM}")
    for recipient in recipients:
        if not isinstance(recipient, dict):
            raise FormatError("a recipient of the encrypted key is not an object")
        own = recipient.get("header", {})
        content_key = _unwrap(recipient, {**header, **(own if isinstance(own, dict) else {})}, key)
        if content_key is None or len(content_key) != _KEY_SIZE:
            continue
        try:
            return AESGCM(content_key).decrypt(nonce, sealed, header_text.encode())
        except InvalidTag:
            continue
    return None


def check_public_key(key: object, where: str) -> PublicKey:
    """Return a key that can be encrypted to; raises FormatError for one of another kind."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

    if isinstance(key, RSAPublicKey) and key.key_size >= _LEAST_RSA:
        return key
    if isinstance(key, EllipticCurvePublicKey) and key.curve.name in _CURVES:
        return key
    raise FormatError("the key cannot be encrypted to", where=where[:200], hint=_HINT)


def check_private_key(key: object, where: str) -> PrivateKey:
    """Return a key that can decrypt; raises FormatError for one of another kind."""
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    if isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey):
        return key
    raise FormatError("the key cannot decrypt", where=where[:200], hint=_HINT)


# Keys ---------------------------------------------------------------------------------------------


def _wrap(content_key: bytes, key: PublicKey) -> dict[str, Any]:
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
    from cryptography.hazmat.primitives.keywrap import aes_key_wrap

    if isinstance(key, RSAPublicKey):
        wrapped = key.encrypt(content_key, _oaep(RSA_OAEP))
        return {"header": {"alg": RSA_OAEP}, "encrypted_key": _encode(wrapped)}
    ephemeral = ec.generate_private_key(key.curve)
    shared = ephemeral.exchange(ec.ECDH(), key)
    wrapped = aes_key_wrap(_derive(shared, b"", b""), content_key)
    header = {"alg": ECDH_ES, "epk": _to_jwk(ephemeral.public_key())}
    return {"header": header, "encrypted_key": _encode(wrapped)}


def _unwrap(recipient: dict[str, Any], header: dict[str, Any], key: PrivateKey) -> bytes | None:
    """Return the content key for a recipient, None if that is not ours; raises FormatError."""
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

    wrapped, algorithm = _decode(_text(recipient, "encrypted_key")), header.get("alg")
    try:
        if isinstance(key, RSAPrivateKey):
            return key.decrypt(wrapped, _oaep(algorithm)) if algorithm in (RSA_OAEP, _RSA_OAEP_256) else None
        if algorithm != ECDH_ES:
            return None
        shared = _agree(header.get("epk"), key)
        apu, apv = (_decode(str(header.get(name, ""))) for name in ("apu", "apv"))
        return aes_key_unwrap(_derive(shared, apu, apv), wrapped) if shared else None
    except (ValueError, InvalidUnwrap):
        return None


def _oaep(algorithm: object) -> Any:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    # RFC 7518, 4.3: plain RSA-OAEP is the one with SHA-1, which is not broken for this use.
    digest = hashes.SHA256() if algorithm == _RSA_OAEP_256 else hashes.SHA1()  # noqa: S303 - see above
    return padding.OAEP(mgf=padding.MGF1(digest), algorithm=digest, label=None)


def _agree(jwk: object, key: EllipticCurvePrivateKey) -> bytes:
    """Return the secret that an ephemeral key and ours agree on, empty if they do not fit."""
    from cryptography.hazmat.primitives.asymmetric import ec

    if not isinstance(jwk, dict) or jwk.get("crv") != _CURVES.get(key.curve.name):
        return b""
    x, y = (int.from_bytes(_decode(str(jwk.get(name, "")))) for name in ("x", "y"))
    # The numbers are checked to be a point of the curve, so the key cannot be probed.
    return key.exchange(ec.ECDH(), ec.EllipticCurvePublicNumbers(x, y, key.curve).public_key())


def _derive(shared: bytes, apu: bytes, apv: bytes) -> bytes:
    """Return the key that wraps the content key (RFC 7518, 4.6.2)."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.kdf.concatkdf import ConcatKDFHash

    parts = [ECDH_ES.encode(), apu, apv]
    other_info = b"".join(struct.pack(">I", len(part)) + part for part in parts) + struct.pack(
        ">I", _KEY_SIZE * 8
    )
    return ConcatKDFHash(hashes.SHA256(), _KEY_SIZE, other_info).derive(shared)


def _to_jwk(key: EllipticCurvePublicKey) -> dict[str, str]:
    numbers, size = key.public_numbers(), (key.curve.key_size + 7) // 8
    x, y = (_encode(number.to_bytes(size)) for number in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": _CURVES[key.curve.name], "x": x, "y": y}


# Text ---------------------------------------------------------------------------------------------


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (ValueError, binascii.Error):
        raise FormatError("an encrypted key has text that is not base64url") from None


def _text(document: dict[str, Any], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str):
        raise FormatError(f"the member {name!r} of an encrypted key is missing")
    return value
