"""Push a layout to a registry with plain HTTP requests, with selected referrers."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urljoin

from pumice.formats import oci
from pumice.image.model import Image, list_blobs
from pumice.image.transports import layout


def push(
    folder: Path, host: str, repository: str, tag: str, *, kinds: tuple[str, ...] = ("sig", "bundle")
) -> str:
    """Push a layout and its referrers of ``kinds``; return the digest."""
    image = layout.read_layout(folder)
    base = f"http://{host}/v2/{repository}"
    _push(image, base, [tag])
    by_subject: dict[str, list[oci.Descriptor]] = {}
    for descriptor in image.listed_referrers:
        name = descriptor.annotations.get(oci.REF_NAME, "")
        if ("sig" if name else "bundle") not in kinds:
            continue
        referrer = Image(descriptor, image.blobs)
        _push(referrer, base, [name] if name else [])
        subject = oci.read_manifest(referrer.document(descriptor)).subject
        assert subject is not None
        by_subject.setdefault(subject.digest, []).append(descriptor)
    # distribution-spec 1.1, "Referrers Tag Schema"
    for subject_digest, referrer_descriptors in by_subject.items():
        _put(
            f"{base}/manifests/{subject_digest.replace(':', '-')}",
            oci.encode_document(oci.make_index(tuple(referrer_descriptors))),
            oci.INDEX,
        )
    return image.root.digest


def _push(image: Image, base: str, tags: list[str]) -> None:
    descriptors = list_blobs(image)
    documents = {descriptor.digest: data for descriptor, data in image.walk()}
    for descriptor in descriptors:
        if descriptor.digest not in documents:
            with image.blobs.open(descriptor.digest) as file:
                _upload(base, descriptor.digest, file.read())
    for descriptor in reversed(descriptors):
        if descriptor.digest in documents:
            names = [descriptor.digest, *(tags if descriptor.digest == image.root.digest else ())]
            for name in names:
                _put(f"{base}/manifests/{name}", documents[descriptor.digest], descriptor.media_type)


def _upload(base: str, digest: str, data: bytes) -> None:
    request = urllib.request.Request(f"{base}/blobs/uploads/", method="POST", data=b"")
    with urllib.request.urlopen(request) as response:
        location = urljoin(base, response.headers["Location"])
    _put(f"{location}{'&' if '?' in location else '?'}digest={digest}", data, "application/octet-stream")


def _put(url: str, data: bytes, media_type: str) -> None:
    request = urllib.request.Request(url, method="PUT", data=data, headers={"Content-Type": media_type})
    try:
        with urllib.request.urlopen(request) as response:
            response.read()
    except urllib.error.HTTPError as error:
        raise AssertionError(json.dumps([url, error.code, error.read().decode()])) from None
