"""What was accepted before, so that nobody can pass off an old image, rightly signed and full of holes.

For each name the newest version that was trusted here, in the store as ``accepted/<hex>``. Older is
an older version by Debian's order, or the same version signed earlier; only the signed bytes say when
that was. Where one of two images does not say so, the one that was made earlier is older. A publisher
who cares for several series of versions under one name says in the annotation `TRACK` to which an image
belongs: each has its own newest version. The annotation stands in the manifest, so that it is signed with
the digest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice import digest, files
from pumice.distro.versions import check_version, compare_versions
from pumice.errors import FormatError, PumiceError, StoreError, TrustError
from pumice.formats import oci
from pumice.os_errors import STORE, translate_os_errors
from pumice.store import sealed_files
from pumice.trust import image_names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pumice.image.model import Image
    from pumice.store.home import Home

TRACK = "dev.pumice.track"
_MAX_RECORDS = 1000
"""Records of one name; those without an order, such as of revisions, could be any number."""


class AcceptedImage(msgspec.Struct, frozen=True, omit_defaults=True):
    """An image that was trusted; ``created`` and ``signed`` are seconds since the epoch, 0 if not known."""

    name: str
    version: str
    created: int
    digest: str
    track: str = ""
    signed: int = 0

    @property
    def slot(self) -> tuple[str, str]:
        """What this takes the place of: one of a track, and one of each version that has no order."""
        return (self.track, "" if _is_ordered(self.version) else self.version)


def describe_image(image: Image, name: str, *, signed: int = 0) -> AcceptedImage | None:
    """Return what there is to remember of an image; None if its version is not known."""
    plain, version = image_names.split_name(name)
    annotations = image_names.read_annotations(image)
    version = version or annotations.get(image_names.VERSION, "")
    if not plain or not version:
        return None
    track = annotations.get(TRACK, "")[:100]
    return AcceptedImage(plain, version, _read_created(image), image.root.digest, track, signed)


def check_rollback(image: Image, name: str, home: Home, *, signed: int = 0) -> AcceptedImage | None:
    """Return what to `remember`; raises TrustError if something newer was accepted under the name.

    ``signed`` is when the image was signed, as the signatures that count say in what they sign. None for
    an image whose version is not known: it cannot be older than anything.
    """
    now = describe_image(image, name, signed=signed)
    if now is not None:
        _refuse_older(now, read_accepted(now.name, home))
    return now


def record_accepted(accepted: AcceptedImage, home: Home) -> None:
    """Let this be what later images are compared with.

    Raises TrustError if another process accepted something newer since it was checked.
    """
    if accepted in read_accepted(accepted.name, home):
        return
    with home.lock("accepted"):
        before = read_accepted(accepted.name, home)
        _refuse_older(accepted, before)
        accepted = _keep_latest_time(accepted, before)
        kept = [one for one in before if one.slot != accepted.slot]
        # Those with an order come first: they are what must never be forgotten.
        kept = sorted([*kept, accepted], key=lambda one: one.slot[1] != "")[:_MAX_RECORDS]
        data = sealed_files.seal(msgspec.json.encode(kept))
        files.replace(_record_path(accepted.name, home), data, fs=home.fs, translation=STORE)


def _keep_latest_time(accepted: AcceptedImage, before: Sequence[AcceptedImage]) -> AcceptedImage:
    """An image is as new as it was: whoever takes its dated signatures away does not make it older."""
    known = [one.signed for one in before if one.digest == accepted.digest and one.slot == accepted.slot]
    return msgspec.structs.replace(accepted, signed=max([accepted.signed, *known]))


def read_accepted(name: str, home: Home) -> tuple[AcceptedImage, ...]:
    """Return what was accepted under a name, of each track; StoreError if that is damaged."""
    path = _record_path(name, home)
    with translate_os_errors(path):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return ()
    content = sealed_files.unseal(data) or b""
    try:
        if content.startswith(b"{"):  # the one that earlier versions of Pumice kept
            return (msgspec.json.decode(content, type=AcceptedImage),)
        return msgspec.json.decode(content, type=tuple[AcceptedImage, ...])
    except msgspec.MsgspecError:
        raise StoreError(
            f"what the store knows of the versions of {name} is damaged",
            where=str(path),
            hint="remove the file, and check by hand that the image is not an old one",
        ) from None


def _record_path(name: str, home: Home) -> Path:
    return home.directory("accepted") / digest.hex_of(digest.of(name.encode()))


def _refuse_older(now: AcceptedImage, known: Sequence[AcceptedImage]) -> None:
    """An image without a track must not be older than anything: else leaving it out would help."""
    for before in known:
        if now.track and before.track != now.track:
            continue
        problem = "" if before.digest == now.digest else _compare_versions(now, before)
        if problem:
            raise TrustError(
                f"the image is older than one that was accepted before: {problem}",
                where=f"{now.name}:{now.version}",
                hint="if going back is what you want, say --allow-older",
            )


def _compare_versions(now: AcceptedImage, before: AcceptedImage) -> str:
    ordered = _is_ordered(now.version) and _is_ordered(before.version)
    order = compare_versions(now.version, before.version) if ordered else 0
    if now.version == before.version or (ordered and order == 0):
        return _compare_times(now, before)
    track = f" of the track {before.track}" if before.track else ""
    return f"{before.version}{track} is known" if order < 0 else ""  # "latest" has no order to go by


def _compare_times(now: AcceptedImage, before: AcceptedImage) -> str:
    """Say why one of two images of a version is the older one; "" if it is not."""
    if before.signed and not now.signed:
        return (
            f"its signature does not say when it was made, and one of {_format_time(before.signed)} is known"
        )
    if before.signed and now.signed != before.signed:
        if now.signed > before.signed:
            return ""
        signed, known = _format_time(now.signed), _format_time(before.signed)
        return f"it was signed on {signed}, and one signed on {known} is known"
    made = now.created or (0 if before.signed else now.signed)
    if before.created and not made:
        return f"it does not say when it was made, and one made on {_format_time(before.created)} is known"
    if made < before.created:
        return f"it was made on {_format_time(made)}, and one made on {_format_time(before.created)} is known"
    return ""


def _is_ordered(version: str) -> bool:
    try:
        check_version(version)
    except FormatError:
        return False
    return True


def _format_time(seconds: int) -> str:
    import datetime

    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d at %H:%M:%S")


def _read_created(image: Image) -> int:
    import datetime

    text = image_names.read_annotations(image).get(image_names.CREATED, "")
    try:
        if not text and not oci.is_index(image.document(image.root), image.root.media_type):
            text = image.config().created
        found = datetime.datetime.fromisoformat(text)
        return max(0, int(found.timestamp()))
    except (PumiceError, ValueError, OverflowError, OSError):  # other artifacts have other configs
        return 0
