"""``pumice sign``: vouch for an image."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import output, signing

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_EPILOG = """An image is signed as the name:version that its recipe gave it, wherever it lies. What the
key has signed already is not signed again, and then the key is not opened. The documents that a
build attached are signed with it, as attestations. The digest is printed."""


def _parser() -> argparse.ArgumentParser:
    made = command_line.parser(
        "sign",
        "Sign an image with its SBOM and provenance, in the store or in an oci: layout, so that pumice,\n"
        "cosign, skopeo and podman can verify it: in cosign's older form and as sigstore bundles.",
        progress=False,
        epilog=_EPILOG,
    )
    made.add_argument("reference", metavar="REF", help="the image: name:version, a digest, or oci:DIR[:TAG]")
    signing.key_options(made)
    made.add_argument(
        "--docker-reference",
        action="append",
        default=[],
        metavar="PLACE",
        help="sign it as what lies at HOST/REPO:TAG as well, for skopeo and podman; may be repeated",
    )
    made.add_argument("--no-evidence", dest="evidence", action="store_false", help="sign the image alone")
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = _parser().parse_args(arguments)
    from pumice.image import reference
    from pumice.store.home import Home, locate
    from pumice.trust import names, places, sign

    registries = [names.place(one) for one in asked.docker_reference]
    signer = signing.signer(asked.key, asked.passphrase_file)
    with Home(locate(os.environ)) as home:
        image = reference.find(asked.reference, home)
        place = places.of(asked.reference, image, home)
        source = home if isinstance(place, places.StorePlace) else None
        done = sign.sign(image, place, source, signer, name=asked.name, evidence=asked.evidence)
        for one in registries:  # what was just attached must be seen, for it is added to
            image = reference.find(asked.reference, home)
            sign.sign_place(image, places.of(asked.reference, image, home), source, signer, one)
    what = "signed" if done.new else "was signed already"
    also = f", with {', '.join(done.attested)}" if done.attested else ""
    print(output.printable(f"{done.name} {what} by {done.fingerprint}{also}"), file=sys.stderr)
    print(done.digest)
    return 0
