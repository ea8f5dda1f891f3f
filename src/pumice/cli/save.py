"""``pumice save``: save images in one archive."""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from pumice.cli.display import progress_modes
from pumice.cli.image_access import reading, registries
from pumice.cli.parsing import arguments as command_line
from pumice.cli.parsing import shared_options

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.cli.image_access.transfer_result import TransferResult
    from pumice.cli.parsing.arguments import Parser
    from pumice.image.transports.locations import Access
    from pumice.image.transports.saved_images import NamedImage

_EPILOG = f"""{reading.REFERENCES}
An oci-archive keeps all platforms, signatures, SBOMs and other referrers, and every digest; docker and podman
load it, too. A docker-archive, for programs that read no other, has one platform and no referrers."""


def parser() -> Parser:
    """Return the parser of the command."""
    from pumice.image.transports.locations import DOCKER_ARCHIVE, LAYOUT_ARCHIVE

    formats = (LAYOUT_ARCHIVE.name, DOCKER_ARCHIVE.name)
    verb_parser = command_line.make_parser(
        "save",
        "Save images in one archive, for 'pumice load', 'docker load' or 'podman load'.",
        epilog=_EPILOG,
        examples=("pumice save example.com/hello:1.0 --output hello.tar",),
    )
    verb_parser.add_argument("references", metavar="REF", nargs="+", help="images to save")
    verb_parser.add_argument(
        "-o", "--output", metavar="FILE", default="-", help="file to write; - is standard output (default: -)"
    )
    verb_parser.add_argument(
        "--format",
        choices=formats,
        default=formats[0],
        metavar="FORMAT",
        help=f"{' or '.join(formats)} (default: {formats[0]})",
    )
    verb_parser.add_argument(
        "--platform",
        metavar="PLATFORM",
        help="save only this platform, such as linux/arm64 (default: all; in a docker-archive, that of this "
        "machine)",
    )
    shared_options.add_quiet_option(verb_parser)
    registries.options(verb_parser)
    return verb_parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    from pumice.image.output import check_file
    from pumice.image.transports import saved_images
    from pumice.store.home import Home, locate

    transport = next(transport for transport in saved_images.FORMATS if transport.name == options.format)
    check_file(options.output)
    started = time.monotonic()
    progress = progress_modes.make_progress(options.progress)
    with (
        Home(locate(os.environ), progress=progress) as home,
        registries.access(home, progress, options, stdout=sys.stdout.buffer) as access,
    ):
        images = [
            _gather(reference, options, access, has_one_platform=transport.has_one_platform)
            for reference in options.references
        ]
        saved_images.write_saved_images([saved.image for saved in images], transport, options.output, access)
        result = _describe(images, options.output, time.monotonic() - started)
    from pumice.cli.image_access import transfer_result

    progress.finish(transfer_result.summarize(result))
    return 0


class _GatheredImage(NamedTuple):
    """An image to save, and the kinds of the artifacts that are attached to it."""

    image: NamedImage
    artifacts: tuple[str, ...]


def _describe(images: Sequence[_GatheredImage], path: str, seconds: float) -> TransferResult:
    from pumice.cli.image_access import transfer_result
    from pumice.formats.platforms import format_platform

    is_file = path != "-"
    names = [f"{image.name}:{image.tag}" if image.name else image.image.root.digest for image, _ in images]
    return transfer_result.TransferResult(
        verb="saved",
        images=tuple(names),
        digests=tuple(image.image.root.digest for image, _ in images),
        destination=path if is_file else "standard output",
        platforms=transfer_result.unite(
            [format_platform(platform) for platform in image.image.platforms()] for image, _ in images
        ),
        artifacts=tuple(kind for image in images for kind in image.artifacts),
        seconds=seconds,
        next_command=f"pumice load --input {path}" if is_file else "",
    )


def _gather(
    reference: str, options: argparse.Namespace, access: Access, *, has_one_platform: bool
) -> _GatheredImage:
    """Return an image with its referrers, or only one platform of it if the archive cannot hold more."""
    from pumice.cli.image_access import transfer_result
    from pumice.formats import platforms
    from pumice.image.transports import references, transfer
    from pumice.image.transports.gathered_image import image_of
    from pumice.image.transports.saved_images import NamedImage

    opened = references.find_source(reference, access.home).open(access)
    if has_one_platform:
        image = reading.select_platform(opened.image, options.platform)
        return _GatheredImage(NamedImage(image, opened.name, opened.version), ())
    platform = platforms.parse_platform(options.platform) if options.platform else None
    gathered = transfer.gather_image(opened, platform=platform)
    named = NamedImage(image_of(gathered), opened.name, opened.version)
    return _GatheredImage(named, tuple(transfer_result.list_artifacts(gathered.graph)))
