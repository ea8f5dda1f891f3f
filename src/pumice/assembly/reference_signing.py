"""Signs an image wherever it is: in the store, in a layout or in a registry."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from pumice.image.transports import references
from pumice.trust import image_names, image_signing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from pumice.image.model import Image
    from pumice.image.transports.locations import Access, Attachment
    from pumice.store.home import Home
    from pumice.trust.image_signing import Signer, SigningResult
    from pumice.trust.keyless_signing import TokenSource
    from pumice.trust.signing_time import SigningTime


class SigningTarget(NamedTuple):
    """An image to sign: ``reference`` names it, and ``open_access`` opens what reads and writes it."""

    reference: str
    home: Home
    open_access: Callable[[], AbstractContextManager[Access]]


class SignableImage(NamedTuple):
    """An image, and what signatures of it are added with."""

    image: Image
    attachment: Attachment
    home: Home | None
    """The store, if the image is in it."""


@contextmanager
def open_to_sign(target: SigningTarget) -> Iterator[SignableImage]:
    """Give the image at a location, to add signatures to; raises UsageError if that is impossible."""
    location = references.find_source(target.reference, target.home)
    with target.open_access() as access:
        image = location.open(access).image
        attachment = location.attach(image, access)
        yield SignableImage(image, attachment, target.home if location.address.transport.is_store else None)


def sign_reference(
    target: SigningTarget,
    signer: Signer | TokenSource,
    *,
    name: str,
    evidence: bool,
    time: SigningTime,
    docker_references: Sequence[str] = (),
) -> SigningResult:
    """Sign an image under its name and its location in a registry, with a key or an identity token.

    A key also signs it as each of ``docker_references``: skopeo and podman by default accept an image of a
    registry only if it is signed as the reference that they pull. The other arguments are as for
    `image_signing.sign_image`. Raises PumiceError.
    """
    if not isinstance(signer, image_signing.Signer):
        return _sign_keyless(target, signer, name, time, evidence=evidence)
    checked_references = [
        image_names.check_docker_reference(docker_reference)
        for docker_reference in (*docker_references, *_registry_names(target))
    ]
    with open_to_sign(target) as opened:
        result = image_signing.sign_image(*opened, signer, name=name, evidence=evidence, time=time)
    for docker_reference in checked_references:
        # Opened again, because the signature is added to those that were just attached.
        with open_to_sign(target) as opened:
            signed = image_signing.sign_docker_reference(*opened, signer, docker_reference, time=time)
        result = msgspec.structs.replace(result, is_new=result.is_new or signed.is_new)
    return result


def _sign_keyless(
    target: SigningTarget, source: TokenSource, name: str, time: SigningTime, *, evidence: bool
) -> SigningResult:
    with open_to_sign(target) as opened, source.open_signer() as signer:
        return image_signing.sign_image_keyless(
            *(*opened, signer),
            name=name,
            docker_references=_registry_names(target),
            evidence=evidence,
            timestamp=time.required or time.now,
        )


def attest_reference(
    target: SigningTarget, signer: Signer | TokenSource, *, predicate_type: str, predicate: Any, name: str
) -> SigningResult:
    """Attach a statement about an image, signed with a key or an identity token; raises PumiceError.

    The other arguments are as for `image_signing.attest_image`.
    """
    with open_to_sign(target) as opened:
        if isinstance(signer, image_signing.Signer):
            return image_signing.attest_image(
                *opened, signer, predicate_type=predicate_type, predicate=predicate, name=name
            )
        with signer.open_signer() as keyless_signer:
            return image_signing.attest_image_keyless(
                *(opened.image, opened.attachment, keyless_signer),
                predicate_type=predicate_type,
                predicate=predicate,
                name=name,
            )


def _registry_names(target: SigningTarget) -> list[str]:
    """Return the ``HOST/REPO:TAG`` of an image in a registry; nothing for a digest or other locations."""
    description = references.find_source(target.reference, target.home).describe()
    return [description.name] if description.repository and description.name else []
