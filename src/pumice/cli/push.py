"""``pumice push``: an image to a registry."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import output, registries, signing
from pumice.store.home import Home, locate

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.trust.image_signing import Signer

_EPILOG = """Without a destination the image goes where its name says: example.com/hello:1.0 to the
registry example.com. Blobs that are there already are not sent. The digest is printed."""


def _parser() -> argparse.ArgumentParser:
    made = command_line.parser(
        "push", "Push an image to a registry, with all that belongs to it.", epilog=_EPILOG
    )
    made.add_argument("reference", metavar="REF", help="the image: name:version, a digest, oci:DIR, …")
    made.add_argument("target", metavar="DEST", nargs="?", help="[docker://]HOST/NAME[:TAG]")
    registries.graph_options(made)
    made.add_argument(
        "--sign",
        metavar="KEY",
        help="sign it where it is then, as itself and as HOST/NAME:TAG: a private key's file, or a name that "
        "'key list' shows",
    )
    made.add_argument("--as", dest="name", default="", metavar="NAME", help="sign as this name:version")
    signing.add_passphrase_option(made)
    registries.options(made)
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command; print the digest."""
    asked = _parser().parse_args(arguments)
    progress = output.progress(asked.progress)
    target = registries.SCHEME + _target(asked).removeprefix(registries.SCHEME)
    signer = _signer(asked) if asked.sign else None
    moved = registries.transfer(asked, asked.reference, target, progress)
    if signer and moved.to.registry:
        place = registries.SCHEME + str(moved.to.registry)
        with Home(locate(os.environ)) as home:
            done = signing.sign_reference(place, signer, home, name=asked.name, connection=asked)
        progress.note(signing.describe_result(done))
    print(moved.digest)
    return 0


def _signer(asked: argparse.Namespace) -> Signer:
    """Return what will sign; what cannot be signed is refused before anything is sent."""
    from pumice.trust import image_signing

    signer = signing.load_signer(asked.sign, asked.passphrase_file)
    with Home(locate(os.environ)) as home, registries.found(asked.reference, home, asked=asked) as image:
        image_signing.check_signed_name(image, asked.name)
    return signer


def _target(asked: argparse.Namespace) -> str:
    from pumice.errors import UsageError

    name: str = asked.target or asked.reference.removeprefix("store:")
    kind, colon, _ = name.partition(":")
    if asked.target is None and (
        (colon and kind in ("oci", "oci-archive", "docker-archive", "sha256", "docker")) or "/" not in name
    ):
        raise UsageError(
            f"{name[:100]!r} does not say which registry is meant",
            hint="name one: pumice push REF HOST/NAME:TAG",
        )
    return name
