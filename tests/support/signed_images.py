"""Keys and signed images for tests, in memory or in a layout."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from pumice.formats import oci
from pumice.image.model import Image
from pumice.image.transports import attachment, layout
from pumice.trust import image_names, image_signing, keys, rollback
from pumice.trust.signing_time import UNDATED, SigningTime
from pumice.trust.trusted_key import TrustedKey
from tests.support import handmade, locations
from tests.support.handmade import ImageContents, file

DATA = Path(__file__).parents[1] / "data" / "cosign"
NAME = "example.com/hello:1.0"


@cache
def _key(number: int) -> keys.PrivateKey:
    return keys.generate_key()


def key(number: int = 0) -> keys.PrivateKey:
    """Return a key of this test run, the same for the same number."""
    return _key(number)


def trusted(number: int = 0, **options: Any) -> TrustedKey:
    return TrustedKey(key=key(number).public_key, rule="test", **options)


def image(
    name: str = NAME, *, content: bytes = b"hello", created: str = "2024-01-01T00:00:00Z", track: str = ""
) -> Image:
    """Return an image whose annotations name it ``name``; no annotations if that is empty."""
    unnamed_image = handmade.image(ImageContents([[file("greeting", content)]]))
    manifest = oci.read_manifest(unnamed_image.document(unnamed_image.root))
    title, version = image_names.split_name(name)
    annotations = (
        {image_names.TITLE: title, image_names.VERSION: version, image_names.CREATED: created} if name else {}
    )
    annotations |= {rollback.TRACK: track} if track else {}
    data = oci.encode_document(oci.make_manifest(manifest.config, manifest.layers, annotations=annotations))
    unnamed_image.blobs.put(data)  # type: ignore[attr-defined]  # not in the protocol
    return Image(oci.make_descriptor(data, oci.MANIFEST), unnamed_image.blobs)


def folder(path: Path, image_to_write: Image | None = None) -> Path:
    """Write an image as a layout."""
    locations.write(image_to_write or image(), f"oci:{path}", version="1.0")
    return path


def signer(number: int = 0) -> image_signing.Signer:
    return image_signing.Signer(key(number).public_key, lambda: key(number))


def sign_folder(path: Path, *numbers: int, name: str = "", at: int = 0) -> Image:
    """Sign the layout at ``path`` with each of the keys and return its image; undated if ``at`` is 0."""
    for number in numbers:
        image = layout.read_layout(path)
        time = SigningTime(required=at) if at else UNDATED
        image_signing.sign_image(
            image, attachment.LayoutAttachment(path, image), None, signer(number), name=name, time=time
        )
    return layout.read_layout(path)


def attested(path: Path, number: int, predicate: object, kind: str = "custom", name: str = "") -> Image:
    image = layout.read_layout(path)
    attachments = attachment.LayoutAttachment(path, image)
    image_signing.attest_image(
        image, attachments, None, signer(number), predicate_type=kind, predicate=predicate, name=name
    )
    return layout.read_layout(path)
