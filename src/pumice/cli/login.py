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
    made = command_line.parser("login", "Log in to a registry.", progress=False, epilog=_EPILOG)
    made.add_argument(
        "place", metavar="HOST[/PATH]", help="the registry, or the beginning of repositories in it"
    )
    made.add_argument("-u", "--username", metavar="USER", help="who we are; asked for if it is not given")
    made.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    registries.options(made)
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = _parser().parse_args(arguments)
    from pumice.registry import login_store
    from pumice.registry.client import Client
    from pumice.registry.credentials import Login, StaticCredentials

    place = login_store.parse_login_target(asked.place)
    user, password = _asked(asked)
    login = Login(user, password)
    settings = registries.client_settings(asked)
    with Client(StaticCredentials(place.host, login), settings, progress=output.progress("none")) as client:
        client.ping(place.host)
    where = login_store.save_login(place, login, os.environ)
    print(f"logged in to {asked.place}; the login is kept in {where}", file=sys.stderr)
    return 0


def _asked(asked: argparse.Namespace) -> tuple[str, str]:
    """Return user and password, from wherever they come."""
    if asked.password_stdin:
        if not asked.username:
            raise UsageError("--password-stdin needs --username")
        try:
            password = sys.stdin.buffer.read(_MAX_PASSWORD).decode().rstrip("\r\n")
        except UnicodeDecodeError:
            raise UsageError("the password is not UTF-8") from None
        return asked.username, _checked(password)
    if not sys.stdin.isatty():
        raise UsageError(
            "there is no terminal to ask for the password on", hint="use --password-stdin and --username"
        )
    import getpass

    user = asked.username or input("Username: ")
    return user, _checked(getpass.getpass("Password: "))


def _checked(password: str) -> str:
    if not password:
        raise UsageError("the password is empty")
    return password
