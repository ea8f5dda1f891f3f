"""Options of the commands that sign without a key."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from pumice.cli.parsing.arguments import OptionGroup
    from pumice.trust.keyless_signing import TokenSource


def add_options(parser: OptionGroup) -> None:
    """Add the options that sign with a certificate instead of a key."""
    parser.add_argument(
        "--keyless",
        action="store_true",
        help="sign as the identity of this CI job, with a certificate from sigstore",
    )
    parser.add_argument(
        "--identity-token",
        type=Path,
        metavar="FILE",
        help="sign as the owner of the OpenID Connect token in FILE",
    )
    parser.add_argument(
        "--trust-config",
        type=Path,
        metavar="FILE",
        help="use the sigstore instance in this client trust configuration (default: the public one)",
    )


def find_token_source(
    options: argparse.Namespace, key: str | None, *, key_option: str = "--key", required: bool = False
) -> TokenSource | None:
    """Return where the options say that the identity token is, or None if they name none.

    ``key`` is the value of ``key_option``, which names a key instead. Raises UsageError if the options
    contradict each other or, with ``required``, if they name neither a key nor an identity.
    """
    is_keyless = options.keyless or options.identity_token is not None
    if required and key is None and not is_keyless:
        raise UsageError(
            f"{key_option} is missing",
            hint=f"pass {key_option} KEY, --keyless in a CI job, or --identity-token FILE",
        )
    if key is not None and (is_keyless or options.trust_config is not None):
        raise UsageError(
            "a key and an identity cannot sign at once", hint=f"pass {key_option} KEY or --keyless"
        )
    if options.keyless and options.identity_token is not None:
        raise UsageError("there are two identities", hint="pass --keyless or --identity-token FILE")
    if not is_keyless:
        if options.trust_config is not None:
            raise UsageError(
                "--trust-config needs an identity",
                hint="pass --keyless or --identity-token FILE as well",
            )
        return None
    from pumice.trust.keyless_signing import TokenSource

    return TokenSource(options.identity_token, options.trust_config)
