"""Certificates for tests, generated on demand."""

from __future__ import annotations

import datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.name import _ASN1Type
from cryptography.x509.oid import NameOID

_KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


@cache
def certificate(name: str, *, serial: int = 1, printable: bool = False) -> bytes:
    """Return the DER bytes of a certificate whose subject has the common name ``name``."""
    kind = _ASN1Type.PrintableString if printable else _ASN1Type.UTF8String
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COUNTRY_NAME, "HU"),
            x509.NameAttribute(NameOID.COMMON_NAME, name, _type=kind),
        ]
    )
    start = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(subject)
    builder = builder.public_key(_KEY.public_key()).serial_number(serial)
    builder = builder.not_valid_before(start).not_valid_after(start + datetime.timedelta(days=36500))
    return builder.sign(_KEY, None).public_bytes(Encoding.DER)


def pem(name: str, *, serial: int = 1) -> bytes:
    """Return `certificate` as PEM text."""
    return x509.load_der_x509_certificate(certificate(name, serial=serial)).public_bytes(Encoding.PEM)
