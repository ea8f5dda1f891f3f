"""``pumice metadata-service``: tell pods who they are."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pumice.cli import addresses
from pumice.cli import arguments as command_line
from pumice.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.runtime.metadata.service import Sockets

_EPILOG = """'pumice run --mds' starts the service in the background when it is needed, so this command
is for service managers and for publishing the keys of the issuer. A service manager can pass the
sockets (LISTEN_FDS). SIGTERM and Ctrl-C stop the service."""


def parser() -> command_line.Parser:
    """Return the parser of ``pumice metadata-service``."""
    parser = command_line.make_parser(
        "metadata-service",
        "Run the metadata service, by which pods learn and prove who they are.",
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
        help="exit when no request came for SECONDS seconds (default: never)",
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    """Serve until a signal comes; return the exit code."""
    options = parser().parse_args(arguments)
    from pumice.runtime.metadata import service
    from pumice.store.location import locate

    home = locate(os.environ)
    _check_owner(str(home))
    is_served = service.serve(
        str(home.absolute()),
        listen=options.listen,
        idle_seconds=options.idle_exit,
        environ=os.environ,
        ready=_announce,
        log=_log,
    )
    if not is_served:
        raise UsageError(
            "the metadata service of this store runs already", hint="stop it, or do without this one"
        )
    return 0


def _check_owner(home: str) -> None:
    if os.geteuid() == 0:
        from pumice.store.home import check_owner

        check_owner(home, os.environ)


def _announce(sockets: Sockets) -> None:
    for listener in sockets.public:
        print(addresses.format_url(*listener.getsockname()[:2]), flush=True)
    print("serving the pods of this store; press Ctrl-C to stop", file=sys.stderr, flush=True)


def _log(message: str) -> None:
    from pumice.terminal import printable_line

    print(f"warning: {printable_line(message)}", file=sys.stderr, flush=True)


def _parse_seconds(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 8):
        raise UsageError(f"{text[:40]!r} is not a number of seconds", hint="for example 600")
    return int(text)
