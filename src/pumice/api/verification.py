"""Verifies images, for the Python API."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.api.signers import read_trusted_keys
from pumice.api.surroundings import open_home, open_registries
from pumice.api.values import Signer, Verification
from pumice.progress import Silent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.api.signers import Identity
    from pumice.progress import Progress
    from pumice.trust import admission

    StrPath = str | os.PathLike[str]


def verify(
    location: str,
    *,
    key: StrPath | Sequence[StrPath] | None = None,
    identity: Identity | Sequence[Identity] | None = None,
    name: str = "",
    allow_older: bool = False,
    store: StrPath | None = None,
    progress: Progress | None = None,
    environ: Mapping[str, str] | None = None,
) -> Verification:
    """Return who signed an image, as ``pumice verify`` does; raises TrustError if it is not trusted.

    With ``key`` or ``identity``, only these public keys and identities are trusted and the policy is
    ignored. ``name`` is what the image must be signed as. An accepted image is recorded: older ones are
    refused unless ``allow_older``.
    """
    environ = os.environ if environ is None else environ
    from pumice.image import integrity
    from pumice.image.transports import references
    from pumice.trust import admission

    keys = read_trusted_keys(key, identity, environ)
    request = admission.AdmissionRequest(reference=location, name=name, keys=keys, allow_older=allow_older)
    with open_home(store, environ, progress) as home, open_registries(home, environ, progress) as access:
        source = references.find_source(location, home)
        image = source.open(access).image

        def check_content(_: admission.Decision) -> Sequence[admission.Check]:
            if source.address.transport.is_registry:
                integrity.check_manifests(image)
            else:
                integrity.check_blobs(image)
            return ()

        reporter = progress or Silent()
        decision = admission.admit(
            *(image, "verify", home, request), progress=reporter, environ=environ, inspect=check_content
        )
    return _describe(decision)


def _describe(decision: admission.Decision) -> Verification:
    """Return the decision as the API's value, each signer once."""
    signers = {
        item.trusted_key.key.fingerprint: Signer(
            fingerprint=item.trusted_key.key.fingerprint,
            label=item.trusted_key.label,
            signed_at=item.claim.created,
            identity=getattr(item.trusted_key.key, "identity", ""),
            issuer=getattr(item.trusted_key.key, "issuer", ""),
        )
        for item in decision.signatures
        if item.trusted_key
    }
    types = {item.claim.predicate_type for item in decision.attestations}
    return Verification(
        digest=decision.digest,
        name=decision.name,
        signers=tuple(signers.values()),
        attestations=tuple(sorted(types)),
    )
