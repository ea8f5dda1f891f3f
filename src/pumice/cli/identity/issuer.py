"""``pumice identity issuer``: print or set who issues the tokens of this store's pods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.cli.parsing import arguments as command_line

if TYPE_CHECKING:
    import argparse


def add_parser(parser: command_line.Parser) -> None:
    """Add the action to the parser of ``pumice identity``."""
    action = command_line.add_action(
        parser,
        "issuer",
        run,
        "print the issuer of the tokens, or set it",
        examples=("pumice identity issuer", "pumice identity issuer https://host.example/pods"),
    )
    action.add_argument(
        "url",
        nargs="?",
        metavar="URL",
        help="where the metadata service publishes its configuration and keys",
    )


def run(options: argparse.Namespace) -> int:
    """Print the issuer."""
    import time

    from pumice.cli.identity.keys import open_key_file

    file, now = open_key_file(), int(time.time())
    keys = file.set_issuer(options.url, now) if options.url is not None else file.current(now)
    print(keys.issuer)
    return 0
