"""`pumice.formats.jwe`, held against an independent implementation."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from joserfc import jwe as other
from joserfc.jwk import ECKey, RSAKey

from pumice.errors import FormatError
from pumice.formats import jwe

if TYPE_CHECKING:
    from pumice.formats.jwe import PrivateKey

TEXT = b'{"symkey":"..."}'
RSA = rsa.generate_private_key(65537, 2048)
EC = ec.generate_private_key(ec.SECP256R1())
KEYS: dict[str, PrivateKey] = {
    "rsa": RSA,
    "p256": EC,
    "p521": ec.generate_private_key(ec.SECP521R1()),
}
ALGORITHMS = ["RSA-OAEP", "RSA-OAEP-256", "ECDH-ES+A256KW", "A256GCM"]


def foreign_key(key: PrivateKey) -> RSAKey | ECKey:
    return RSAKey(key, None) if isinstance(key, rsa.RSAPrivateKey) else ECKey(key, None)


@pytest.mark.parametrize("name", KEYS)
def test_another_implementation_decrypts(name: str) -> None:
    document = json.loads(jwe.encrypt(TEXT, [KEYS[name].public_key()]))
    assert other.decrypt_json(document, foreign_key(KEYS[name]), algorithms=ALGORITHMS).plaintext == TEXT


@pytest.mark.parametrize(
    ("name", "algorithm"), [("rsa", "RSA-OAEP"), ("rsa", "RSA-OAEP-256"), ("p256", "ECDH-ES+A256KW")]
)
def test_documents_of_another_implementation_are_decrypted(name: str, algorithm: str) -> None:
    message = other.FlattenedJSONEncryption({"enc": "A256GCM", "alg": algorithm}, TEXT)
    message.add_recipient({}, foreign_key(KEYS[name]))
    data = json.dumps(other.encrypt_json(message, None, algorithms=ALGORITHMS)).encode()
    assert jwe.decrypt(data, KEYS[name]) == TEXT


def test_each_of_several_recipients_decrypts_and_nobody_else() -> None:
    data = jwe.encrypt(TEXT, [RSA.public_key(), EC.public_key()])
    assert jwe.decrypt(data, RSA) == jwe.decrypt(data, EC) == TEXT
    assert jwe.decrypt(data, KEYS["p521"]) is None
    assert jwe.decrypt(data, rsa.generate_private_key(65537, 2048)) is None


@pytest.mark.parametrize("member", ["ciphertext", "tag", "protected", "encrypted_key"])
def test_a_changed_document_is_not_decrypted(member: str) -> None:
    document = json.loads(jwe.encrypt(TEXT, [EC.public_key()]))
    text = document[member]
    document[member] = ("A" if text[0] != "A" else "B") + text[1:]
    try:
        assert jwe.decrypt(json.dumps(document).encode(), EC) is None
    except FormatError:
        assert member == "protected"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"protected":1}',
        b'{"protected":"e30","iv":"A","ciphertext":"","tag":""}',
        b'{"protected":"eyJlbmMiOiJBMjU2R0NNIiwiemlwIjoiREVGIn0","iv":"AAAAAAAAAAAAAAAA","ciphertext":"","tag":""}',
        b'{"protected":"!","iv":"","ciphertext":"","tag":""}',
        b'{"protected":"eyJlbmMiOiJBMjU2R0NNIn0","iv":"AAAAAAAAAAAAAAAA","ciphertext":"","tag":"","recipients":[1]}',
        b'{"protected":"e30","iv":"","ciphertext":"","tag":"","recipients":{}}',
    ],
)
def test_malformed_documents_are_refused(data: bytes) -> None:
    with pytest.raises(FormatError):
        jwe.decrypt(data, EC)


def test_a_point_outside_the_curve_is_refused() -> None:
    document = json.loads(jwe.encrypt(TEXT, [EC.public_key(), RSA.public_key()]))
    document["recipients"][0]["header"]["epk"]["x"] = "AQ"
    assert jwe.decrypt(json.dumps(document).encode(), EC) is None


def test_weak_and_other_keys_are_refused() -> None:
    weak = rsa.generate_private_key(65537, 1024)
    other_curve = ec.generate_private_key(ec.SECP256K1())
    for key in (weak.public_key(), other_curve.public_key(), "text"):
        with pytest.raises(FormatError, match="cannot be encrypted to"):
            jwe.check_public_key(key, "key.pem")
