"""``pumice sign``: sign an image."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pumice.cli.display import output
from pumice.cli.image_access import keyless_options, registries, signing
from pumice.cli.parsing import arguments as command_line
from pumice.clock import SystemClock
from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.trust.image_signing import SigningResult

_EPILOG = """An image is signed as the name:version of its recipe, wherever it is stored. The documents that
its build attached are signed as attestations. If the key has already signed everything, nothing
is signed and the key is not opened. Prints the digest."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice sign``."""
    parser = command_line.make_parser(
        "sign",
        "Sign an image with its SBOM and provenance, in the store, in an oci: layout or in a registry, so\n"
        "that pumice, cosign, skopeo and podman can verify it. Signatures are written in cosign's older\n"
        "format and as sigstore bundles. An OpenPGP key signs an oci-archive: instead; the signature\n"
        "FILE.asc can be verified by pumice and gpg.",
        progress=False,
        epilog=_EPILOG,
        examples=(
            "pumice sign example.com/hello:1.0 --key release",
            "pumice sign docker://registry.example/team/hello:1.0 --keyless",
        ),
    )
    parser.add_argument(
        "reference", metavar="REF", help="name:version, a digest, oci:DIR, oci-archive:FILE or docker://…"
    )
    signing.add_key_options(parser, openpgp=True, required=False)
    parser.add_argument(
        "--docker-reference",
        action="append",
        default=[],
        metavar="HOST/REPO:TAG",
        help="also sign the image as this reference, for skopeo and podman (repeatable)",
    )
    parser.add_argument(
        "--timestamp",
        metavar="TIME",
        help="signing time: seconds since the epoch, 2027-12-31T00:00:00Z, or now (default:"
        " SOURCE_DATE_EPOCH, or the time of the image's earlier signatures, or now)",
    )
    parser.add_argument(
        "--no-evidence", dest="evidence", action="store_false", help="do not sign the attached documents"
    )
    keyless_options.add_options(parser.add_argument_group("signing without a key"))
    registries.options(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    source = keyless_options.find_token_source(options, options.key, required=True)
    from pumice.store.home import Home, locate

    if source is not None and options.docker_reference:
        raise UsageError(
            "--docker-reference needs a key",
            hint="skopeo and podman verify signatures by keys; pass --key KEY",
        )
    if source is None and signing.is_openpgp_key(options.key):
        return _sign_archive(options)
    signer = source or signing.load_signer(options.key, options.passphrase_file)
    with Home(locate(os.environ)) as home:
        result = signing.sign_reference(
            options.reference,
            signer,
            home,
            name=options.name,
            evidence=options.evidence,
            docker_references=options.docker_reference,
            timestamp=options.timestamp,
            connection=options,
        )
    return _print_result(result)


def _print_result(result: SigningResult) -> int:
    print(output.printable(signing.describe_result(result)), file=sys.stderr)
    print(result.digest)
    return 0


def _sign_archive(options: argparse.Namespace) -> int:
    from pathlib import Path

    from pumice.assembly.context import read_source_date_epoch
    from pumice.image.transports import references
    from pumice.store.home import Home, locate
    from pumice.trust import archive_signatures

    with Home(locate(os.environ)) as home:
        location = references.find_source(options.reference, home)
    if not location.address.transport.has_detached_signature:
        raise UsageError(
            "an OpenPGP key can only sign archives",
            where=options.reference[:200],
            hint="sign oci-archive:FILE, or use a key from 'pumice key generate'",
        )
    with Home(locate(os.environ)) as home, registries.access(home, options=options) as access:
        image = location.open(access).image
    if options.timestamp is not None:
        raise UsageError(
            "--timestamp is not supported for OpenPGP keys",
            hint="they sign at the current time, or with gpg:ID at SOURCE_DATE_EPOCH",
        )
    name = archive_signatures.check_archive_name(image, options.name)
    signer = signing.open_archive_signer(options.key, options.passphrase_file)
    signature = archive_signatures.sign_archive(
        Path(location.address.path),
        signer,
        now=SystemClock().now(),
        signed_at=read_source_date_epoch(os.environ),
    )
    state = "signed" if signature.is_new else "already signed"
    message = f"{name}: {state} by {signer.certificate.fingerprint} in {signature.path}"
    print(output.printable(message), file=sys.stderr)
    print(image.root.digest)
    return 0
