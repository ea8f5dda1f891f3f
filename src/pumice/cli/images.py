"""``pumice images``: list the images in the local store."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

import msgspec

from pumice.cli.display import output, results
from pumice.cli.parsing import arguments as command_line
from pumice.digest import hex_of
from pumice.errors import ImageError, PumiceError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.formats.oci import Descriptor
    from pumice.store.home import Home

_SHORT = 12
"""Digits of a digest that tell images apart."""


class StoredImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image in the store under one name, which is its repository and tag.

    ``id`` is the beginning of the digest. ``size`` is the bytes that a registry would hold of it, and
    ``created`` the time of the newest platform. Of a damaged image only ``problem`` says more.
    """

    name: str
    repository: str
    tag: str
    id: str
    digest: str
    media_type: str
    platforms: tuple[str, ...]
    size: int | None
    created: str | None
    problem: str | None


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice images``."""
    parser = command_line.make_parser(
        "images",
        "List the images in the local store.",
        progress=False,
        examples=(
            "pumice images",
            "pumice images --format json",
        ),
    )
    parser.add_argument(
        "name", metavar="NAME", nargs="?", help="list only this name, with or without a version"
    )
    # All images are listed anyway, as with these options of docker and podman.
    parser.add_argument("-a", "--all", action="store_true", help=argparse.SUPPRESS)
    results.add_format_options(parser, "images", example="Name")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    from pumice.store.home import Home, locate

    with Home(locate(os.environ)) as home:
        images = [
            _describe_image(name, root, home)
            for name, root in home.refs.all().items()
            if options.name in (None, name, name.rpartition(":")[0])
        ]
    if options.name and not images:
        raise ImageError(
            f"there is no image {options.name[:200]!r} in the store",
            hint="list all with 'pumice images', or the tags of a repository with 'pumice tags HOST/NAME'",
        )
    results.write_result(images, options.format, lambda: _table(images))
    return 0


def _describe_image(name: str, root: Descriptor, home: Home) -> StoredImage:
    from pumice.formats import oci, platforms
    from pumice.image.model import Image, list_blobs

    image = Image(root, home.blobs)
    repository, _, tag = name.rpartition(":")
    description = StoredImage(
        name=name,
        repository=repository,
        tag=tag,
        id=hex_of(root.digest)[:_SHORT],
        digest=root.digest,
        media_type=root.media_type,
        platforms=(),
        size=None,
        created=None,
        problem=None,
    )
    try:
        members = image.members()
        manifests = [oci.read_manifest(image.document(member)) for member, _ in members]
        created = {oci.read_config(image.document(manifest.config)).created for manifest in manifests}
        return msgspec.structs.replace(
            description,
            platforms=tuple(platforms.format_platform(platform) for _, platform in members),
            size=sum(descriptor.size for descriptor in list_blobs(image)),
            created=max(created, default="") or None,
        )
    except PumiceError as error:  # one damaged image must not hide the others
        return msgspec.structs.replace(description, problem=error.message)


def _table(images: Sequence[StoredImage]) -> str:
    heads = ("NAME", "DIGEST", "PLATFORMS", "CREATED", "SIZE")
    rows = [
        (
            image.name,
            image.id,
            "damaged: build it again" if image.problem else ", ".join(image.platforms) or "-",
            (image.created or "-")[:10],
            "-" if image.size is None else output.format_size(image.size),
        )
        for image in images
    ]
    return output.format_table(heads, rows, right=(4,))
