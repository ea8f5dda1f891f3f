"""``pumice metadata-service``: tell pods who they are."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.cli.parsing import addresses
from pumice.cli.parsing import arguments as command_line
from pumice.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

_EPILOG = """'pumice run --mds' starts the service in the background when it is needed, so this command
is for service managers and for publishing the keys of the issuer. A service manager can pass the
sockets (LISTEN_FDS). SIGTERM and Ctrl-C stop the service."""


def parser() -> command_line.Parser:
    """Return the parser of ``pumice metadata-service``."""
    parser = command_line.make_parser(
        "metadata-service",
        "Run the metadata service, which tells pods who they are and issues their tokens.",
        progress=False,
        epilog=_EPILOG,
        examples=("pumice metadata-service", "pumice metadata-service --listen 127.0.0.1:18112"),
    )
    parser.add_argument(
        "--listen",
        type=addresses.parse_address,
        metavar="HOST:PORT",
        help="publish the issuer's configuration and keys at this address, for those who verify tokens",
    )
    parser.add_argument(
        "--idle-exit",
        type=_parse_seconds,
        default=0,
        metavar="SECONDS",
        help="exit after SECONDS seconds without a request (default: never)",
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    """Become the service, which serves until a signal comes."""
    options = parser().parse_args(arguments)
    from pumice.runtime.metadata import command
    from pumice.store.home import check_owner, locate

    home = locate(os.environ).absolute()
    check_owner(home, os.environ)
    # A process of its own needs half the memory, because it imports no more than it uses.
    service = command.service_command(home, options.idle_exit, listen=options.listen, verbose=True)
    os.execv(service[0], service)  # noqa: S606 - it needs no shell


def _parse_seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 8):
        raise UsageError(f"{text[:40]!r} is not a number of seconds", hint="for example 600")
    return int(text)
