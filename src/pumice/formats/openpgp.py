"""OpenPGP signatures of archives (RFC 9580): clear-signed ``InRelease`` and detached ``Release.gpg``.

Callers get the signed text as the verifier returns it, not the file; text outside the signed part is
refused. A signature is valid if its key is in the keyring, and neither the key nor the signature is
expired, revoked or made with a broken hash algorithm.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import msgspec

from pumice import digest
from pumice.errors import FormatError, TrustError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from pysequoia import Cert, Decrypted
    from pysequoia.packet import Packet

MAX_SIGNATURES = 32
"""Maximum number of signatures; Debian's files have up to four."""
MAX_KEYRING = 16 << 20
"""Maximum size of a keyring in bytes."""

_BEGIN = b"-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE = b"-----BEGIN PGP SIGNATURE-----"
_END = b"-----END PGP SIGNATURE-----"
_ARMOR = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
_WEAK = ("MD5", "RipeMD", "SHA1")


class VerifiedContent(msgspec.Struct, frozen=True):
    """Text with a valid signature by at least one key of the keyring.

    ``signers`` are the fingerprints of the primary keys, in upper-case hexadecimal, sorted.
    """

    content: bytes
    signers: tuple[str, ...]


class Keyring:
    """Certificates to verify signatures with; ``digest`` is of the bytes they were read from."""

    def __init__(self, data: bytes, certificates: Sequence[Cert]) -> None:
        self.digest = digest.of(data)
        self.certificates = tuple(certificates)

    def all_certificates(self, _: Sequence[str]) -> list[Cert]:
        """Return all certificates, regardless of the requested key IDs; the library selects."""
        return list(self.certificates)

    def find_certificate(self, key: str) -> Cert | None:
        """Return the certificate that has the key or subkey with this fingerprint or key ID."""
        from pysequoia.packet import PacketPile

        for certificate in self.certificates:
            if certificate.fingerprint == key:
                return certificate
        for certificate in self.certificates:
            for packet in PacketPile.from_bytes(bytes(certificate)):
                if packet.fingerprint and packet.fingerprint.endswith(key):
                    return certificate
        return None


def read_keyring(data: bytes, *, fingerprints: Iterable[str] = (), where: str | None = None) -> Keyring:
    """Return a keyring, binary or armored, with any number of certificates or armored blocks.

    If ``fingerprints`` is not empty, only certificates whose primary key has one of them are kept; case and
    a final ``!`` are ignored. Raises FormatError if there is no certificate.
    """
    from pysequoia import Cert

    if len(data) > MAX_KEYRING:
        raise FormatError("the keyring is larger than 16 MiB", where=where)
    certificates: list[Cert] = []
    with _library_errors_as("it is not an OpenPGP keyring", where):
        for block in _split_armor(data):
            certificates += Cert.split_bytes(block)
    accepted_fingerprints = {fingerprint.rstrip("!").lower() for fingerprint in fingerprints}
    if accepted_fingerprints:
        certificates = [
            certificate for certificate in certificates if certificate.fingerprint in accepted_fingerprints
        ]
    if not certificates:
        raise FormatError("the keyring has no OpenPGP certificate", where=where)
    return Keyring(data, certificates)


def verify_clearsigned(data: bytes, keys: Keyring, *, now: int, where: str | None = None) -> VerifiedContent:
    """Return the signed content of a clear-signed text such as InRelease (RFC 9580, 7).

    ``now`` is in seconds since the epoch. Raises TrustError with the reason if no signature by a key in
    ``keys`` is valid, or if there is text outside the signed part.
    """
    import pysequoia

    text = data.strip()
    if not text.startswith(_BEGIN + b"\n") and not text.startswith(_BEGIN + b"\r\n"):
        raise TrustError("it is not signed", where=where)
    if not text.endswith(_END) or _count_lines(text, _BEGIN) != 1 or _count_lines(text, _SIGNATURE) != 1:
        raise TrustError("there is text outside the signed part, or the signature is truncated", where=where)
    signature = text[text.rfind(_SIGNATURE) :]
    packets = _read_signature_packets(signature, where)
    verification = _verify_or_explain(
        lambda: pysequoia.verify(bytes=text, store=keys.all_certificates),
        packets,
        keys,
        now,
        where,
    )
    return VerifiedContent(
        verification.bytes or b"", find_valid_signers(verification, packets, keys, now, where)
    )


def verify_detached(
    content: bytes, signature: bytes, keys: Keyring, *, now: int, where: str | None = None
) -> VerifiedContent:
    """Return ``content`` if at least one detached signature is valid, as for Release.gpg.

    Raises TrustError as `verify_clearsigned` does.
    """
    import pysequoia

    packets = _read_signature_packets(signature, where)
    signers: set[str] = set()
    failure: TrustError | None = None
    for packet in packets:
        with _library_errors_as("the signature is malformed", where):
            parsed_signature = pysequoia.Sig.from_bytes(bytes(packet))
        verify = partial(
            pysequoia.verify,
            bytes=content,
            store=lambda _: list(keys.certificates),
            signature=parsed_signature,
        )
        try:
            signers.update(
                find_valid_signers(
                    _verify_or_explain(verify, [packet], keys, now, where), [packet], keys, now, where
                )
            )
        except TrustError as error:
            failure = failure or error
    if not signers and failure is not None:
        raise failure
    return VerifiedContent(content, tuple(sorted(signers)))


def strip_clearsign_armor(data: bytes) -> bytes:
    """Return the text of a file that may be clear-signed, without verification.

    Only for archives that a recipe explicitly trusts without a signature.
    """
    text = data.replace(b"\r\n", b"\n")
    if not text.startswith(_BEGIN):
        return data
    body = text.partition(b"\n\n")[2].partition(b"\n" + _SIGNATURE)[0]
    return b"\n".join(line.removeprefix(b"- ") for line in body.split(b"\n"))


def _count_lines(text: bytes, line: bytes) -> int:
    """Return how many lines of ``text`` start with ``line``."""
    return text.count(b"\n" + line) + text.startswith(line)


def _split_armor(data: bytes) -> list[bytes]:
    """Return the blocks of armored text, because the library reads only the first."""
    for armor in (_ARMOR, _SIGNATURE):
        if armor in data:
            return [armor + block for block in data.split(armor)[1:]]
    return [data] if data else []


def _read_signature_packets(data: bytes, where: str | None) -> list[Packet]:
    from pysequoia.packet import PacketPile

    packets: list[Packet] = []
    with _library_errors_as("the signature is malformed", where):
        for block in _split_armor(data)[:MAX_SIGNATURES]:
            packets += [
                packet for packet in PacketPile.from_bytes(block) if packet.signature_type is not None
            ]
    if not packets or len(packets) > MAX_SIGNATURES:
        raise TrustError("the signature is malformed", where=where)
    return packets


@contextmanager
def _library_errors_as(sentence: str, where: str | None) -> Iterator[None]:
    """Replace the library's errors, which are long and meant for developers, by one sentence."""
    try:
        yield
    except Exception as error:
        raise FormatError(sentence, where=where) from error


def _verify_or_explain(
    verify: Callable[[], Decrypted], packets: Sequence[Packet], keys: Keyring, now: int, where: str | None
) -> Decrypted:
    try:
        return verify()
    except Exception as error:
        reasons = sorted({explain_failure(packet, keys, now) for packet in packets})
        raise TrustError(
            "no valid signature: " + "; ".join(reasons),
            where=where,
            hint="check the keyring, the mirror and the clock of this machine",
        ) from error


def find_valid_signers(
    verification: Decrypted, packets: Sequence[Packet], keys: Keyring, now: int, where: str | None
) -> tuple[str, ...]:
    """Return the signers whose keys are valid now and not only when they signed, as gpgv does."""
    signers: set[str] = set()
    reasons: set[str] = set()
    for signature in verification.valid_sigs:
        certificate = keys.find_certificate(signature.certificate)
        problem = (
            _find_key_problem(certificate, signature.signing_key, now)
            if certificate
            else "not in the keyring"
        )
        if problem:
            reasons.add(f"its key {signature.signing_key.upper()} {problem}")
        else:
            signers.add(signature.certificate.upper())
    if not signers:
        reasons = reasons or {explain_failure(packet, keys, now) for packet in packets}
        raise TrustError(
            "no valid signature: " + "; ".join(sorted(reasons)),
            where=where,
            hint="use a newer keyring or another mirror",
        )
    return tuple(sorted(signers))


def explain_failure(packet: Packet, keys: Keyring, now: int) -> str:
    """Return why a signature that the library rejected is invalid."""
    issuer = packet.issuer_fingerprint or packet.issuer_key_id or ""
    name = issuer.upper() or "an unnamed key"
    certificate = keys.find_certificate(issuer) if issuer else None
    if certificate is None:
        return f"it is signed by {name}, which is not in the keyring"
    algorithm = str(packet.hash_algorithm).rpartition(".")[2]
    if algorithm in _WEAK:
        return f"the signature by {name} uses {algorithm}, which is broken"
    if packet.signature_expiration_time and packet.signature_expiration_time.timestamp() < now:
        return f"the signature by {name} has expired on {_format_date(packet.signature_expiration_time)}"
    problem = _find_key_problem(certificate, issuer, now)
    return f"its key {name} {problem}" if problem else f"the text is not what {name} signed"


def _find_key_problem(certificate: Cert, key: str, now: int) -> str:
    """Return why a key of ``certificate`` is invalid at the time ``now``, ``""`` if it is valid."""
    if certificate.is_revoked:
        return "is revoked"
    expiration = certificate.expiration
    if expiration is None or expiration.timestamp() >= now:
        bindings = _find_subkey_bindings(certificate, key)
        if any(str(packet.signature_type).endswith("SubkeyRevocation") for _, packet in bindings):
            return "is revoked"
        expiration = _find_subkey_expiration(bindings)
    return (
        f"has expired on {_format_date(expiration)}"
        if expiration is not None and expiration.timestamp() < now
        else ""
    )


def _find_subkey_bindings(certificate: Cert, key: str) -> list[tuple[datetime, Packet]]:
    """Return the creation time of a subkey with each signature that binds or revokes it."""
    from pysequoia.packet import PacketPile

    bindings: list[tuple[datetime, Packet]] = []
    created: datetime | None = None
    for packet in PacketPile.from_bytes(bytes(certificate)):
        if packet.fingerprint:
            is_subkey = packet.fingerprint.endswith(key) and packet.fingerprint != certificate.fingerprint
            created = packet.key_created if is_subkey else None
        elif created is not None and packet.signature_created is not None:
            bindings.append((created, packet))
    return bindings


def _find_subkey_expiration(bindings: Sequence[tuple[datetime, Packet]]) -> datetime | None:
    """Return when a subkey expires, according to the newest signature that binds it."""
    dated_bindings = [(packet.signature_created, created, packet) for created, packet in bindings]
    dated_bindings = [
        binding for binding in dated_bindings if str(binding[2].signature_type).endswith("SubkeyBinding")
    ]
    if not dated_bindings:
        return None
    _, created, packet = max(
        dated_bindings, key=lambda binding: binding[0].timestamp() if binding[0] else 0.0
    )
    validity = packet.key_validity_period
    return created + validity if validity else None


def _format_date(time: datetime) -> str:
    return time.date().isoformat()
