"""How a person names an image that exists: ``REF`` of the command line, turned into an `Image`.

example.com/hello:1.0        in the store
example.com/hello            the only version of it in the store
sha256:8c2d…, 8c2d07         in the store, by digest or the beginning of one
oci:DIR[:TAG]                a layout in a folder
oci-archive:FILE[:TAG]       a layout in a tar file
docker-archive:FILE[:NAME]   what docker save wrote
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.errors import FormatError, ImageError, PumiceError, UsageError
from pumice.formats import oci
from pumice.image.model import Image

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.digest import Digest
    from pumice.formats.oci import Descriptor
    from pumice.store.home import Home

_HEX = frozenset("0123456789abcdef")
_SHORTEST = 4
_ALGORITHM = "sha256:"
_WRITTEN_ONLY = ("tar:", "dir:")
OUTSIDE = ("oci", "oci-archive", "docker-archive")
"""Kinds of places outside of the store."""


def find(text: str, home: Home) -> Image:
    """Return the image that ``text`` names; raises ImageError when there is none, or more than one."""
    kind, colon, rest = text.partition(":")
    if colon and kind in OUTSIDE:
        return _outside(kind, rest, text)
    if text.startswith(_WRITTEN_ONLY):
        raise UsageError(
            f"an image cannot be read back from a {kind}", hint="write it as oci: or oci-archive: too"
        )
    if text.startswith(_ALGORITHM):
        return _by_digest(text[len(_ALGORITHM) :], text, home)
    if ":" in text.rpartition("/")[2]:
        descriptor = home.refs.get(text)
        if descriptor is None:
            raise _not_found(text, home)
        return Image(descriptor, home.blobs, home.referrers.get)
    return _by_name(text, home)


def _outside(kind: str, rest: str, text: str) -> Image:
    path, _, tag = rest.partition(":")
    if not path or "\0" in path:
        raise UsageError(f"{text[:200]!r} names no place", hint=f"write {kind}:PATH[:TAG]")
    if kind == "oci":
        from pumice.image.transports import layout

        return layout.read(Path(path), tag)
    if kind == "docker-archive":
        from pumice.image.transports import docker_load

        return docker_load.read(Path(path), tag)
    from pumice.image.transports import layout_archive

    return layout_archive.read(Path(path), tag)


def _by_name(name: str, home: Home) -> Image:
    """Find the only version. Which of several is meant is not for us to guess."""
    versions = [known for known in home.refs.names() if known.rpartition(":")[0] == name]
    if len(versions) == 1:
        descriptor = home.refs.get(versions[0])
        if descriptor is not None:
            return Image(descriptor, home.blobs, home.referrers.get)
    if len(versions) > 1:
        raise ImageError(
            f"there are {len(versions)} versions of {name}, so one must be named",
            hint="write one of " + ", ".join(versions[:10]),
        )
    if len(name) >= _SHORTEST and _HEX.issuperset(name):
        return _by_digest(name, name, home)
    raise _not_found(name, home)


def _by_digest(digits: str, text: str, home: Home) -> Image:
    if not _HEX.issuperset(digits) or not _SHORTEST <= len(digits) <= 64:
        raise UsageError(
            f"{text[:100]!r} is no digest",
            hint=f"expected sha256: and {_SHORTEST} to 64 lower-case hex digits",
        )
    start = _ALGORITHM + digits
    if len(digits) == 64:
        candidates: Iterable[Digest] = (start,)
    else:
        candidates = sorted(known for known in home.blobs.digests() if known.startswith(start))
    found = [root for digest in candidates if (root := _root(digest, home)) is not None]
    if not found:
        raise _not_found(text, home)
    if len(found) > 1:
        raise ImageError(
            f"{len(found)} images have a digest that begins with {digits}",
            hint="write more of it: " + ", ".join(root.digest[7:23] for root in found[:5]),
        )
    return Image(found[0], home.blobs, home.referrers.get)


def _root(digest: Digest, home: Home) -> Descriptor | None:
    """Return the descriptor of a blob if that is a manifest or index."""
    size = home.blobs.size(digest)
    if size is None or size > oci.MAX_DOCUMENT:
        return None
    with home.blobs.open(digest) as file:
        data = file.read(size)
    try:
        document = oci.read_index(data) if oci.is_index(data) else oci.read_manifest(data)
    except FormatError:
        return None
    kind = oci.INDEX if isinstance(document, oci.Index) else oci.MANIFEST
    return oci.Descriptor(document.media_type or kind, digest, size)


def _not_found(text: str, home: Home) -> PumiceError:
    from difflib import get_close_matches

    names = home.refs.names()
    # A name is near when the whole of it is, its last part, or that without its version.
    near = {name.rpartition("/")[2].partition(":")[0]: name for name in reversed(names)}
    near |= {name.rpartition("/")[2]: name for name in reversed(names)} | {name: name for name in names}
    close = get_close_matches(text[:200], near, n=1)
    if close:
        hint = f"did you mean {near[close[0]]}?"
    elif os.path.isdir(text):  # noqa: PTH112 - pathlib's raises for names that are too long
        hint = f"for a layout in a folder, write oci:{text}"
    elif os.path.isfile(text):  # noqa: PTH113 - as above
        hint = f"for a layout in a tar file, write oci-archive:{text}"
    elif names:
        hint = "'pumice images' lists what is there"
    else:
        hint = "the store is empty: build a recipe first, or set PUMICE_HOME"
    return ImageError(f"there is no image {text[:200]}", hint=hint)
