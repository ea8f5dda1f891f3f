"""``pumice images``: list the images in the local store."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from pumice.cli import arguments as command_line
from pumice.cli import output
from pumice.errors import PumiceError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.formats.oci import Descriptor
    from pumice.store.home import Home


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice images``."""
    parser = command_line.make_parser("images", "List the images in the local store.", progress=False)
    parser.add_argument(
        "--format",
        choices=("table", "json"),
        default="table",
        metavar="FORMAT",
        help="table or json (default: table)",
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    import msgspec

    from pumice.store.home import Home, locate

    with Home(locate(os.environ)) as home:
        images = [_describe_image(name, root, home) for name, root in home.refs.all().items()]
    if options.format == "json":
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(images)).decode() + "\n")
    else:
        sys.stdout.write(_table(images))
    return 0


def _describe_image(name: str, root: Descriptor, home: Home) -> dict[str, Any]:
    """Return what a list says of an image; ``size`` is what a registry would hold of it, in bytes."""
    from pumice.formats import oci, platforms
    from pumice.image.model import Image, list_blobs

    image = Image(root, home.blobs)
    description: dict[str, Any] = {"name": name, "digest": root.digest, "media_type": root.media_type}
    try:
        members = image.members()
        manifests = [oci.read_manifest(image.document(member)) for member, _ in members]
        created = {oci.read_config(image.document(manifest.config)).created for manifest in manifests}
        return description | {
            "platforms": [platforms.format_platform(platform) for _, platform in members],
            "size": sum(descriptor.size for descriptor in list_blobs(image)),
            "created": max(created, default="") or None,
        }
    except PumiceError as error:  # one damaged image must not hide the others
        return description | {"platforms": [], "size": None, "created": None, "problem": error.message}


def _table(images: Sequence[dict[str, Any]]) -> str:
    heads = ("NAME", "DIGEST", "PLATFORMS", "CREATED", "SIZE")
    rows = [
        (
            image["name"],
            image["digest"][7:19],
            "damaged: build it again" if "problem" in image else ", ".join(image["platforms"]) or "-",
            (image["created"] or "-")[:10],
            "-" if image["size"] is None else output.format_size(image["size"]),
        )
        for image in images
    ]
    return output.format_table(heads, rows, right=(4,))
