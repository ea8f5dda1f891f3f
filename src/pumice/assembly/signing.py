"""Signing what was built, unless that signature stands already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.trust import keyfiles, signature_cache

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pumice.assembly.image import Finished
    from pumice.store.home import Home
    from pumice.trust.sign import Signer
    from pumice.trust.signing_time import Time


class Key(msgspec.Struct, frozen=True):
    """A private key's file, and what makes a signer of it when there is something to sign."""

    path: Path
    signer: Callable[[], Signer]


def sign(
    finished: Finished, name: str, key: Key, home: Home, *, time: Time, registries: Sequence[str] = ()
) -> None:
    """Sign an image and its evidence as ``name``, in the store, and as what will lie at HOST/REPO:TAG.

    Where nothing changed since the key did that, it is a few look-ups. Raises PumiceError.
    """
    names = (name, *registries)
    known = keyfiles.stands_for(key.path)
    where = signature_cache.name_of(finished.root.digest, names, known, finished.evidence, time.required)
    if signature_cache.holds(where, home):
        return
    from pumice.image.transports import attachment
    from pumice.trust import sign

    signer, place = key.signer(), attachment.StoreAttachment(home)
    done = sign.sign(finished.image(home), place, home, signer, name=name, time=time)
    for one in registries:
        sign.sign_place(finished.image(home), place, home, signer, one, time=time)
    if registries:  # which manifests hold it all now
        done = sign.sign(finished.image(home), place, home, signer, name=name, time=time)
    signature_cache.remember(where, done.manifests, home)
