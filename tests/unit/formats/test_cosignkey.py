"""Encrypted private keys: those of cosign are opened, and what claims to be one is looked at with care."""

from __future__ import annotations

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import FormatError, PumiceError, TrustError
from pumice.formats import cosignkey
from tests.support.signed_images import DATA

PASSPHRASE = b"hunter2"
KEY = (DATA / "cosign.key").read_bytes()
SALT, NONCE = b"s" * 32, b"n" * 24


def change_key_file(**changes: object) -> bytes:
    lines = KEY.strip().split(b"\n")
    document = json.loads(base64.b64decode(b"".join(lines[1:-1])))
    for path, value in changes.items():
        target = document
        *parents, last = path.split("__")
        for parent in parents:
            target = target[parent]
        target[last] = value
    return b"\n".join([lines[0], base64.b64encode(json.dumps(document).encode()), lines[-1]])


@pytest.mark.parametrize("name", ["cosign.key", "old.key"])
def test_decrypts_keys_of_cosign(name: str) -> None:
    der = cosignkey.decrypt_key((DATA / name).read_bytes(), PASSPHRASE)
    assert len(der) == 138


def test_keys_round_trip() -> None:
    data = cosignkey.encrypt_key(b"content", b"", salt=SALT, nonce=NONCE)
    assert cosignkey.is_encrypted(data)
    assert b"content" not in data
    assert cosignkey.decrypt_key(data, b"") == b"content"


@pytest.mark.parametrize(
    "data", [KEY, change_key_file(ciphertext="AAAA"), change_key_file(cipher__nonce="AAAA" * 8)]
)
def test_wrong_passphrases_and_damaged_keys_give_the_same_error(data: bytes) -> None:
    with pytest.raises(TrustError, match="does not open the key"):
        cosignkey.decrypt_key(data, b"hunter3")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (change_key_file(kdf__name="md5"), "which are not supported"),
        (change_key_file(cipher__name="rot13"), "which are not supported"),
        (change_key_file(kdf__salt="AAAA"), "wrong length"),
        (change_key_file(cipher__nonce="AAAA"), "wrong length"),
        (change_key_file(kdf__params={"N": 1 << 30, "r": 8, "p": 1}), "invalid scrypt parameters"),
        (change_key_file(kdf__params={"N": 65537, "r": 8, "p": 1}), "invalid scrypt parameters"),
        (change_key_file(kdf__params={"N": 1 << 24, "r": 64, "p": 1}), "invalid scrypt parameters"),
        (change_key_file(kdf__params={"N": True, "r": 8, "p": 1}), "no scrypt parameters"),
        (KEY[:200], "is truncated"),
        (KEY + KEY, "is truncated"),
        (KEY.replace(b"A", b"!", 1), "is truncated"),
        (b"x" * 100_000, "larger"),
    ],
)
def test_refuses_malformed_key_files(data: bytes, message: str) -> None:
    with pytest.raises(FormatError, match=message):
        cosignkey.decrypt_key(data, PASSPHRASE)


@given(st.binary(max_size=300) | st.binary(max_size=200).map(lambda data: KEY[:31] + data + KEY[-30:]))
def test_any_bytes_return_a_key_or_raise_an_error(data: bytes) -> None:
    try:
        cosignkey.decrypt_key(data, b"")
    except PumiceError:
        pass
