"""Names under which images are signed: ``name:version`` of the recipe, wherever they are stored."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pumice.errors import PumiceError, UsageError
from pumice.formats import oci

if TYPE_CHECKING:
    from pumice.image.model import Image
    from pumice.store.home import Home

TITLE = "org.opencontainers.image.title"
VERSION = "org.opencontainers.image.version"
CREATED = "org.opencontainers.image.created"
_MAX_LENGTH = 250
_SERIES = r"[0-9]+(?:\.[0-9]+)*"
_RELEASE = rf"{_SERIES}(?:-[0-9]+)?"


def declared_name(image: Image) -> str:
    """Return the ``name:version`` in an image's annotations, "" if they have none.

    The annotations are in the manifest, so a signature of the digest covers them.
    """
    annotations = read_annotations(image)
    name, version = annotations.get(TITLE, ""), annotations.get(VERSION, "")
    text = f"{name}:{version}"
    return text if name and version and is_valid(text) else ""


def read_annotations(image: Image) -> dict[str, str]:
    """Return the annotations of an image's root manifest or index."""
    data = image.document(image.root)
    if oci.is_index(data, image.root.media_type):
        return oci.read_index(data).annotations
    return oci.read_manifest(data).annotations


def is_valid(text: str) -> bool:
    """Return whether ``text`` is a valid name of an image, with or without a version."""
    from pumice.store import file_names

    try:
        file_names.encode_reference(text if ":" in text.rpartition("/")[2] else f"{text}:0")
    except PumiceError:
        return False
    return len(text) <= _MAX_LENGTH


def check_name(text: str) -> str:
    """Return ``text`` if it is ``name:version``; raises UsageError."""
    if is_valid(text) and split_name(text)[1]:
        return text
    raise UsageError(
        f"invalid image name {text[:100]!r}",
        hint="use name:version, such as example.com/hello:1.0",
    )


def check_docker_reference(text: str) -> str:
    """Return ``text`` if it is ``HOST/REPO:TAG``; raises UsageError."""
    host, slash, path = text.partition("/")
    if slash and path and ("." in host or ":" in host or host == "localhost") and split_name(text)[1]:
        return check_name(text)
    raise UsageError(
        f"invalid Docker reference {text[:100]!r}",
        hint="use HOST/REPO:TAG, such as registry.example/apps/hello:1.0",
    )


def split_name(text: str) -> tuple[str, str]:
    """Return name and version; the version may be ""."""
    text = text.partition("@")[0]
    name, colon, version = text.rpartition(":")
    return (name, version) if colon and "/" not in version else (text, "")


def requested_name(reference: str, home: Home, image: Image | None = None) -> str:
    """Return the name in a REF of the command line; "" for a digest or a location without names.

    An image that a registry returned for ``HOST/REPO:TAG`` (`Image.registry_name`) must be signed as that
    name, or the registry could return another correctly signed image.
    """
    if image is not None and image.registry_name:
        return image.registry_name
    from pumice.image.transports import references

    name = references.stored_name(reference)
    if split_name(name)[1] or any(split_name(stored_name)[0] == name for stored_name in home.refs.names()):
        return name
    return ""


def matches(signed_name: str, expected: str) -> bool:
    """Return whether an image signed as ``signed_name`` has the expected name.

    No version matches any, and a version matches its release series: one signature of ``name:15.14`` is
    enough for the tag ``name:15``, which moves to the newest image of the series.
    """
    (name, version), (expected_name, expected_version) = split_name(signed_name), split_name(expected)
    if name != expected_name:
        return False
    if not version or not expected_version or version == expected_version:
        return True
    return is_series(expected_version, version)


def is_series(tag: str, version: str) -> bool:
    """Return whether a tag is a release series of a version: 15 of 15.14, 17.0.16 of 17.0.16-8.

    These are the tags that `pumice.assembly.package_version` derives. A pre-release (``16-rc1``) is in no
    series, because it is before the release that it looks like.
    """
    if not re.fullmatch(_RELEASE, version) or not re.fullmatch(_SERIES, tag):
        return False
    return version.startswith((f"{tag}.", f"{tag}-"))
