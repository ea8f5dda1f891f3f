"""Signing what was built, unless that signature stands already."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.trust import keyfiles, standing

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pumice.build.image import Finished
    from pumice.store.home import Home
    from pumice.trust.sign import Signer


class Key(msgspec.Struct, frozen=True):
    """A private key's file, and what makes a signer of it when there is something to sign."""

    path: Path
    signer: Callable[[], Signer]


def sign(finished: Finished, name: str, key: Key, home: Home) -> None:
    """Sign an image and its evidence as ``name``, in the store.

    Where nothing changed since the key did that, it is a few look-ups. Raises PumiceError.
    """
    where = standing.name_of(finished.root.digest, name, keyfiles.stands_for(key.path), finished.evidence)
    if standing.holds(where, home):
        return
    from pumice.trust import places
    from pumice.trust.sign import sign as sign_image

    done = sign_image(finished.image(home), places.StorePlace(home), home, key.signer(), name=name)
    standing.remember(where, done.manifests, home)
