"""``pumice copy``: copy an image with its referrers from one location to another."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from pumice.cli.display import progress_modes
from pumice.cli.image_access import encryption_options, image_copy, registries
from pumice.cli.parsing import arguments as command_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_EPILOG = """SRC is docker://HOST/NAME[:TAG][@DIGEST], oci:DIR[:TAG], oci-archive:FILE[:TAG],
docker-archive:FILE[:NAME:TAG], or an image in the store: name:version or a digest.
DST is docker://HOST/NAME[:TAG], oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:TAG],
tar:FILE, dir:DIR or store:NAME[:VERSION]. Digests do not change. It is an error if a part of the
image cannot be copied."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice copy``."""
    parser = command_line.make_parser(
        "copy",
        "Copy an image with all its platforms, signatures, SBOMs, attestations and other referrers.",
        epilog=_EPILOG,
        examples=("pumice copy docker://registry.example/hello:1.0 oci:hello",),
    )
    parser.add_argument("source", metavar="SRC", help="image to copy")
    parser.add_argument("target", metavar="DST", help="where to copy it")
    registries.transfer_options(parser)
    encryption_options.add_options(parser.add_argument_group("encryption"))
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command; print the digest."""
    options = parser().parse_args(arguments)
    started = time.monotonic()
    progress = progress_modes.make_progress(options.progress)
    from pumice.image.transports import destination_checks, references

    target = references.parse_destination(options.target)
    destination_checks.check_place(target.address)
    copied = image_copy.copy_image(
        options, lambda home: references.find_source(options.source, home), lambda _: target, progress
    )
    from pumice.cli.image_access import transfer_result

    is_in_store = copied.source.address.transport.is_store and copied.destination.address.transport.is_store
    result = transfer_result.describe_copy(
        "tagged" if is_in_store else "copied", [copied], time.monotonic() - started
    )
    progress.finish(transfer_result.summarize(result))
    is_piped = copied.destination.address.path == "-"
    print(copied.digest, file=sys.stderr if is_piped else sys.stdout)
    return 0
