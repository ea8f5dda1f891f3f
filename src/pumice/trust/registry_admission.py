"""Admission for a registry server: ``pumice serve --require-signed``.

Signatures are read from where clients push them: from the image's referrers and from cosign's tags.
Nothing here uses the network.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from pumice.decoding import decode_json
from pumice.errors import ImageError, PumiceError, StoreError, UsageError
from pumice.formats import oci
from pumice.image.model import Image
from pumice.progress import Silent
from pumice.trust import policy, policy_files
from pumice.trust.admission import AdmissionRequest, admit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pumice.clock import Clock
    from pumice.registry.server.offer import Offer
    from pumice.store.home import Home
    from pumice.trust.policy_files import PolicyDirectory

ATTACHMENT_TAG = re.compile(r"sha(?:256|512)-[a-f0-9]{64,123}(?:\.(?:sig|att|sbom))?")
"""Tags for what is attached to an image: signatures must be pushed before the image is tagged."""
_HINT = "push the image by digest, sign it, then set the tag"


def find_policy(text: str, environ: Mapping[str, str]) -> tuple[PolicyDirectory, ...]:
    """Return the policy directories of ``--require-signed``: ``trust`` for the user's, else one directory.

    Raises UsageError if no key is trusted there, FormatError for a malformed rule.
    """
    if text == "trust":
        directories = policy.policy_directories(environ)
    else:
        path = Path(text).absolute()
        if not path.is_dir():
            raise UsageError(
                "no such policy directory",
                where=text,
                hint="give a directory that 'pumice trust' wrote, or the word trust for your own policy",
            )
        directories = (policy_files.PolicyDirectory("policy", path),)
    if not policy.read_rules(directories):
        raise UsageError(
            "the policy trusts no key, so no tag could be set",
            where=text,
            hint="trust one first: pumice trust add --prefix PREFIX KEY",
        )
    return directories


def require_signed(
    directories: Sequence[PolicyDirectory], clock: Clock, home: Home
) -> Callable[[Offer], str | None]:
    """Return the function that returns why a manifest may not have its tags, or None if it may.

    The policy is read for each manifest, so that a revocation takes effect at once. ``home`` has the
    records of what each tag pointed to.
    """

    def check_offer(offer: Offer) -> str | None:
        tags = tuple(tag for tag in offer.tags if not ATTACHMENT_TAG.fullmatch(tag))
        if not tags:
            return None
        source = _OfferedBlobs(offer)
        root = oci.Descriptor(offer.media_type, offer.digest, len(offer.body))
        try:
            admit(
                Image(root, source, source.referrers),
                "tag",
                home,
                AdmissionRequest(repository=offer.repository, tags=tags),
                progress=Silent(),
                directories=directories,
                now=clock.now(),
            )
        except StoreError:
            raise
        except PumiceError as error:
            return f"the policy does not allow the tag: {error.message}; {_HINT}"
        return None

    return check_offer


class _OfferedBlobs:
    """The blobs of one repository, and a manifest that was pushed to it but is not stored yet."""

    def __init__(self, offer: Offer) -> None:
        self._offer = offer

    def open(self, digest: str) -> BinaryIO:
        """Open a manifest or a blob; raises ImageError, StoreError."""
        file = self._offer.open(digest)
        if file is None:
            raise ImageError("not found in the repository", where=digest)
        return file

    def referrers(self, subject: str) -> tuple[oci.Descriptor, ...]:
        """Return the referrers of a manifest, cosign's tag with signatures first."""
        return tuple(self._referrers(subject))

    def _referrers(self, subject: str) -> Iterator[oci.Descriptor]:
        storage, repository = self._offer.storage, self._offer.repository
        tag = subject.replace(":", "-") + ".sig"
        signatures = storage.manifests.find(repository, tag)
        if signatures is not None:
            annotations = {oci.REF_NAME: tag}
            yield oci.Descriptor(signatures.media_type, signatures.digest, len(signatures.body), annotations)
        for data in storage.referrers.list(repository, subject):
            yield decode_json(data, oci.Descriptor)
