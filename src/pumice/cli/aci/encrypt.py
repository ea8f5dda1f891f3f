"""``pumice aci encrypt``: encrypt an App Container image."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.cli.image_access import aci_options, signing
from pumice.cli.parsing import arguments as command_line
from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse


def add_parser(parser: command_line.Parser) -> None:
    """Add the action to the parser of ``pumice aci``."""
    action = command_line.add_action(
        parser,
        "encrypt",
        run,
        "encrypt an image with a passphrase, or to OpenPGP keys",
        examples=(
            "pumice aci encrypt --passphrase-file secret hello.aci hidden.aci",
            "pumice aci encrypt --non-standard --recipient ada.pub hello.aci hidden.aci",
        ),
    )
    action.add_argument("file", metavar="FILE", help="image to read")
    action.add_argument("new_file", metavar="NEW", help="file to write")
    action.add_argument(
        "--recipient",
        action="append",
        default=[],
        metavar="KEY",
        help="encrypt to this OpenPGP key: a file or a user of gpg; needs --non-standard (repeatable)",
    )
    action.add_argument(
        "--passphrase-file",
        type=Path,
        metavar="FILE",
        help="read the passphrase from FILE (default: without --recipient, ask for it)",
    )
    action.add_argument("--overwrite", action="store_true", help="replace NEW if it exists")
    action.add_argument(
        "--non-standard",
        action="store_true",
        help="allow --recipient and zstd, which App Container does not have",
    )


def run(options: argparse.Namespace) -> int:
    """Check that the file is an image, and encrypt it."""
    from pumice.image import aci_reader
    from pumice.image.output import Output
    from pumice.trust import encryption_keys

    if options.recipient and not options.non_standard:
        raise UsageError(
            "App Container images are encrypted with a passphrase, not to keys",
            hint="pass --non-standard to encrypt to keys, or --passphrase-file",
        )
    aci_options.check_free(options.new_file, overwrite=options.overwrite)
    source = Path(options.file)
    aci_reader.validate_aci(source, non_standard=options.non_standard)
    certificates = [encryption_keys.read_certificate(name, os.environ) for name in options.recipient]
    passphrase = ""
    if options.passphrase_file or not certificates:
        passphrase = signing.passphrase_source(
            options.passphrase_file, new=True, what=options.new_file
        )().decode("utf-8", "replace")
        if not passphrase:
            raise UsageError("the passphrase is empty", hint="write one into the file of --passphrase-file")
    with Output(options.new_file) as output:
        encryption_keys.encrypt_file(source, output.descriptor_path(), certificates, passphrase)
    return 0
