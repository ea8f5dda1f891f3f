"""What was accepted before, so that nobody can pass off an old image, rightly signed and full of holes.

For each name the newest version that was trusted here, in the store as ``accepted/<hex>``. Older is
an older version by Debian's order, or the same version made earlier.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice import digest, files
from pumice.distro.debian import version as debian
from pumice.errors import FormatError, StoreError, TrustError
from pumice.formats import oci
from pumice.store import sealed
from pumice.trust import names

if TYPE_CHECKING:
    from pathlib import Path

    from pumice.image.model import Image
    from pumice.store.home import Home


class Accepted(msgspec.Struct, frozen=True):
    """An image that was trusted; ``created`` is seconds since the epoch, 0 if not known."""

    name: str
    version: str
    created: int
    digest: str


def check(image: Image, name: str, home: Home) -> Accepted | None:
    """Return what to `remember`; raises TrustError if something newer was accepted under the name.

    None for an image whose version is not known: it cannot be older than anything.
    """
    plain, version = names.split(name)
    version = version or names.annotations_of(image).get(names.VERSION, "")
    if not plain or not version:
        return None
    now = Accepted(plain, version, _created(image), image.root.digest)
    before = recall(plain, home)
    if before is None or before.digest == now.digest:
        return now
    problem = _older(now, before)
    if problem:
        raise TrustError(
            f"the image is older than one that was accepted before: {problem}",
            where=f"{plain}:{version}",
            hint="if going back is what you want, say --allow-older",
        )
    return now


def remember(accepted: Accepted, home: Home) -> None:
    """Let this be what later images are compared with."""
    if recall(accepted.name, home) != accepted:
        files.replace(_path(accepted.name, home), sealed.seal(msgspec.json.encode(accepted)), fs=home.fs)


def recall(name: str, home: Home) -> Accepted | None:
    """Return what was accepted under a name; StoreError if that is damaged."""
    path = _path(name, home)
    with files.told(path):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
    content = sealed.unseal(data)
    try:
        return msgspec.json.decode(content or b"", type=Accepted)
    except msgspec.MsgspecError:
        raise StoreError(
            f"what the store knows of the versions of {name} is damaged",
            where=str(path),
            hint="remove the file, and check by hand that the image is not an old one",
        ) from None


def _path(name: str, home: Home) -> Path:
    return home.directory("accepted") / digest.hex_of(digest.of(name.encode()))


def _older(now: Accepted, before: Accepted) -> str:
    if now.version == before.version:
        if 0 < now.created < before.created:
            return f"it was made at {now.created}, and one made at {before.created} is known"
        return ""
    try:
        order = debian.compare(debian.check(now.version), debian.check(before.version))
    except FormatError:
        return ""  # such as "latest": there is no order to go by
    return f"{before.version} is known" if order < 0 else ""


def _created(image: Image) -> int:
    import datetime

    text = names.annotations_of(image).get(names.CREATED, "")
    if not text and not oci.is_index(image.document(image.root), image.root.media_type):
        text = image.config().created
    try:
        found = datetime.datetime.fromisoformat(text)
        return max(0, int(found.timestamp()))
    except (ValueError, OverflowError, OSError):
        return 0
