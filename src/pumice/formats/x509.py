"""Subject hashes of X.509 certificates (RFC 5280, X.690 DER), by which OpenSSL finds them.

The hash is of the canonical form of the subject and not of its bytes (``X509_NAME_hash``,
``crypto/x509/x_name.c``).
"""

from __future__ import annotations

import binascii
import hashlib
import re

from pumice.errors import FormatError

_PEM = re.compile(
    rb"-----BEGIN (?:X509 |TRUSTED )?CERTIFICATE-----\s(.*?)-----END (?:X509 |TRUSTED )?CERTIFICATE-----",
    re.DOTALL,
)
_SEQUENCE, _SET, _OID, _VERSION = 0x30, 0x31, 0x06, 0xA0
_UTF8 = 0x0C
_ENCODINGS = {
    0x0C: "utf-8",
    0x13: "latin-1",  # PrintableString
    0x14: "latin-1",  # TeletexString, decoded as Latin-1 by all implementations
    0x16: "latin-1",  # IA5String
    0x1A: "latin-1",  # VisibleString
    0x1C: "utf-32-be",  # UniversalString
    0x1E: "utf-16-be",  # BMPString
}
_SPACES = " \t\n\v\f\r"
_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")


def read_pem(data: bytes) -> list[bytes]:
    """Return the DER bytes of each certificate in a PEM file; raises FormatError if one is damaged."""
    certificates: list[bytes] = []
    for match in _PEM.finditer(data):
        try:
            certificates.append(binascii.a2b_base64(match[1]))
        except binascii.Error:
            raise FormatError("a certificate is not valid base64") from None
    return certificates


def compute_subject_hash(certificate: bytes) -> str:
    """Return the subject hash of a certificate in DER, in eight hexadecimal digits.

    Raises FormatError if it is not a certificate.
    """
    digest = hashlib.sha1(_canonicalize(_read_subject(certificate)), usedforsecurity=False).digest()
    return f"{int.from_bytes(digest[:4], 'little'):08x}"


def _read_subject(certificate: bytes) -> bytes:
    content = _read_content(certificate, 0, _SEQUENCE)
    tbs_certificate = _read_content(content, 0, _SEQUENCE)
    position = 0
    if tbs_certificate[:1] == bytes((_VERSION,)):
        position = _find_value_end(tbs_certificate, position)
    for _ in range(4):  # serial number, signature algorithm, issuer, validity
        position = _find_value_end(tbs_certificate, position)
    return _read_content(tbs_certificate, position, _SEQUENCE)


def _canonicalize(name: bytes) -> bytes:
    sets: list[bytes] = []
    position = 0
    while position < len(name):
        values = _read_content(name, position, _SET)
        position = _find_value_end(name, position)
        members: list[bytes] = []
        member_position = 0
        while member_position < len(values):
            members.append(
                _encode(_SEQUENCE, _canonicalize_attribute(_read_content(values, member_position, _SEQUENCE)))
            )
            member_position = _find_value_end(values, member_position)
        sets.append(_encode(_SET, b"".join(sorted(members))))
    return b"".join(sets)


def _canonicalize_attribute(attribute: bytes) -> bytes:
    _read_content(attribute, 0, _OID)
    value_position = _find_value_end(attribute, 0)
    tag, start, end = _read_header(attribute, value_position)
    encoding = _ENCODINGS.get(tag)
    if encoding is None:
        return attribute[:end]
    try:
        text = attribute[start:end].decode(encoding)
    except UnicodeDecodeError:
        raise FormatError("a certificate has a malformed name") from None
    normalized_words = re.split(f"[{_SPACES}]+", text.strip(_SPACES).translate(_LOWER))
    return attribute[:value_position] + _encode(
        _UTF8, " ".join(normalized_words).encode("utf-8", "surrogatepass")
    )


def _read_header(data: bytes, position: int) -> tuple[int, int, int]:
    """Return the tag, start and end of the value at ``position``."""
    if position + 2 > len(data):
        raise FormatError("a certificate is truncated")
    length, start = data[position + 1], position + 2
    if length & 0x80:
        size = length & 0x7F
        if not 1 <= size <= 4 or start + size > len(data):
            raise FormatError("a certificate has a malformed length")
        length = int.from_bytes(data[start : start + size], "big")
        start += size
    if start + length > len(data):
        raise FormatError("a certificate is truncated")
    return data[position], start, start + length


def _read_content(data: bytes, position: int, tag: int) -> bytes:
    actual_tag, start, end = _read_header(data, position)
    if actual_tag != tag:
        raise FormatError("the data is not an X.509 certificate")
    return data[start:end]


def _find_value_end(data: bytes, position: int) -> int:
    return _read_header(data, position)[2]


def _encode(tag: int, content: bytes) -> bytes:
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    size = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | size)) + length.to_bytes(size, "big") + content
