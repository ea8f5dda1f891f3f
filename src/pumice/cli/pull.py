"""``pumice pull``: pull an image from a registry into the store."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pumice.cli.display import progress_modes
from pumice.cli.image_access import encryption_options, image_copy, registries
from pumice.cli.parsing import arguments as command_line
from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.cli.display.presenters import Quiet
    from pumice.image.transports.locations import Location, OpenedImage

_EPILOG = """A name without a host is a name on Docker Hub, docker.io. In the store, the image is named
HOST/NAME:TAG, or NAME if you pass it. Its signatures, SBOMs and other referrers are pulled too. Blobs
that the store has are not fetched. Prints the digest."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice pull``."""
    parser = command_line.make_parser(
        "pull",
        "Pull an image from a registry into the local store.",
        epilog=_EPILOG,
        examples=("pumice pull docker://registry.example/team/hello:1.0",),
    )
    parser.add_argument(
        "reference", metavar="REF", help="[docker://]HOST/NAME[:TAG][@DIGEST], oci:DIR, oci-archive:FILE, …"
    )
    parser.add_argument("name", metavar="NAME", nargs="?", help="name[:version] for the image in the store")
    registries.peer_options(parser)
    registries.transfer_options(parser)
    group = parser.add_argument_group("encryption")
    encryption_options.add_decryption_option(group, "decrypt the layers with this private key")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command; print the digest."""
    options = parser().parse_args(arguments)
    return pull(
        options, options.reference, options.name or "", progress_modes.make_progress(options.progress)
    )


def pull(options: argparse.Namespace, reference: str, new_name: str, progress: Quiet) -> int:
    """Pull an image into the store, by default under the name that it has, and print its digest."""
    from pumice.image.transports import locations, references

    source = references.parse_pull_source(reference)
    started = time.monotonic()

    def destination(opened: OpenedImage) -> Location:
        name = new_name or _name_in_store(opened, source)
        return references.parse_destination(locations.with_scheme(locations.STORE, name))

    copied = image_copy.copy_image(options, lambda _: source, destination, progress)
    from pumice.cli.image_access import transfer_result

    result = transfer_result.describe_copy("pulled", [copied], time.monotonic() - started)
    progress.finish(transfer_result.summarize(result))
    print(copied.digest)
    return 0


def _name_in_store(opened: OpenedImage, source: Location) -> str:
    """Return the name that the image has where it is pulled from; raises UsageError if it has none."""
    if opened.name:
        return f"{opened.name}:{opened.version}" if opened.version else opened.name
    location = str(source.address)[:200]
    raise UsageError(
        "the image has no name", where=location, hint=f"name it: pumice pull {location} NAME:VERSION"
    )
