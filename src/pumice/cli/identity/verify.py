"""``pumice identity verify``: verify a token, or the tokens of requests for another server."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pumice.cli.parsing import addresses
from pumice.cli.parsing import arguments as command_line
from pumice.errors import TrustError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

_DESCRIPTION = """Verify a token from standard input, and print its claims; or with --listen, answer the
requests of a reverse proxy: 200 for a valid token, 401 otherwise, 403 if --require is not satisfied."""


def add_parser(parser: command_line.Parser) -> None:
    """Add the action to the parser of ``pumice identity``."""
    action = command_line.add_action(
        parser,
        "verify",
        run,
        "verify a token, or those of a reverse proxy's requests",
        description=_DESCRIPTION,
        examples=(
            "pumice identity verify --issuer keys.json --audience registry.example",
            "pumice identity verify --issuer keys.json --audience web --listen :9090",
        ),
    )
    action.add_argument(
        "--issuer",
        metavar="URL|FILE",
        help="issuer of the tokens, or the output of 'pumice identity keys' (default: this store)",
    )
    action.add_argument(
        "--audience",
        action="append",
        required=True,
        metavar="AUDIENCE",
        help="accept only tokens for AUDIENCE (repeatable)",
    )
    action.add_argument(
        "--require",
        action="append",
        default=[],
        type=_parse_condition,
        metavar="CLAIM=PATTERN",
        help="accept only tokens whose claim matches, such as image=example.com/web:* (repeatable)",
    )
    action.add_argument(
        "--listen",
        type=addresses.parse_address,
        metavar="HOST:PORT",
        help="verify the tokens of requests to this address, for nginx's auth_request and others",
    )


def _parse_condition(text: str) -> tuple[str, str]:
    name, separator, pattern = text.partition("=")
    if not separator or not name or not pattern:
        raise UsageError(f"{text[:100]!r} is not CLAIM=PATTERN", hint="for example image=example.com/web:*")
    return name, pattern


def run(options: argparse.Namespace) -> int:
    """Verify one token, or serve."""
    verify = _open_verifier(options)
    if options.listen:
        return _serve(options, verify)
    import json

    from pumice.formats import jwt

    text = sys.stdin.read(jwt.MAX_TOKEN + 2).strip()
    claims = verify(text)
    for name, pattern in options.require:
        if not jwt.matches_claim(claims, name, pattern):
            raise TrustError(
                f"the claim {name[:100]!r} of the token is {json.dumps(claims.get(name))[:200]},"
                f" which does not match {pattern[:200]!r}"
            )
    sys.stdout.write(f"{json.dumps(claims, indent=2)}\n")
    return 0


def _open_verifier(options: argparse.Namespace) -> Callable[[str], dict[str, Any]]:
    from pumice.clock import SystemClock
    from pumice.trust.token_verification import IssuerKeys, TokenVerifier

    if options.issuer is not None:
        from pumice.cli.publishing.tokens import open_verifier

        return open_verifier(options.issuer, options.audience).verify
    from pumice.cli.identity.keys import open_key_file

    file, clock = open_key_file(), SystemClock()

    def load() -> IssuerKeys:
        import json

        from pumice.formats import jwt
        from pumice.runtime.metadata import key_file

        keys = file.current(clock.now())
        document = json.dumps(key_file.key_set(keys, clock.now())).encode()
        return IssuerKeys(keys.issuer, jwt.read_key_set(document))

    load()
    return TokenVerifier(load, options.audience, clock).verify


def _serve(options: argparse.Namespace, verify: Callable[[str], dict[str, Any]]) -> int:
    from pumice.runtime.metadata import gatekeeper, service
    from pumice.runtime.metadata.server import Server

    with service.listen_tcp(*options.listen) as listener, service.stop_on_signals() as stop:
        print(addresses.format_url(*listener.getsockname()[:2]), flush=True)
        server = Server(lambda request, _: gatekeeper.authorize(request, verify, options.require), [listener])
        server.run(stop=stop)
    return 0
