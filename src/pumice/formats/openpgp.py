"""OpenPGP signatures of archives (RFC 9580): clear-signed ``InRelease`` and detached ``Release.gpg``.

What counts is the text that was signed, as the verifier hands it back, never the file around it;
text outside the signed part is refused. A signature counts when its key is in the keyring and
neither key nor signature is expired, revoked or made with a broken digest.
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
"""Signatures looked at; Debian's files carry up to four."""
MAX_KEYRING = 16 << 20
"""Bytes of a keyring."""

_BEGIN = b"-----BEGIN PGP SIGNED MESSAGE-----"
_SIGNATURE = b"-----BEGIN PGP SIGNATURE-----"
_END = b"-----END PGP SIGNATURE-----"
_ARMOR = b"-----BEGIN PGP PUBLIC KEY BLOCK-----"
_WEAK = ("MD5", "RipeMD", "SHA1")


class VerifiedContent(msgspec.Struct, frozen=True):
    """Text that somebody in the keyring signed; ``signers`` are their fingerprints.

    Fingerprints are of primary keys, in upper-case hexadecimal, sorted.
    """

    content: bytes
    signers: tuple[str, ...]


class Keyring:
    """Certificates to check signatures with; ``digest`` is that of the bytes they were read from."""

    def __init__(self, data: bytes, certificates: Sequence[Cert]) -> None:
        self.digest = digest.of(data)
        self.certificates = tuple(certificates)

    def all_certificates(self, _: Sequence[str]) -> list[Cert]:
        """Return all certificates, whichever keys are asked for: the library picks."""
        return list(self.certificates)

    def find_certificate(self, key: str) -> Cert | None:
        """Return the certificate that holds the (sub)key with this fingerprint or key ID."""
        from pysequoia.packet import PacketPile

        for certificate in self.certificates:
            if certificate.fingerprint == key:
                return certificate
        for certificate in self.certificates:
            for packet in PacketPile.from_bytes(bytes(certificate)):
                if packet.fingerprint and packet.fingerprint.endswith(key):
                    return certificate
        return None


def read_keyring(data: bytes, *, only: Iterable[str] = (), where: str | None = None) -> Keyring:
    """Read a keyring: binary or armored, any number of certificates or armored blocks.

    ``only`` keeps the certificates with these fingerprints (of the primary key; a final ``!`` and
    case do not matter). Raises FormatError if nothing usable is there.
    """
    from pysequoia import Cert

    if len(data) > MAX_KEYRING:
        raise FormatError("the keyring is larger than any real one", where=where)
    certificates: list[Cert] = []
    with _library_errors_as("it is not an OpenPGP keyring", where):
        for block in _split_armor(data):
            certificates += Cert.split_bytes(block)
    fingerprints = {item.rstrip("!").lower() for item in only}
    if fingerprints:
        certificates = [item for item in certificates if item.fingerprint in fingerprints]
    if not certificates:
        raise FormatError("the keyring holds no OpenPGP certificate", where=where)
    return Keyring(data, certificates)


def verify_clearsigned(data: bytes, keys: Keyring, *, now: int, where: str | None = None) -> VerifiedContent:
    """Return what is signed in a clear-signed text such as InRelease.

    ``now`` is seconds since the epoch. Raises TrustError with the reason if nobody in ``keys``
    vouches for it, and if there is text outside the signed part.
    """
    import pysequoia

    text = data.strip()
    if not text.startswith(_BEGIN + b"\n") and not text.startswith(_BEGIN + b"\r\n"):
        raise TrustError("it is not signed", where=where)
    if not text.endswith(_END) or _count_lines(text, _BEGIN) != 1 or _count_lines(text, _SIGNATURE) != 1:
        raise TrustError("there is text outside the signed part, or the signature is cut off", where=where)
    signature = text[text.rfind(_SIGNATURE) :]
    packets = _read_signature_packets(signature, where)
    result = _verify_or_explain(
        lambda: pysequoia.verify(bytes=text, store=keys.all_certificates),
        packets,
        keys,
        now,
        where,
    )
    return VerifiedContent(result.bytes or b"", find_valid_signers(result, packets, keys, now, where))


def verify_detached(
    content: bytes, signature: bytes, keys: Keyring, *, now: int, where: str | None = None
) -> VerifiedContent:
    """Return ``content`` if one of the signatures in ``signature`` holds, as in Release.gpg.

    Raises TrustError as `clearsigned` does.
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
    """Return the text of a file that may be clear-signed, checking nothing.

    Only for an archive that a recipe takes without a signature in as many words.
    """
    text = data.replace(b"\r\n", b"\n")
    if not text.startswith(_BEGIN):
        return data
    body = text.partition(b"\n\n")[2].partition(b"\n" + _SIGNATURE)[0]
    return b"\n".join(line.removeprefix(b"- ") for line in body.split(b"\n"))


def _count_lines(text: bytes, line: bytes) -> int:
    """How often ``text`` has ``line`` at the beginning of a line."""
    return text.count(b"\n" + line) + text.startswith(line)


def _split_armor(data: bytes) -> list[bytes]:
    """Split armored text into its blocks: the library stops after the first."""
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
    """Put one sentence in place of what the library says, which is long and for its developers."""
    try:
        yield
    except Exception as error:
        raise FormatError(sentence, where=where) from error


def _verify_or_explain(
    verify: Callable[[], Decrypted], packets: Sequence[Packet], keys: Keyring, now: int, where: str | None
) -> Decrypted:
    try:
        return verify()
    except Exception:  # noqa: BLE001 - as above; the reason is found by looking again
        reasons = sorted({explain_failure(packet, keys, now) for packet in packets})
        raise TrustError(
            "no signature holds: " + "; ".join(reasons),
            where=where,
            hint="check the keyring, the mirror and the machine's clock",
        ) from None


def find_valid_signers(
    result: Decrypted, packets: Sequence[Packet], keys: Keyring, now: int, where: str | None
) -> tuple[str, ...]:
    """Return the signers whose key is good today too, not only on the day they signed (as gpgv sees it)."""
    signers: set[str] = set()
    reasons: set[str] = set()
    for signature in result.valid_sigs:
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
            "no signature holds: " + "; ".join(sorted(reasons)),
            where=where,
            hint="take a newer keyring, or another mirror",
        )
    return tuple(sorted(signers))


def explain_failure(packet: Packet, keys: Keyring, now: int) -> str:
    """Say why a signature that the library refused does not hold."""
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
    """Say what is wrong with a key of ``certificate`` at the time ``now``; "" if nothing is."""
    if certificate.is_revoked:
        return "is revoked"
    ends = certificate.expiration
    if ends is None or ends.timestamp() >= now:
        bindings = _find_subkey_bindings(certificate, key)
        if any(str(packet.signature_type).endswith("SubkeyRevocation") for _, packet in bindings):
            return "is revoked"
        ends = _subkey_expiration(bindings)
    return f"has expired on {_format_date(ends)}" if ends is not None and ends.timestamp() < now else ""


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


def _subkey_expiration(bindings: Sequence[tuple[datetime, Packet]]) -> datetime | None:
    """When a subkey expires, by the newest of the signatures that bind it."""
    dated = [(packet.signature_created, created, packet) for created, packet in bindings]
    dated = [item for item in dated if str(item[2].signature_type).endswith("SubkeyBinding")]
    if not dated:
        return None
    _, created, packet = max(dated, key=lambda item: item[0].timestamp() if item[0] else 0.0)
    validity = packet.key_validity_period
    return created + validity if validity else None


def _format_date(time: datetime) -> str:
    return time.date().isoformat()
