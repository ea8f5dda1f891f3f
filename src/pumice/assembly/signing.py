"""Signing what was built, unless that signature stands already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.trust import keyfiles, signature_cache

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pumice.assembly.image import BuiltImage
    from pumice.store.home import Home
    from pumice.trust.sign import Signer
    from pumice.trust.signing_time import Time


class SigningKey(msgspec.Struct, frozen=True):
    """A private key's file, and what makes a signer of it when there is something to sign."""

    path: Path
    signer: Callable[[], Signer]


def sign_image(
    image: BuiltImage, name: str, key: SigningKey, home: Home, *, time: Time, registries: Sequence[str] = ()
) -> None:
    """Sign an image and its evidence as ``name``, in the store, and as what will lie at HOST/REPO:TAG.

    Where nothing changed since the key did that, it is a few look-ups. Raises PumiceError.
    """
    names = (name, *registries)
    key_identity = keyfiles.stands_for(key.path)
    cache_name = signature_cache.name_of(
        image.root.digest, names, key_identity, image.evidence, time.required
    )
    if signature_cache.holds(cache_name, home):
        return
    from pumice.image.transports import attachment
    from pumice.trust import sign

    signer, store_attachment = key.signer(), attachment.StoreAttachment(home)
    signature = sign.sign(image.open(home), store_attachment, home, signer, name=name, time=time)
    for registry_name in registries:
        sign.sign_place(image.open(home), store_attachment, home, signer, registry_name, time=time)
    if registries:  # which manifests hold it all now
        signature = sign.sign(image.open(home), store_attachment, home, signer, name=name, time=time)
    signature_cache.remember(cache_name, signature.manifests, home)
