"""Reading public keys of every supported kind: PEM and OpenPGP certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import FormatError
from pumice.trust import keys, openpgp

if TYPE_CHECKING:
    from pathlib import Path

    from pumice.trust.keys import PublicKey


def read_public_key(path: Path) -> PublicKey:
    """Return the public key in a file, PEM or an OpenPGP certificate; raises TrustError, FormatError."""
    try:
        openpgp_data = openpgp.read_if_openpgp(path)
        return (
            keys.parse_pem_public_key(keys.read_key_file(path))
            if openpgp_data is None
            else openpgp.parse_certificate(openpgp_data)
        )
    except FormatError as error:
        raise FormatError(error.message, where=str(path), hint=error.hint) from None


def parse_public_key(data: bytes) -> PublicKey:
    """Return the public key in data, PEM or an armored OpenPGP certificate; raises FormatError."""
    if b"-----BEGIN PGP PUBLIC KEY BLOCK-----" in data:
        return openpgp.parse_certificate(data)
    return keys.parse_pem_public_key(data)


def parse_public_keys(data: bytes) -> tuple[PublicKey, ...]:
    """Return the public keys in data: one in PEM, or OpenPGP certificates. Raises FormatError."""
    if openpgp.is_public(data):
        return openpgp.parse_certificates(data)
    return (keys.parse_pem_public_key(data),)
