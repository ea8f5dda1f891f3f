"""Public keys of every kind that rules can name: in PEM, or OpenPGP certificates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import FormatError
from pumice.trust import keys, openpgp

if TYPE_CHECKING:
    from pathlib import Path

    from pumice.trust.keys import PublicKey


def read(path: Path) -> PublicKey:
    """Read a public key in PEM, or an OpenPGP certificate; raises FormatError."""
    try:
        other = openpgp.read(path)
        return keys.parse_public(keys.read_file(path)) if other is None else openpgp.parse(other)
    except FormatError as error:
        raise FormatError(error.message, where=str(path), hint=error.hint) from None


def parse(data: bytes) -> PublicKey:
    """Read a public key in PEM, or an armored OpenPGP certificate; raises FormatError."""
    if b"-----BEGIN PGP PUBLIC KEY BLOCK-----" in data:
        return openpgp.parse(data)
    return keys.parse_public(data)
