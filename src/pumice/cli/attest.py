"""``pumice attest``: attach a signed statement to an image."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.cli.display import output
from pumice.cli.image_access import keyless_options, registries, signing
from pumice.cli.image_access.predicates import read_predicate
from pumice.cli.parsing import arguments as command_line

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import Any

    from pumice.trust.image_signing import SigningResult
    from pumice.trust.keyless_signing import TokenSource

_EPILOG = """TYPE is a URI, or one of cosign's names: slsaprovenance1, spdxjson, cyclonedx, openvex, vuln,
link, custom. An attestation is not a signature of the image: it can also state a problem, such as
vulnerabilities."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice attest``."""
    parser = command_line.make_parser(
        "attest",
        "Sign a statement about an image and attach it, as cosign's older attestation and as a sigstore\n"
        "bundle.",
        progress=False,
        epilog=_EPILOG,
        examples=(
            "pumice attest hello:1.0 --type vuln --predicate scan.json --key release",
            "pumice attest oci:image --type openvex --predicate vex.json --keyless",
        ),
    )
    parser.add_argument(
        "reference", metavar="REF", help="name:version, a digest, oci:DIR or docker://HOST/NAME"
    )
    parser.add_argument("--type", required=True, metavar="TYPE", help="type of the predicate")
    parser.add_argument(
        "--predicate", required=True, type=Path, metavar="FILE", help="the predicate, a JSON file"
    )
    signing.add_key_options(parser, required=False)
    keyless_options.add_options(parser.add_argument_group("signing without a key"))
    registries.options(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    source = keyless_options.find_token_source(options, options.key, required=True)
    predicate = read_predicate(options.predicate, "predicate")
    result = _attest(options, predicate, source)
    state = "attested" if result.is_new else "already attested"
    print(f"{output.printable(result.name)}: {state} by {result.fingerprint}", file=sys.stderr)
    print(result.digest)
    return 0


def _attest(options: argparse.Namespace, predicate: Any, source: TokenSource | None) -> SigningResult:
    """Attest the predicate as the owner of an identity token, or with a key."""
    from pumice.assembly import reference_signing
    from pumice.store.home import Home, locate

    signer = source or signing.load_signer(options.key, options.passphrase_file)
    with Home(locate(os.environ)) as home:
        return reference_signing.attest_reference(
            signing.signing_target(options.reference, home, options),
            signer,
            predicate_type=options.type,
            predicate=predicate,
            name=options.name,
        )
