"""``pumice push``: push an image to a registry."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from pumice.cli.display import progress_modes
from pumice.cli.image_access import encryption_options, image_copy, keyless_options, registries, signing
from pumice.cli.parsing import arguments as command_line
from pumice.cli.parsing import shared_options
from pumice.store.home import Home, locate

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from pumice.image.transports.locations import Location
    from pumice.trust.image_signing import Signer
    from pumice.trust.keyless_signing import TokenSource

_EPILOG = """Without DEST, the name of the image says where to push it: example.com/hello:1.0 is pushed to
the registry example.com. Blobs that the registry has are not sent. Prints the digest."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice push``."""
    parser = command_line.make_parser(
        "push",
        "Push an image to a registry, with its signatures, SBOMs and other referrers.",
        epilog=_EPILOG,
        examples=("pumice push example.com/hello:1.0 docker://registry.example/team/hello:1.0",),
    )
    parser.add_argument("reference", metavar="REF", help="the image: name:version, a digest, oci:DIR, …")
    parser.add_argument("target", metavar="DEST", nargs="?", help="[docker://]HOST/NAME[:TAG]")
    shared_options.add_quiet_option(parser)
    registries.graph_options(parser)
    group = parser.add_argument_group("signing")
    group.add_argument(
        "--sign",
        metavar="KEY",
        help="sign the pushed image, as itself and as HOST/NAME:TAG, with this private key: a file, or a "
        "name from 'pumice key list'",
    )
    group.add_argument(
        "--as", dest="name", default="", metavar="NAME", help="sign the image as this name:version"
    )
    signing.add_passphrase_option(group)
    keyless_options.add_options(group)
    encryption_options.add_options(parser.add_argument_group("encryption"))
    registries.options(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command; print the digest."""
    options = parser().parse_args(arguments)
    started = time.monotonic()
    progress = progress_modes.make_progress(options.progress)
    target = _target(options)
    signer = _choose_signer(options)
    copied = image_copy.copy_image(options, _source(options), lambda _: target, progress)
    signed_text = ""
    if signer:
        signed_text = _sign(copied.destination.describe(copied.version).text, signer, options)
    from pumice.cli.image_access import transfer_result

    result = transfer_result.describe_copy("pushed", [copied], time.monotonic() - started, signed=signed_text)
    progress.finish(transfer_result.summarize(result))
    print(copied.digest)
    return 0


def _choose_signer(options: argparse.Namespace) -> Signer | TokenSource | None:
    """Return what signs the pushed image. An image that cannot be signed is refused before the push."""
    from pumice.trust import image_signing

    source = keyless_options.find_token_source(options, options.sign, key_option="--sign")
    if source is None and not options.sign:
        return None
    if source is not None:
        source.check()
    signer = source or signing.load_signer(options.sign, options.passphrase_file)
    with (
        Home(locate(os.environ)) as home,
        registries.open_image(options.reference, home, options=options) as image,
    ):
        image_signing.check_signed_name(image, options.name)
    return signer


def _sign(reference: str, signer: Signer | TokenSource, options: argparse.Namespace) -> str:
    """Sign an image in a registry, and return as what and by whom."""
    from pumice.trust.keyless_signing import TokenSource

    with Home(locate(os.environ)) as home:
        result = signing.sign_reference(reference, signer, home, name=options.name, connection=options)
    by = result.fingerprint if isinstance(signer, TokenSource) else result.fingerprint[:16]
    return f"as {result.name} by {by}"


def _source(options: argparse.Namespace) -> Callable[[Home], Location]:
    """Return what finds the image to push; a bare name means the store only."""
    from pumice.image.transports import references

    return lambda home: references.find_source(options.reference, home, "store")


def _target(options: argparse.Namespace) -> Location:
    """Return the location to push to: DEST, or the name that the image has in the store."""
    from pumice.errors import UsageError
    from pumice.image.transports import references

    if options.target is not None:
        return references.parse_push_target(options.target)
    name = references.stored_name(options.reference)
    if "/" not in name:
        with Home(locate(os.environ)) as home:
            _source(options)(home)  # raises if the image does not exist
        raise UsageError(
            f"{options.reference[:100]!r} does not name a registry",
            hint="name one: pumice push REF HOST/NAME:TAG",
        )
    return references.parse_push_target(name)
