"""``pumice identity keys``: print the public keys that verify the tokens of this store's pods."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pumice.cli.parsing import arguments as command_line

if TYPE_CHECKING:
    import argparse

    from pumice.runtime.metadata.key_file import KeyFile


def add_parser(parser: command_line.Parser) -> None:
    """Add the action to the parser of ``pumice identity``."""
    action = command_line.add_action(
        parser,
        "keys",
        run,
        "print the issuer and the public keys of the tokens, as a JWKS document",
        examples=("pumice identity keys > keys.json", "pumice identity keys --rotate"),
    )
    action.add_argument(
        "--rotate",
        action="store_true",
        help="sign with a new key from now on; the old one stays published until its tokens have expired",
    )


def open_key_file() -> KeyFile:
    """Return the key file of this user's store; raises StoreError."""
    from pumice.runtime.metadata.key_file import KeyFile
    from pumice.store.home import check_owner, locate

    home = locate(os.environ)
    check_owner(home, os.environ)
    return KeyFile(str(home.absolute()), lambda text: sys.stderr.write(f"warning: {text}\n"))


def run(options: argparse.Namespace) -> int:
    """Print the document."""
    import json
    import time

    from pumice.runtime.metadata import key_file

    file, now = open_key_file(), int(time.time())
    keys = file.rotate(now) if options.rotate else file.current(now)
    document = {"issuer": keys.issuer, **key_file.key_set(keys, now)}
    sys.stdout.write(f"{json.dumps(document, indent=2)}\n")
    return 0
