"""``pumice resolve``: print the digest of a reference."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import msgspec

from pumice.cli.display import progress_modes, results
from pumice.cli.image_access import registries
from pumice.cli.parsing import arguments as command_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence


class ResolvedReference(msgspec.Struct, frozen=True, kw_only=True):
    """The manifest or index that a reference names; ``size`` is its bytes.

    ``reference`` is ``HOST/NAME@DIGEST`` for an image in a registry, "" elsewhere.
    """

    digest: str
    media_type: str
    size: int
    reference: str


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice resolve``."""
    parser = command_line.make_parser(
        "resolve",
        "Print the current digest of a reference.",
        progress=False,
        epilog="For a registry, only the headers of the manifest are requested.",
        examples=("pumice resolve docker://registry.example/team/hello:1.0",),
    )
    parser.add_argument(
        "reference",
        metavar="REF",
        help="docker://HOST/NAME[:TAG], an image in the store, oci: or oci-archive:",
    )
    parser.add_argument(
        "--full", action="store_true", help="print HOST/NAME@DIGEST, which can be used as a REF"
    )
    parser.add_argument(
        "--platform",
        metavar="PLATFORM",
        help="print the digest for this platform, such as linux/arm64 (default: that of the index)",
    )
    results.add_format_options(parser, "resolve", default="text")
    registries.options(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    from pumice.formats import platforms
    from pumice.image.transports import locations, references
    from pumice.store.home import Home, locate

    with (
        Home(locate(os.environ)) as home,
        registries.access(home, progress_modes.make_progress("none"), options) as access,
    ):
        location = references.find_source(options.reference, home, "any")
        if options.full and not location.address.transport.is_registry:
            from pumice.errors import UsageError

            raise UsageError(
                "--full requires an image in a registry", hint=f"use {locations.REGISTRY.syntax}"
            )
        image = location.open(access).image
        if options.platform:
            image = image.select(platforms.parse_platform(options.platform))
        repository = location.describe().repository
    root = image.root
    result = ResolvedReference(
        digest=root.digest,
        media_type=root.media_type,
        size=root.size,
        reference=str(repository.with_digest(root.digest)) if repository else "",
    )
    results.write_result(
        result, options.format, lambda: [result.reference if options.full else result.digest]
    )
    return 0
