"""``pumice pull``: pull an image from a registry into the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import output, registries

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_EPILOG = """The image is named HOST/NAME:TAG in the store, or NAME. Its signatures, SBOMs and other
referrers are pulled too. Blobs that the store has are not fetched. Prints the digest."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice pull``."""
    parser = command_line.make_parser(
        "pull", "Pull an image from a registry into the local store.", epilog=_EPILOG
    )
    parser.add_argument("reference", metavar="REF", help="[docker://]HOST/NAME[:TAG][@DIGEST]")
    parser.add_argument("name", metavar="NAME", nargs="?", help="name[:version] for the image in the store")
    registries.graph_options(parser)
    registries.store_options(parser)
    registries.options(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command; print the digest."""
    options = parser().parse_args(arguments)
    from pumice.image.transports import locations
    from pumice.registry.reference import parse_reference

    reference = parse_reference(options.reference)
    name = options.name or str(reference.repository)
    if not options.name and reference.tag:
        name = f"{name}:{reference.tag}"
    progress = output.make_progress(options.progress)
    source = locations.with_scheme(locations.REGISTRY, str(reference))
    destination = locations.with_scheme(locations.STORE, name)
    print(registries.transfer(options, source, destination, progress).digest)
    return 0
