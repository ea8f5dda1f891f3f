"""OpenPGP signatures of archives: ``FILE.asc`` next to ``FILE``, in the format of ``gpg --verify``.

A signature covers the bytes of the archive, and so the image's digest and the name that it declares.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice import files
from pumice.errors import FormatError, TrustError, UsageError
from pumice.formats import openpgpsig, sigstore
from pumice.image.regular_file import read_failures, read_small
from pumice.trust import image_names, openpgp
from pumice.trust.claims import Claim

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pumice.formats.openpgp import Keyring
    from pumice.formats.openpgpsig import Signature
    from pumice.image.model import Archive, Image
    from pumice.trust.budget import Budget
    from pumice.trust.openpgp import Certificate
    from pumice.trust.trusted_key import TrustedKey

SUFFIX = ".asc"
_MAX_CHECKED = 32
"""Signatures by trusted keys that are checked, because each check reads the whole archive."""


class ArchiveSigner(msgspec.Struct, frozen=True):
    """An OpenPGP key, and the function that returns the signature packet of a file for a signing time."""

    certificate: Certificate
    sign_file: Callable[[Path, int | None], bytes]


class ArchiveSignature(msgspec.Struct, frozen=True):
    """The file with the signatures, and whether a signature was added to it."""

    path: Path
    is_new: bool


def signature_path(archive: Path) -> Path:
    """Return the path of an archive's signatures."""
    return archive.with_name(archive.name + SUFFIX)


def check_archive_name(image: Image, requested_name: str) -> str:
    """Return the name that an archive's image declares.

    A signature of an archive cannot name the image otherwise. Raises UsageError if the image declares no
    name, or not ``requested_name``.
    """
    declared_name = image_names.declared_name(image)
    if not declared_name:
        raise UsageError(
            "the archive's image declares no name, so its signature would not name an image",
            hint="build it with pumice, or sign it for other tools: gpg --detach-sign --armor FILE",
        )
    if requested_name and not image_names.matches(declared_name, requested_name):
        raise UsageError(
            f"cannot sign an archive of {declared_name} as {requested_name[:100]}",
            hint="remove --as, or sign an oci: layout with a key from 'pumice key generate'",
        )
    return declared_name


def sign_archive(
    archive: Path, signer: ArchiveSigner, *, now: int, signed_at: int | None = None
) -> ArchiveSignature:
    """Sign an archive unless this key has signed it; signatures of earlier content are removed.

    ``signed_at`` is the signing time in seconds since the epoch, for signers that support one; ``now`` is
    the time at which existing signatures are checked. Raises TrustError, StoreError.
    """
    target = signature_path(archive)
    data = read_small(target, openpgpsig.MAX_FILE) or b""
    old_signatures = [signature for signature in openpgpsig.read_signatures(data) if not signature.problem]
    ring = openpgp.make_keyring([signer.certificate])
    with read_failures(archive):
        own_signatures = [
            signature
            for signature in old_signatures
            if ring.find_certificate(signature.issuer or "none") is not None
        ]
        if any(_is_made_by(archive, signature, ring, now) for signature in own_signatures):
            return ArchiveSignature(target, is_new=False)
        other_packets = [
            signature.data
            for signature in old_signatures
            if signature not in own_signatures and openpgpsig.matches_file(archive, signature.data)
        ]
        packet = signer.sign_file(archive, signed_at)
    files.replace(target, openpgpsig.encode_armor([packet, *other_packets]), mode=0o644)
    return ArchiveSignature(target, is_new=True)


def read_claims(image: Image, trusted: Sequence[TrustedKey], *, now: int, budget: Budget) -> Iterator[Claim]:
    """Yield a claim for each OpenPGP signature of the archive that an image was read from.

    Only signatures whose issuer is a trusted key are checked. Raises TrustError if the user named a
    signature file that does not exist, or if the archive changed since the image was read.
    """
    archive = image.archive
    if archive is None:
        return
    data = _read_signatures(archive)
    if data is None:
        return
    keys = {trusted_key.key.fingerprint: trusted_key.key for trusted_key in trusted}
    ring = openpgp.make_keyring([key for key in keys.values() if isinstance(key, openpgp.Certificate)])
    checked = 0
    for signature in openpgpsig.read_signatures(data):
        is_known = not signature.problem and ring.find_certificate(signature.issuer or "none") is not None
        checked += is_known
        if is_known and checked > _MAX_CHECKED:
            problem = f"more than {_MAX_CHECKED} signatures name a trusted key as issuer"
            yield _make_claim(image, signature, problem=problem)
            return
        if is_known and (problem := budget.take(0)):  # each check reads the whole archive
            yield _make_claim(image, signature, problem=problem)
            continue
        yield _check_signature(image, archive, signature, ring, now)


def _check_signature(image: Image, archive: Archive, signature: Signature, ring: Keyring, now: int) -> Claim:
    from pumice.image.transports import archive_members

    if signature.problem:
        return _make_claim(image, signature, problem=signature.problem)
    try:
        maker = _find_signer(archive, signature, ring)
        if not maker:
            with read_failures(archive.path):
                maker = openpgpsig.verify_file(archive.path, signature, ring, now=now)
    except (TrustError, FormatError) as error:
        return _make_claim(image, signature, problem=error.message)
    if archive_members.read_status(archive.path) != archive.status:
        raise TrustError("the archive changed while its signatures were checked", where=str(archive.path))
    return _make_claim(image, signature, signer_fingerprints=(maker,))


def _find_signer(archive: Archive, signature: Signature, ring: Keyring) -> str:
    """Return the trusted key that made a signature which was verified before, "" if there is none."""
    maker = dict(archive.signers).get(signature.data, "")
    return maker if maker and ring.find_certificate(maker) is not None else ""


def _make_claim(
    image: Image, signature: Signature, *, signer_fingerprints: tuple[str, ...] = (), problem: str = ""
) -> Claim:
    return Claim(
        form="openpgp",
        source=image.root.digest,
        subject=image.root.digest,
        predicate_type=sigstore.SIGN,
        signer_fingerprints=signer_fingerprints,
        named_fingerprints=signer_fingerprints,
        created=signature.created,
        problem=problem,
    )


def _is_made_by(archive: Path, signature: Signature, ring: Keyring, now: int) -> bool:
    try:
        openpgpsig.verify_file(archive, signature, ring, now=now)
    except (TrustError, FormatError):
        return False
    return True


def _read_signatures(archive: Archive) -> bytes | None:
    named_file = archive.signature
    data = read_small(named_file or signature_path(archive.path), openpgpsig.MAX_FILE)
    if data is None and named_file is not None:
        raise TrustError("no such signature file", where=str(named_file))
    return data
