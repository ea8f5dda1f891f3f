"""Who may do what on a registry: the options of ``pumice serve``, and the files that they name."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pumice.errors import UsageError
from pumice.os_errors import read_user_file, suggest_path

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Collection

    from pumice.cli.parsing.arguments import OptionGroup
    from pumice.registry.server.access import Identity, Level, Policy

_MAX_FILE_SIZE = 1 << 20


def add_options(parser: OptionGroup) -> None:
    """Add the options that say who may do what."""
    parser.add_argument(
        "--htpasswd", type=Path, metavar="FILE", help="read users and passwords from FILE (htpasswd -B)"
    )
    parser.add_argument(
        "--access", type=Path, metavar="FILE", help="read from FILE (YAML) who may read and write"
    )
    parser.add_argument(
        "--anonymous",
        choices=("read", "write", "none"),
        metavar="LEVEL",
        help="what clients may do without a password: read, write or none",
    )
    _add_identity_options(parser)
    parser.add_argument(
        "--insecure-passwords",
        action="store_true",
        help="accept passwords and tokens over plain HTTP from other machines, where the network can read"
        " them",
    )
    parser.add_argument(
        "--require-signed",
        metavar="POLICY",
        help="accept tags only for images that POLICY trusts: 'trust' (your keys), or a policy directory",
    )
    parser.add_argument("--read-only", action="store_true", help="refuse all writes")
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="HOST",
        help="accept requests for HOST, such as the name that a reverse proxy forwards (repeatable)",
    )


def _add_identity_options(parser: OptionGroup) -> None:
    parser.add_argument(
        "--identity-issuer",
        metavar="URL|FILE",
        help="accept tokens of this issuer as passwords: its URL, or the output of 'pumice identity keys'",
    )
    parser.add_argument(
        "--identity-audience",
        action="append",
        default=[],
        metavar="AUDIENCE",
        help="with --identity-issuer: accept only tokens for AUDIENCE (repeatable)",
    )
    parser.add_argument(
        "--identities",
        type=Path,
        metavar="FILE",
        help="with --identity-issuer: read from FILE (YAML) which claims a user must have",
    )


def read_policy(options: argparse.Namespace, *, is_loopback: bool, tls: bool) -> Policy:
    """Return who may do what; raises UsageError and AccessError."""
    from pumice.registry.server.access import Policy
    from pumice.registry.server.access_files import parse_passwords, parse_rules

    users = (
        parse_passwords(_read_file(options.htpasswd, "password file"), str(options.htpasswd))
        if options.htpasswd
        else {}
    )
    identities, verify_token = _identities(options, users)
    has_users = bool(users or identities)
    if has_users and not (is_loopback or tls or options.insecure_passwords):
        raise UsageError(
            "passwords would be sent over the network unencrypted",
            hint="use --tls-cert and --tls-key, or accept the risk with --insecure-passwords",
        )
    anonymous: Level = options.anonymous or ("write" if is_loopback and not has_users else "read")
    if anonymous == "none" and not has_users:
        raise UsageError(
            "--anonymous none denies everything, because there are no users", hint="add --htpasswd FILE"
        )
    names = (*users, *(identity.name for identity in identities))
    rules = (
        parse_rules(_read_file(options.access, "access rules"), str(options.access), names)
        if options.access
        else {}
    )
    if anonymous != "write" and not (has_users or rules or options.read_only):
        print(
            "warning: nobody can push; add --htpasswd FILE, or --anonymous write to allow everyone",
            file=sys.stderr,
        )
    return Policy(anonymous, users, rules, identities, verify_token)


def _identities(
    options: argparse.Namespace, users: Collection[str]
) -> tuple[tuple[Identity, ...], Callable[[str], dict[str, Any]] | None]:
    """Return who may log in with a token, and what verifies tokens; raises UsageError and AccessError."""
    identity_options = (options.identity_issuer, options.identity_audience, options.identities)
    if not any(identity_options):
        return (), None
    if not all(identity_options):
        raise UsageError(
            "--identity-issuer, --identity-audience and --identities must be given together",
            hint="pass all of them, or none",
        )
    from pumice.cli.publishing.tokens import open_verifier
    from pumice.registry.server.access_files import parse_identities

    identities = parse_identities(
        _read_file(options.identities, "identities"), str(options.identities), users
    )
    return identities, open_verifier(options.identity_issuer, options.identity_audience).verify


def _read_file(path: Path, what: str) -> bytes:
    return read_user_file(path, what, _MAX_FILE_SIZE, hint=suggest_path(path))
