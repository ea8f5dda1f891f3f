"""OpenPGP signatures of archives: ``FILE.asc`` beside ``FILE``, just what ``gpg --verify`` accepts.

Who signs an archive signs its bytes, so also the image's digest and what it says that it is called.
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
"""Each means reading the whole archive."""


class ArchiveSigner(msgspec.Struct, frozen=True):
    """A key and what signs a file by it: returns signature packets, made at a time if that is given."""

    certificate: Certificate
    sign_file: Callable[[Path, int | None], bytes]


class ArchiveSignature(msgspec.Struct, frozen=True):
    """What was done: the file of signatures, and whether anything was ``new``."""

    path: Path
    is_new: bool


def signature_path(archive: Path) -> Path:
    """Return the file that holds an archive's signatures."""
    return archive.with_name(archive.name + SUFFIX)


def check_archive_name(image: Image, requested_name: str) -> str:
    """Return what an archive's image is called; raises UsageError if that is not ``given``, or nothing.

    Who signs bytes cannot give them another name.
    """
    declared_name = image_names.declared_name(image)
    if not declared_name:
        raise UsageError(
            "the archive's image does not say what it is called, so that signing it would name nothing",
            hint="build it by Pumice, or sign the file for others: gpg --detach-sign --armor FILE",
        )
    if requested_name and not image_names.matches(declared_name, requested_name):
        raise UsageError(
            f"the archive's image is called {declared_name}, and its bytes cannot be signed as {requested_name[:100]}",
            hint="leave out --as, or sign the image in the store or in an oci: layout by another kind of key",
        )
    return declared_name


def sign_archive(
    archive: Path, signer: ArchiveSigner, *, now: int, signed_at: int | None = None
) -> ArchiveSignature:
    """Sign a file unless this key has done so; signatures of it by others stay, those of other bytes go.

    ``moment`` is when the signature is to be made, in seconds since the epoch, if the signer can say
    other than ``now``. Raises TrustError, StoreError.
    """
    target = signature_path(archive)
    data = read_small(target, openpgpsig.MAX_FILE)
    old_signatures = [one for one in openpgpsig.read_signatures(data or b"") if not one.problem]
    ring = openpgp.make_keyring([signer.certificate])
    with read_failures(archive):
        own_signatures = [
            one for one in old_signatures if ring.find_certificate(one.issuer or "none") is not None
        ]
        if any(_is_made_by(archive, one, ring, now) for one in own_signatures):
            return ArchiveSignature(target, is_new=False)
        other_packets = [
            one.data
            for one in old_signatures
            if one not in own_signatures and openpgpsig.matches_file(archive, one.data)
        ]
        packet = signer.sign_file(archive, signed_at)
    files.replace(target, openpgpsig.encode_armor([packet, *other_packets]), mode=0o644)
    return ArchiveSignature(target, is_new=True)


def read_claims(image: Image, trusted: Sequence[TrustedKey], *, now: int, budget: Budget) -> Iterator[Claim]:
    """Yield a claim for each OpenPGP signature of the archive that an image was read from.

    Only what says it is by a trusted key is checked. Raises TrustError if a file of signatures that
    was named is not there, or if the archive is not the one any more that the image was read from.
    """
    archive = image.archive
    if archive is None:
        return
    data = _read_signatures(archive)
    if data is None:
        return
    certificates = {one.key.fingerprint: one.key for one in trusted}
    ring = openpgp.make_keyring(
        [one for one in certificates.values() if isinstance(one, openpgp.Certificate)]
    )
    looked_at = 0
    for one in openpgpsig.read_signatures(data):
        is_known = not one.problem and ring.find_certificate(one.issuer or "none") is not None
        looked_at += is_known
        if is_known and looked_at > _MAX_CHECKED:
            yield _make_claim(image, one, problem=f"more than {_MAX_CHECKED} claim to be by trusted keys")
            return
        if is_known and (problem := budget.take(0)):  # each means reading the whole archive
            yield _make_claim(image, one, problem=problem)
            continue
        yield _check_signature(image, archive, one, ring, now)


def _check_signature(image: Image, archive: Archive, signature: Signature, ring: Keyring, now: int) -> Claim:
    from pumice.image.transports import archive_members

    if signature.problem:
        return _make_claim(image, signature, problem=signature.problem)
    try:
        with read_failures(archive.path):
            maker = openpgpsig.verify_file(archive.path, signature, ring, now=now)
    except (TrustError, FormatError) as error:
        return _make_claim(image, signature, problem=error.message)
    if archive_members.look(archive.path) != archive.look:
        raise TrustError("the archive was changed while it was looked at", where=str(archive.path))
    return _make_claim(image, signature, signer_fingerprints=(maker,))


def _make_claim(
    image: Image, signature: Signature, *, signer_fingerprints: tuple[str, ...] = (), problem: str = ""
) -> Claim:
    return Claim(
        form="openpgp",
        source=image.root.digest,
        subject=image.root.digest,
        predicate_type=sigstore.SIGN,
        signer_fingerprints=signer_fingerprints,
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
        raise TrustError("there is no such file of signatures", where=str(named_file))
    return data
