"""``pumice login``: keep a login for a registry."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import output, registries
from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_MAX_PASSWORD = 1 << 16
_EPILOG = """The password is asked for on the terminal, or read from standard input; never from the command
line, which others can see. The login is tried out, then kept where podman and docker look for it:
in REGISTRY_AUTH_FILE, else in the file that has one for this registry, else in containers' auth.json.
A credential helper that the file names keeps it instead."""


def _parser() -> argparse.ArgumentParser:
    parser = command_line.parser("login", "Log in to a registry.", progress=False, epilog=_EPILOG)
    parser.add_argument(
        "place", metavar="HOST[/PATH]", help="the registry, or the beginning of repositories in it"
    )
    parser.add_argument("-u", "--username", metavar="USER", help="who we are; asked for if it is not given")
    parser.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    registries.options(parser)
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = _parser().parse_args(arguments)
    from pumice.registry import login_store
    from pumice.registry.client import Client
    from pumice.registry.credentials import Login, StaticCredentials

    target = login_store.parse_login_target(options.place)
    user, password = _read_credentials(options)
    login = Login(user, password)
    settings = registries.reached(options)
    with Client(StaticCredentials(target.host, login), settings, progress=output.progress("none")) as client:
        client.ping(target.host)
    saved_in = login_store.save_login(target, login, os.environ)
    print(f"logged in to {options.place}; the login is kept in {saved_in}", file=sys.stderr)
    return 0


def _read_credentials(options: argparse.Namespace) -> tuple[str, str]:
    """Return user and password, from wherever they come."""
    if options.password_stdin:
        if not options.username:
            raise UsageError("--password-stdin needs --username")
        try:
            password = sys.stdin.buffer.read(_MAX_PASSWORD).decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise UsageError("the password is not UTF-8") from None
        return options.username, _require_password(password)
    if not sys.stdin.isatty():
        raise UsageError(
            "there is no terminal to ask for the password on", hint="use --password-stdin and --username"
        )
    import getpass

    user = options.username or input("Username: ")
    return user, _require_password(getpass.getpass("Password: "))


def _require_password(password: str) -> str:
    if not password:
        raise UsageError("the password is empty")
    return password
