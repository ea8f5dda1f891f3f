"""``pumice convert``: convert images between OCI and App Container."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from pumice.cli.display import progress_modes
from pumice.cli.image_access import aci_options, image_copy, registries
from pumice.cli.parsing import arguments as command_line
from pumice.cli.parsing import shared_options
from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.image.transports.locations import Location
    from pumice.store.home import Home


_EPILOG = """SRC and DST are as for 'pumice copy'; one of them is aci:FILE. The root file system and
the config stay the same. Layers become one, so digests change; the original ones are annotations.
Signatures, SBOMs and other referrers are not converted. To convert an image for several platforms,
convert each with --platform."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice convert``."""
    parser = command_line.make_parser(
        "convert",
        "Convert an image between OCI and App Container.",
        epilog=_EPILOG,
        examples=(
            "pumice convert example.com/hello:1.0 aci:hello.aci",
            "pumice convert --name example.com/hello oci:hello aci:hello.aci",
            "pumice convert aci:hello.aci oci-archive:hello.tar",
        ),
    )
    parser.add_argument("source", metavar="SRC", help="image to convert")
    parser.add_argument("target", metavar="DST", help="where to write it")
    parser.add_argument(
        "--name", default="", metavar="NAME", help="name of the App Container image (default: that of SRC)"
    )
    parser.add_argument(
        "--platform",
        metavar="PLATFORM",
        help="convert only this platform, such as linux/arm64 (default: the only one)",
    )
    aci_options.add_compression_options(parser)
    shared_options.add_quiet_option(parser)
    registries.store_options(parser)
    registries.options(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command; print the digest of the image that was read."""
    options = parser().parse_args(arguments)
    started = time.monotonic()
    progress = progress_modes.make_progress(options.progress)
    options.only_image = True
    aci_options.check_compression(options)
    from pumice.image.transports import destination_checks, references

    target = _with_options(references.parse_destination(options.target), options)
    destination_checks.check_place(target.address)

    def find_source(home: Home) -> Location:
        source = _with_options(references.find_source(options.source, home), options)
        if not (source.address.transport.is_converted or target.address.transport.is_converted):
            raise UsageError(
                "neither image is an App Container image", hint="write aci:FILE, or use 'pumice copy'"
            )
        return source

    copied = image_copy.copy_image(options, find_source, lambda _: target, progress)
    from pumice.cli.image_access import transfer_result

    result = transfer_result.describe_copy("converted", [copied], time.monotonic() - started)
    progress.finish(transfer_result.summarize(result))
    print(copied.digest, file=sys.stderr if target.address.path == "-" else sys.stdout)
    return 0


def _with_options(location: Location, options: argparse.Namespace) -> Location:
    """Return a location that converts as the options say, if it is one of App Container images."""
    from pumice.image.transports.aci import AciLocation, ConversionOptions

    if not location.address.transport.is_converted:
        return location
    return AciLocation(
        location.address,
        ConversionOptions(
            name=options.name, compression=options.compression, non_standard=options.non_standard
        ),
    )
