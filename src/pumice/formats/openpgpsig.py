"""Detached OpenPGP signatures of files (RFC 9580, 5.2), each verified separately.

A signature file may have many signatures, added by anybody. A malformed or unsupported one does not stop
the others from being verified.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import FormatError, TrustError
from pumice.formats import openpgp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pysequoia.packet import Packet

    from pumice.formats.openpgp import Keyring

MAX_FILE = 1 << 20
"""Maximum size of a signature file in bytes; a signature by ECC has about 250, by RSA 600."""
MAX_SIGNATURES = 256

_BEGIN = b"-----BEGIN PGP SIGNATURE-----"
_END = b"-----END PGP SIGNATURE-----"
_CHUNK = 1 << 20
_HASHES = {8: "sha256", 9: "sha384", 10: "sha512", 11: "sha224", 12: "sha3_256", 14: "sha3_512"}


class Signature(msgspec.Struct, frozen=True):
    """One signature; ``data`` is its packet.

    ``issuer`` (fingerprint or key ID, lower case) and ``created`` (seconds since the epoch) are
    unauthenticated. If ``problem`` is not empty, it says why the signature cannot be valid.
    """

    data: bytes = b""
    issuer: str = ""
    created: int = 0
    problem: str = ""


def read_signatures(data: bytes) -> Iterator[Signature]:
    """Yield the signatures in a file that is binary or armored, with any number of blocks."""
    if len(data) > MAX_FILE:
        yield Signature(problem="the signature file is larger than 1 MiB")
        return
    count = 0
    for block in _split_armor(data):
        for signature in _read_packets(block):
            count += 1
            if count > MAX_SIGNATURES:
                yield Signature(problem=f"there are more than {MAX_SIGNATURES} signatures")
                return
            yield signature


def encode_armor(signatures: Iterable[bytes]) -> bytes:
    """Return signature packets as one armored block, because gpg reads only the first block of a file."""
    import pysequoia

    text = pysequoia.armor(b"".join(signatures), pysequoia.ArmorKind.Signature)
    return text.encode()


def verify_file(path: Path, signature: Signature, keys: Keyring, *, now: int) -> str:
    """Return the fingerprint (lower case) of the primary key that signed the file at ``path``.

    The file is read in chunks. ``now`` is in seconds since the epoch. Raises TrustError with the reason
    if the signature is not valid.
    """
    import pysequoia

    certificate = keys.find_certificate(signature.issuer) if signature.issuer else None
    if certificate is None:
        issuer = signature.issuer.upper() or "an unnamed key"
        raise TrustError(f"it is by the OpenPGP key {issuer}, which is not trusted for this name")
    packet = _parse_packet(signature.data)
    try:
        verification = pysequoia.verify(
            file=path, store=lambda _: [certificate], signature=pysequoia.Sig.from_bytes(signature.data)
        )
    except Exception as error:
        raise TrustError(_explain_failure(path, signature, packet, keys, now)) from error
    try:
        return openpgp.find_valid_signers(verification, [packet], keys, now, None)[0].lower()
    except TrustError:
        raise
    except Exception as error:
        raise TrustError(f"its key {signature.issuer.upper()} is not sound by today's standards") from error


def matches_file(path: Path, signature: bytes) -> bool:
    """Return whether a signature may be of the content of a file, regardless of its key.

    It compares the two bytes of the digest in the signature, so one of 65,536 other files matches too.
    """
    try:
        name, prefix, trailer, digest_start = _parse_digest_input(bytes(_parse_packet(signature).body))
    except (FormatError, IndexError):
        return False
    state = hashlib.new(name, prefix, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            state.update(chunk)
    state.update(trailer)
    return state.digest()[:2] == digest_start


def _split_armor(data: bytes) -> list[bytes]:
    """Return the armored blocks of a file, or the binary file itself."""
    if _BEGIN not in data:
        return [data]
    return [
        _BEGIN + block.partition(_END)[0] + _END + b"\n" if _END in block else b""
        for block in data.split(_BEGIN)[1:]
    ]


def _read_packets(block: bytes) -> Iterator[Signature]:
    from pysequoia.packet import PacketPile

    try:
        packets = list(PacketPile.from_bytes(block))
    except Exception:  # noqa: BLE001 - the library's errors are of many types and meant for developers
        packets = []
    if not packets:
        yield Signature(problem="not a valid OpenPGP signature")
    for packet in packets:
        yield _describe_packet(packet)


def _describe_packet(packet: Packet) -> Signature:
    try:
        kind = packet.signature_type
        if kind is None:
            return Signature(problem="not a valid OpenPGP signature")
        created_time = packet.signature_created
        created = int(created_time.timestamp()) if created_time else 0
        issuer = packet.issuer_fingerprint or packet.issuer_key_id or ""
        # A text signature also covers other line endings, which would make a different archive.
        name = str(kind).rpartition(".")[2]
        problem = "" if name == "Binary" else f"not a signature of a binary file (its type is {name})"
        return Signature(bytes(packet), issuer.lower(), created, problem)
    except Exception:  # noqa: BLE001 - as above, for example for invalid times
        return Signature(problem="malformed OpenPGP signature")


def _parse_packet(data: bytes) -> Packet:
    from pysequoia.packet import PacketPile

    try:
        packet: Packet
        (packet,) = PacketPile.from_bytes(data)
    except Exception as error:
        raise FormatError("malformed OpenPGP signature") from error
    return packet


def _explain_failure(path: Path, signature: Signature, packet: Packet, keys: Keyring, now: int) -> str:
    issuer = signature.issuer.upper()
    try:
        reason = openpgp.explain_failure(packet, keys, now)
    except Exception:  # noqa: BLE001 - the library rejects keys that are bound by SHA-1
        return f"its key {issuer} is not sound by today's standards"
    if not reason.startswith("the text is not"):
        return reason
    if matches_file(path, signature.data):
        return f"{issuer} did not make it, or may not sign"
    return f"the file is not what {issuer} signed"


def _parse_digest_input(body: bytes) -> tuple[str, bytes, bytes, bytes]:
    """Return the hash algorithm of a signature, the data hashed before and after the file, and the
    first bytes of the digest (RFC 9580, 5.2.4)."""
    version = body[0]
    if version not in (4, 6):
        raise FormatError("the signature has an unsupported version")
    width = 2 if version == 4 else 4
    name = _HASHES.get(body[3])
    if name is None:
        raise FormatError("the signature has an unsupported hash algorithm")
    start = 4 + width
    end = start + int.from_bytes(body[4:start], "big")
    digest_offset = end + width + int.from_bytes(body[end : end + width], "big")
    salt = body[digest_offset + 3 : digest_offset + 3 + body[digest_offset + 2]] if version == 6 else b""
    trailer = bytes((version, 0xFF)) + end.to_bytes(4, "big")
    return name, salt, body[:end] + trailer, body[digest_offset : digest_offset + 2]
