"""Protection against rollback: a correctly signed but outdated image must not replace a newer one.

For each name the store has the newest image that was admitted, in ``accepted/<hex>``. An image is older
if its version is older (`version_order`), or if it has the same version and was signed earlier; only
the signed bytes say when. If one of two images has no signing time, the times of their creation are
compared. A publisher who maintains several release series under one name sets the annotation `TRACK`:
each track has its own newest version. The annotation is in the manifest, so the signed digest covers it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice import digest, files
from pumice.decoding import decode_json
from pumice.errors import PumiceError, StoreError, TrustError
from pumice.formats import oci
from pumice.os_errors import STORE, translate_os_errors
from pumice.store import sealed_files
from pumice.trust import image_names, version_order

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pumice.image.model import Image
    from pumice.store.home import Home

TRACK = "dev.pumice.track"
_MAX_RECORDS = 1000
"""Records of one name. Versions without an order, such as commits, have one record each."""
_MAX_TRACK = 100


class AcceptedImage(msgspec.Struct, frozen=True, omit_defaults=True):
    """An image that was admitted; ``created`` and ``signed`` are seconds since the epoch, 0 if unknown."""

    name: str
    version: str
    created: int
    digest: str
    track: str = ""
    signed: int = 0

    @property
    def slot(self) -> tuple[str, str]:
        """The record that this image replaces: one a track, and one for each version without an order."""
        return (self.track, "" if version_order.is_ordered(self.version) else self.version)


class PendingRecord(msgspec.Struct, frozen=True):
    """An image to record once it is used, and the records that it was compared with already."""

    image: AcceptedImage
    compared: tuple[AcceptedImage, ...] = ()


def describe_image(image: Image, name: str, *, signed_at: int = 0) -> AcceptedImage | None:
    """Return what is recorded of an image that is called ``name``; None if its version is unknown."""
    plain_name, version = image_names.split_name(name)
    annotations = image_names.read_annotations(image)
    declared_version = annotations.get(image_names.VERSION, "")
    if not version or image_names.is_series(version, declared_version):
        version = declared_version  # of a tag such as 15, the version that it points to
    if not plain_name or not version:
        return None
    track = annotations.get(TRACK, "")[:_MAX_TRACK]
    return AcceptedImage(plain_name, version, _read_created(image), image.root.digest, track, signed_at)


def check_rollback(image: Image, name: str, home: Home, *, signed_at: int = 0) -> PendingRecord | None:
    """Return what to record; raises TrustError if a newer image was admitted under the name.

    ``signed_at`` is the time in the image's trusted signatures, 0 if they have none. Returns None for an
    image without a version, which is not older than any other.
    """
    candidate = describe_image(image, name, signed_at=signed_at)
    if candidate is None:
        return None
    records = read_accepted(candidate.name, home)
    _reject_older(candidate, records)
    return PendingRecord(candidate, records)


def record_accepted(image: AcceptedImage, home: Home, *, compared: Sequence[AcceptedImage] = ()) -> None:
    """Record the image that later images are compared with.

    Raises TrustError if a newer one was recorded; those in ``compared`` are not compared again, so that
    only what another process recorded since is.
    """
    if image in read_accepted(image.name, home):
        return
    with home.lock("accepted"):
        records = read_accepted(image.name, home)
        _reject_older(image, [record for record in records if record not in compared])
        image = _keep_latest_time(image, records)
        kept_records = [record for record in records if record.slot != image.slot]
        # Versions with an order come first, because they must never be dropped.
        kept_records = sorted([*kept_records, image], key=lambda record: record.slot[1] != "")[:_MAX_RECORDS]
        data = sealed_files.seal(msgspec.json.encode(kept_records))
        files.replace(_record_path(image.name, home), data, fs=home.fs, translation=STORE)


def _keep_latest_time(image: AcceptedImage, records: Sequence[AcceptedImage]) -> AcceptedImage:
    """Return the image with its latest known signing time: removing signatures does not make it older."""
    times = [
        record.signed for record in records if record.digest == image.digest and record.slot == image.slot
    ]
    return msgspec.structs.replace(image, signed=max([image.signed, *times]))


def read_accepted(name: str, home: Home) -> tuple[AcceptedImage, ...]:
    """Return the records of a name, one for each track; raises StoreError if they are damaged."""
    path = _record_path(name, home)
    with translate_os_errors(path):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return ()
    content = sealed_files.unseal(data) or b""
    try:
        if content.startswith(b"{"):  # one record, as early versions of Pumice wrote it
            return (decode_json(content, AcceptedImage),)
        return decode_json(content, tuple[AcceptedImage, ...])
    except msgspec.MsgspecError:
        raise StoreError(
            f"the record of admitted versions of {name} is damaged",
            where=str(path),
            hint="check that the image is not outdated, then delete the file",
        ) from None


def _record_path(name: str, home: Home) -> Path:
    return home.directory("accepted") / digest.hex_of(digest.of(name.encode()))


def _reject_older(image: AcceptedImage, records: Sequence[AcceptedImage]) -> None:
    """Raise TrustError if the image is older than a record of its track.

    An image without a track is compared with every track, else removing the annotation would help.
    """
    for record in records:
        if image.track and record.track != image.track:
            continue
        reason = "" if record.digest == image.digest else _explain_older(image, record)
        if reason:
            raise TrustError(
                f"the image is older than one that was admitted before: {reason}",
                where=f"{image.name}:{image.version}",
                hint="to go back to it, pass --allow-older",
            )


def _explain_older(image: AcceptedImage, record: AcceptedImage) -> str:
    """Return why the image is older than the recorded one; "" if it is not."""
    order = version_order.compare_versions(image.version, record.version)
    if order == 0:
        return _explain_earlier(image, record)
    track = f" of track {record.track}" if record.track else ""
    return f"{record.version}{track} was admitted" if order == -1 else ""


def _explain_earlier(image: AcceptedImage, record: AcceptedImage) -> str:
    """Return why the image was made earlier than the recorded one of its version; "" if it was not."""
    if record.signed and not image.signed:
        return f"its signature has no time, and one of {_format_time(record.signed)} was admitted"
    if record.signed and image.signed != record.signed:
        if image.signed > record.signed:
            return ""
        time, admitted_time = _format_time(image.signed), _format_time(record.signed)
        return f"it was signed on {time}, and one signed on {admitted_time} was admitted"
    created = image.created or (0 if record.signed else image.signed)
    if record.created and not created:
        return f"it has no creation time, and one created on {_format_time(record.created)} was admitted"
    if created < record.created:
        time, admitted_time = _format_time(created), _format_time(record.created)
        return f"it was created on {time}, and one created on {admitted_time} was admitted"
    return ""


def _format_time(seconds: int) -> str:
    import datetime

    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d at %H:%M:%S")


def _read_created(image: Image) -> int:
    import datetime

    text = image_names.read_annotations(image).get(image_names.CREATED, "")
    try:
        if not text and not oci.is_index(image.document(image.root), image.root.media_type):
            text = image.config().created
        return max(0, int(datetime.datetime.fromisoformat(text).timestamp()))
    except (PumiceError, ValueError, OverflowError, OSError):  # other artifacts have other configs
        return 0
