"""What is decided about an image: the request, the checks, and the result with every reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

if TYPE_CHECKING:
    from pumice.store.archive_marks import ArchiveSigner
    from pumice.trust.image_verification import EvaluatedClaim
    from pumice.trust.rollback import PendingRecord
    from pumice.trust.trusted_key import TrustedKey

Purpose = Literal["run", "pull", "verify", "tag"]
"""What an image is admitted for: to be run, to enter the store, to be reported on, or, in a registry
server, to have tags that point to it."""

BUILT_HERE = "the image was built here"


class AdmissionRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An image as the user requested it, and the checks that the user waived.

    ``reference`` is the REF of the command line: a name in it must be what the image is signed as, unless
    ``name`` overrides it. If ``keys`` is set, only these keys are trusted and the policy is ignored.
    """

    reference: str = ""
    name: str = ""
    keys: tuple[TrustedKey, ...] | None = None
    allow_older: bool = False
    allow_built_here: bool = False
    """For ``verify``: an image that this store built needs no signature."""
    repository: str = ""
    tags: tuple[str, ...] = ()
    """For ``tag``: the server's repository, and its tags that shall point to the image."""


class Check(msgspec.Struct, frozen=True):
    """One check that passed, or that was skipped for the reason in ``detail``."""

    subject: Literal["signature", "name", "freshness", "content"]
    passed: bool
    detail: str


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """An image that may be used, and why; ``name`` is the name under which it is admitted."""

    digest: str
    name: str
    expected: str = ""
    """The name it must be signed as, after mirrors; "" if neither the request nor the policy has one."""
    built_here: bool = False
    """Whether this store built it, even if it is signed as well."""
    keys: tuple[TrustedKey, ...] = ()
    """The keys that are trusted for the name."""
    threshold: int = 1
    signatures: tuple[EvaluatedClaim, ...] = ()
    attestations: tuple[EvaluatedClaim, ...] = ()
    rejected: tuple[EvaluatedClaim, ...] = ()
    """Signatures and attestations that are not trusted, with the reasons."""
    checks: tuple[Check, ...] = ()
    records: tuple[PendingRecord, ...] = ()
    """What later images of the name are compared with, once this one is used."""
    warning: str = ""


def list_archive_signers(decision: Decision) -> tuple[ArchiveSigner, ...]:
    """Return the keys that had signed the archive of an image that was admitted."""
    from pumice.store.archive_marks import ArchiveSigner

    return tuple(
        ArchiveSigner(fingerprint, verified.claim.created)
        for verified in decision.signatures
        if verified.claim.form == "openpgp"
        for fingerprint in verified.claim.signer_fingerprints or ()
    )
