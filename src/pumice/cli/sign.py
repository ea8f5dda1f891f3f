"""``pumice sign``: vouch for an image."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import output, registries, signing
from pumice.clock import SystemClock
from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_EPILOG = """An image is signed as the name:version that its recipe gave it, wherever it lies. What the
key has signed already is not signed again, and then the key is not opened. The documents that a
build attached are signed with it, as attestations. The digest is printed."""


def _parser() -> argparse.ArgumentParser:
    made = command_line.make_parser(
        "sign",
        "Sign an image with its SBOM and provenance, in the store or in an oci: layout, so that pumice,\n"
        "cosign, skopeo and podman can verify it: in cosign's older form and as sigstore bundles. An\n"
        "OpenPGP key signs an oci-archive: instead, as FILE.asc beside it, so that pumice and gpg can\n"
        "verify it.",
        progress=False,
        epilog=_EPILOG,
    )
    made.add_argument(
        "reference", metavar="REF", help="name:version, a digest, oci:DIR, oci-archive:FILE or docker://…"
    )
    signing.key_options(made, openpgp=True)
    made.add_argument(
        "--docker-reference",
        action="append",
        default=[],
        metavar="PLACE",
        help="sign it as what lies at HOST/REPO:TAG as well, for skopeo and podman; may be repeated",
    )
    made.add_argument(
        "--timestamp",
        metavar="TIME",
        help="when it is signed: seconds since the epoch, 2027-12-31T00:00:00Z, or now (default:"
        " SOURCE_DATE_EPOCH, else the time that the image was signed at before, else now)",
    )
    made.add_argument("--no-evidence", dest="evidence", action="store_false", help="sign the image alone")
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = _parser().parse_args(arguments)
    if signing.is_openpgp(asked.key):
        return _sign_archive(asked)
    from pumice.store.home import Home, locate

    signer = signing.signer(asked.key, asked.passphrase_file)
    with Home(locate(os.environ)) as home:
        done = signing.sign_where_it_lies(
            asked.reference,
            signer,
            home,
            name=asked.name,
            evidence=asked.evidence,
            also=asked.docker_reference,
            timestamp=asked.timestamp,
        )
    print(output.printable(signing.said(done)), file=sys.stderr)
    print(done.digest)
    return 0


def _sign_archive(asked: argparse.Namespace) -> int:
    from pathlib import Path

    from pumice.assembly.context import read_source_date_epoch
    from pumice.image.transports import locations
    from pumice.store.home import Home, locate
    from pumice.trust import archive_signatures

    location = locations.parse_source(asked.reference)
    if not location.address.transport.has_detached_signature:
        raise UsageError(
            "an OpenPGP key signs archives, and this is none",
            where=asked.reference[:200],
            hint="sign oci-archive:FILE, or by a key that 'pumice key generate' makes",
        )
    with Home(locate(os.environ)) as home, registries.access(home) as access:
        image = location.open(access).image
    if asked.timestamp is not None:
        raise UsageError(
            "--timestamp is not for OpenPGP keys",
            hint="the time of their signatures is now, or with gpg:ID that of SOURCE_DATE_EPOCH",
        )
    name = archive_signatures.check_archive_name(image, asked.name)
    signer = signing.archive_signer(asked.key, asked.passphrase_file)
    path = Path(location.address.path)
    done = archive_signatures.sign_archive(
        path, signer, now=SystemClock().now(), moment=read_source_date_epoch(os.environ)
    )
    what = "signed" if done.new else "was signed already"
    said = f"{name} {what} by {signer.public.fingerprint} in {done.path}"
    print(output.printable(said), file=sys.stderr)
    print(image.root.digest)
    return 0
