"""Keys under a passphrase, which another program must be able to open."""

from __future__ import annotations

from typing import Any

import pysequoia
import pytest

from pumice.errors import FormatError
from pumice.formats import openpgpkey


def generate_key(**options: Any) -> pysequoia.Tsk:
    return pysequoia.Tsk.generate("Ada <ada@example.com>", **options)


@pytest.mark.parametrize(
    "suite", [pysequoia.CipherSuite.Cv25519, pysequoia.CipherSuite.RSA2k, pysequoia.CipherSuite.P256]
)
def test_library_decrypts_a_protected_key(suite: pysequoia.CipherSuite) -> None:
    unprotected_key = bytes(generate_key(profile=pysequoia.Profile.RFC4880, cipher_suite=suite))
    assert not openpgpkey.is_protected(unprotected_key)
    sealed = openpgpkey.protect_key(unprotected_key, "pässword".encode(), lambda size: b"r" * size)
    assert openpgpkey.is_protected(sealed)
    key = pysequoia.Tsk.from_bytes(sealed)
    key.signer("pässword")
    assert (
        key.extract_certificate().fingerprint
        == pysequoia.Tsk.from_bytes(unprotected_key).extract_certificate().fingerprint
    )
    for wrong_passphrase in ("", "password"):
        with pytest.raises(RuntimeError):
            key.signer(wrong_passphrase)


def test_refuses_to_protect_version_6_keys() -> None:
    with pytest.raises(FormatError, match="cannot protect an OpenPGP key"):
        openpgpkey.protect_key(bytes(generate_key(profile=pysequoia.Profile.RFC9580)), b"x", bytes)


def test_reads_the_type_of_the_first_packet() -> None:
    key = generate_key(profile=pysequoia.Profile.RFC4880)
    assert openpgpkey.read_packet_tag(bytes(key)) == openpgpkey.SECRET
    assert openpgpkey.read_packet_tag(bytes(key.extract_certificate())) == openpgpkey.PUBLIC
    assert openpgpkey.read_packet_tag(b"\x99\x01") == openpgpkey.PUBLIC  # as gpg writes it
    assert [openpgpkey.read_packet_tag(data) for data in (b"", b"-----", b"\x30\x82")] == [0, 0, 0]
