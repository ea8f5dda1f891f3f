"""``pumice attest``: state something about an image, signed."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import output, registries, signing
from pumice.errors import FormatError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from typing import Any

_EPILOG = """TYPE is a URI, or one of cosign's names: slsaprovenance1, spdxjson, cyclonedx, openvex, vuln,
link, custom. An attestation does not vouch for the image: it may state a bad thing."""
_MAX_PREDICATE = 40 << 20


def _parser() -> argparse.ArgumentParser:
    made = command_line.make_parser(
        "attest",
        "State something about an image, signed, and attach it: as cosign's older attestation and as\n"
        "a sigstore bundle.",
        progress=False,
        epilog=_EPILOG,
    )
    made.add_argument(
        "reference", metavar="REF", help="the image: name:version, a digest, oci:DIR or docker://HOST/NAME"
    )
    made.add_argument("--type", required=True, metavar="TYPE", help="what kind of statement it is")
    made.add_argument(
        "--predicate", required=True, type=Path, metavar="FILE", help="the statement itself, JSON"
    )
    signing.key_options(made)
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = _parser().parse_args(arguments)
    from pumice.store.home import Home, locate
    from pumice.trust import image_signing

    predicate = read(asked.predicate, "predicate")
    signer = signing.signer(asked.key, asked.passphrase_file)
    with Home(locate(os.environ)) as home, registries.open_to_sign(asked.reference, home) as opened:
        done = image_signing.attest_image(
            *opened,
            signer,
            predicate_type=asked.type,
            predicate=predicate,
            name=asked.name,
        )
    what = "attested" if done.new else "was attested already"
    print(f"{output.printable(done.name)} {what} by {done.fingerprint}", file=sys.stderr)
    print(done.digest)
    return 0


def read(path: Path, what: str) -> Any:
    """Return the JSON in a file of the command line; raises UsageError and FormatError."""
    from pumice.formats import strictjson

    try:
        with path.open("rb") as file:
            data = file.read(_MAX_PREDICATE + 1)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageError(f"the {what} cannot be read ({reason})", where=str(path)) from None
    try:
        return strictjson.read_value(data, what, limit=_MAX_PREDICATE)
    except FormatError as error:
        raise FormatError(error.message, where=str(path)) from None
