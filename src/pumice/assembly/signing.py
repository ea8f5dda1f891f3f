"""Signs a built image, unless it has that signature already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.trust import key_files, signature_cache

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pumice.assembly.image import BuiltImage
    from pumice.image.transports.locations import Location
    from pumice.store.home import Home
    from pumice.trust.image_signing import Signer
    from pumice.trust.keyless_signing import TokenSource
    from pumice.trust.signing_time import SigningTime


class SigningKey(msgspec.Struct, frozen=True):
    """The file of a private key, and a function that opens it when there is something to sign."""

    path: Path
    signer: Callable[[], Signer]


def sign_image(
    image: BuiltImage,
    name: str,
    signer: SigningKey | TokenSource,
    home: Home,
    *,
    time: SigningTime,
    registries: Sequence[str] = (),
) -> str:
    """Sign an image and its evidence in the store, as ``name`` and as each HOST/REPO:TAG in ``registries``.

    Returns the name of the key's file, or the identity that signed. If nothing changed since the last
    signature by a key, it takes a few look-ups. Raises PumiceError.
    """
    if isinstance(signer, SigningKey):
        _sign_with_key(image, name, signer, home, time, registries)
        return signer.path.name
    from pumice.image.transports import attachment
    from pumice.trust import image_signing

    with signer.open_signer() as keyless_signer:
        image_signing.sign_image_keyless(
            *(image.open(home), attachment.StoreAttachment(home), home, keyless_signer),
            name=name,
            docker_references=registries,
            timestamp=time.required or time.now,
        )
        return keyless_signer.title


def _sign_with_key(
    image: BuiltImage, name: str, key: SigningKey, home: Home, time: SigningTime, registries: Sequence[str]
) -> None:
    names = (name, *registries)
    key_identity = key_files.key_digest(key.path)
    cache_name = signature_cache.compute_key(
        image.root.digest, names, key_identity, image.evidence, time.required
    )
    if signature_cache.has_valid(cache_name, home):
        return
    from pumice.image.transports import attachment
    from pumice.trust import image_signing

    signer, store_attachment = key.signer(), attachment.StoreAttachment(home)
    signature = image_signing.sign_image(
        image.open(home), store_attachment, home, signer, name=name, time=time
    )
    for registry_name in registries:
        image_signing.sign_docker_reference(
            image.open(home), store_attachment, home, signer, registry_name, time=time
        )
    if registries:  # to learn which manifests hold all signatures now
        signature = image_signing.sign_image(
            image.open(home), store_attachment, home, signer, name=name, time=time
        )
    signature_cache.put(cache_name, signature.manifests, home)


def registry_names(destinations: Sequence[Location], version: str) -> list[str]:
    """Return each ``HOST/REPO:TAG`` that an image of this version is pushed to, to sign it as that too."""
    descriptions = [destination.describe(version) for destination in destinations]
    return [description.name for description in descriptions if description.repository and description.name]
