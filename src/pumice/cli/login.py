"""``pumice login``: log in to a registry."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pumice.cli.display import progress_modes
from pumice.cli.image_access import registries
from pumice.cli.parsing import arguments as command_line
from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_MAX_PASSWORD = 1 << 16
_EPILOG = """The password is read from the terminal or from standard input, never from the command line,
which other users can see. The login is verified, then saved where podman and docker find it: in
REGISTRY_AUTH_FILE, else in the file with a login for this registry, else in containers' auth.json.
If the file names a credential helper, the helper stores the login instead."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice login``."""
    parser = command_line.make_parser(
        "login",
        "Log in to a registry.",
        progress=False,
        epilog=_EPILOG,
        examples=("pumice login registry.example --username ada",),
    )
    parser.add_argument("place", metavar="HOST[/PATH]", help="the registry, or a prefix of its repositories")
    parser.add_argument("-u", "--username", metavar="USER", help="username (default: prompt for it)")
    parser.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    registries.options(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    from pumice.image.transports import references
    from pumice.registry import login_store
    from pumice.registry.client import Client
    from pumice.registry.credentials import Login, StaticCredentials

    target = references.parse_login_target(options.place)
    user, password = _read_credentials(options)
    login = Login(user, password)
    settings = registries.client_settings(options)
    with Client(
        StaticCredentials(target.host, login), settings, progress=progress_modes.make_progress("none")
    ) as client:
        client.ping(target.host)
    saved_in = login_store.save_login(target, login, registries.auth_environment(options))
    print(f"logged in to {options.place}; saved the login in {saved_in}", file=sys.stderr)
    return 0


def _read_credentials(options: argparse.Namespace) -> tuple[str, str]:
    """Return username and password, from the options, standard input or the terminal."""
    if options.password_stdin:
        if not options.username:
            raise UsageError("--password-stdin needs --username", hint="pass --username USER as well")
        try:
            password = sys.stdin.buffer.read(_MAX_PASSWORD).decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise UsageError("the password is not UTF-8", hint="check what is piped to it") from None
        return options.username, _require_password(password)
    if not sys.stdin.isatty():
        raise UsageError(
            "cannot prompt for the password: not a terminal", hint="use --password-stdin and --username"
        )
    import getpass

    user = options.username or input("Username: ")
    return user, _require_password(getpass.getpass("Password: "))


def _require_password(password: str) -> str:
    if not password:
        raise UsageError("the password is empty", hint="type it, or pipe it to --password-stdin")
    return password
