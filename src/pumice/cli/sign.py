"""``pumice sign``: vouch for an image."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import output, registries, signing

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_EPILOG = """An image is signed as the name:version that its recipe gave it, wherever it lies. What the
key has signed already is not signed again, and then the key is not opened. The digest is printed."""


def _parser() -> argparse.ArgumentParser:
    made = command_line.parser(
        "sign",
        "Sign an image in the store or in an oci: layout, so that pumice, cosign, skopeo and podman\n"
        "can verify it: as cosign's older signature and as a sigstore bundle.",
        progress=False,
        epilog=_EPILOG,
    )
    made.add_argument(
        "reference", metavar="REF", help="the image: name:version, a digest, oci:DIR or docker://HOST/NAME"
    )
    signing.key_options(made)
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = _parser().parse_args(arguments)
    from pumice.store.home import Home, locate
    from pumice.trust import places, sign

    signer = signing.signer(asked.key, asked.passphrase_file)
    with Home(locate(os.environ)) as home, registries.found(asked.reference, home) as image:
        place = registries.place(asked.reference, image, home)
        source = home if isinstance(place, places.StorePlace) else None
        done = sign.sign(image, place, source, signer, name=asked.name)
    what = "signed" if done.new else "was signed already"
    print(f"{output.printable(done.name)} {what} by {done.fingerprint}", file=sys.stderr)
    print(done.digest)
    return 0
