"""``pumice aci decrypt``: decrypt an App Container image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pumice.cli.image_access import aci_options, encryption_options, signing
from pumice.cli.parsing import arguments as command_line

if TYPE_CHECKING:
    import argparse

_MIB = 1 << 20


def add_parser(parser: command_line.Parser) -> None:
    """Add the action to the parser of ``pumice aci``."""
    action = command_line.add_action(
        parser,
        "decrypt",
        run,
        "decrypt an image, with limits on size and time",
        examples=(
            "pumice aci decrypt --passphrase-file secret hidden.aci hello.aci",
            "pumice aci decrypt --decryption-key ada.key hidden.aci hello.aci",
        ),
    )
    action.add_argument("file", metavar="FILE", help="image to read")
    action.add_argument("new_file", metavar="NEW", help="file to write")
    encryption_options.add_decryption_option(action, "decrypt with this OpenPGP secret key")
    action.add_argument(
        "--passphrase-file",
        type=Path,
        metavar="FILE",
        help="read the passphrase from FILE (default: without --decryption-key, ask for it)",
    )
    action.add_argument(
        "--max-size",
        type=int,
        default=1024,
        metavar="MIB",
        help="maximum size of NEW in MiB, or 200 times the size of FILE if that is more (default: 1024)",
    )
    action.add_argument("--overwrite", action="store_true", help="replace NEW if it exists")


def run(options: argparse.Namespace) -> int:
    """Decrypt the file, and check that the result is an image."""
    from pumice.image import aci_reader
    from pumice.image.output import Output
    from pumice.trust import encryption_keys
    from pumice.trust.openpgp_decryption.process import Limits, Secrets

    aci_options.check_free(options.new_file, overwrite=options.overwrite)
    secrets = encryption_keys.read_decryptors(options.decryption_key).openpgp
    if options.passphrase_file or not options.decryption_key:
        read_passphrase = signing.passphrase_source(options.passphrase_file, what=options.file)
        secrets = Secrets(secrets.keys, (read_passphrase().decode("utf-8", "replace"),))
    limits = Limits(size=max(1, options.max_size) * _MIB)
    with Output(options.new_file) as output:
        encryption_keys.decrypt_file(Path(options.file), output.file, secrets, limits)
        warnings = aci_reader.validate_aci(output.descriptor_path(), non_standard=True).warnings
    aci_options.print_warnings(options.new_file, warnings)
    return 0
