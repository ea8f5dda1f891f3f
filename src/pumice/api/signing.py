"""Signs images and statements about them, for the Python API."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from pumice.api.signers import require_signer
from pumice.api.surroundings import open_home, open_registries
from pumice.api.values import SignedImage
from pumice.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pumice.api.signers import Keyless
    from pumice.assembly.reference_signing import SigningTarget
    from pumice.progress import Progress
    from pumice.store.home import Home
    from pumice.trust.image_signing import Signer, SigningResult
    from pumice.trust.keyless_signing import TokenSource

    StrPath = str | os.PathLike[str]


def sign(
    location: str,
    *,
    key: StrPath | None = None,
    keyless: Keyless | None = None,
    name: str = "",
    evidence: bool = True,
    docker_references: Sequence[str] = (),
    store: StrPath | None = None,
    progress: Progress | None = None,
    environ: Mapping[str, str] | None = None,
) -> SignedImage:
    """Sign an image in the store, in an ``oci:`` layout or in a registry, as ``pumice sign`` does.

    Returns who signed it and as what. ``key`` or ``keyless`` signs it as ``name`` or, without one, as its
    own name and version; with ``evidence`` also its SBOMs and provenance. A key also signs it as each
    ``HOST/REPO:TAG`` in ``docker_references``. Raises UsageError, TrustError, and other PumiceErrors.
    """
    environ = os.environ if environ is None else environ
    from pumice.assembly import reference_signing
    from pumice.clock import SystemClock
    from pumice.trust.signing_time import read_signing_time

    if keyless is not None and docker_references:
        raise UsageError("docker_references need a key", hint="skopeo and podman verify signatures by keys")
    signer = _open_signer(key, keyless, environ)
    time = read_signing_time(None, environ, SystemClock().now())
    with open_home(store, environ, progress) as home:
        result = reference_signing.sign_reference(
            _find_target(location, home, environ, progress),
            signer,
            name=name,
            evidence=evidence,
            time=time,
            docker_references=docker_references,
        )
    return _describe(result)


def attest(
    location: str,
    *,
    predicate_type: str,
    predicate: Any,
    key: StrPath | None = None,
    keyless: Keyless | None = None,
    name: str = "",
    store: StrPath | None = None,
    progress: Progress | None = None,
    environ: Mapping[str, str] | None = None,
) -> SignedImage:
    """Attach a signed statement about an image (in-toto), as ``pumice attest`` does; return who signed it.

    ``predicate_type`` is a URI or a name such as ``openvex``; ``predicate`` is a value that JSON can
    represent. The other arguments are as for `sign`. Raises UsageError, TrustError, and other PumiceErrors.
    """
    environ = os.environ if environ is None else environ
    from pumice.assembly import reference_signing

    _check_predicate(predicate)
    signer = _open_signer(key, keyless, environ)
    with open_home(store, environ, progress) as home:
        result = reference_signing.attest_reference(
            _find_target(location, home, environ, progress),
            signer,
            predicate_type=predicate_type,
            predicate=predicate,
            name=name,
        )
    return _describe(result)


def _check_predicate(predicate: Any) -> None:
    """Raise UsageError for a value that JSON cannot represent."""
    from pumice.formats import intoto

    try:
        intoto.encode_predicate(predicate)
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"JSON cannot represent the predicate: {error}") from None


def _open_signer(
    key: StrPath | None, keyless: Keyless | None, environ: Mapping[str, str]
) -> Signer | TokenSource:
    from pumice.assembly.signing import SigningKey

    signer = require_signer(key, keyless, environ)
    return signer.signer() if isinstance(signer, SigningKey) else signer


def _find_target(
    location: str, home: Home, environ: Mapping[str, str], progress: Progress | None
) -> SigningTarget:
    from pumice.assembly.reference_signing import SigningTarget

    return SigningTarget(location, home, lambda: open_registries(home, environ, progress))


def _describe(result: SigningResult) -> SignedImage:
    return SignedImage(
        digest=result.digest,
        name=result.name,
        signer=result.fingerprint,
        is_new=result.is_new,
        attestations=result.attested,
    )
