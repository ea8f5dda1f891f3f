"""``pumice trust add``: trust a key or an identity."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pumice.cli.display import output
from pumice.cli.image_access import discovery_options, registries, signing
from pumice.cli.parsing import arguments as command_line
from pumice.cli.trust import new_key, rule_files
from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse

    from pumice.trust.keys import PublicKey


def add_parser(parser: command_line.Parser) -> None:
    """Add the action to the parser of ``pumice trust``."""
    action = command_line.add_action(
        parser,
        "add",
        run,
        "trust a public key or an identity, for a prefix of names or for all names",
        epilog="Without KEY, the discovery pages of the prefix say where its keys are. The fingerprint of a\n"
        "new key is shown for you to compare; without a terminal, pass it with --fingerprint.",
        examples=(
            "pumice trust add --prefix example.com",
            "pumice trust add --prefix example.com/apps release.pub",
            "pumice trust add --root vendor.pub --threshold 2 --expires 2027-12-31",
            "pumice trust add --root --identity ada@example.com --issuer https://id.example",
        ),
    )
    action.add_argument(
        "key", nargs="?", metavar="KEY", help="public key: a file, a name from 'pumice key list', or a URL"
    )
    rule_files.add_scope_options(action)
    signing.add_identity_options(action, "instead of KEY: ")
    new_key.add_options(action)
    discovery_options.add_port_option(action)
    action.add_argument(
        "--expires",
        metavar="DAY",
        help="stop trusting the key on this day, such as 2028-01-01, in UTC (default: never)",
    )
    action.add_argument("--threshold", type=int, metavar="N", help="require signatures by N different keys")
    action.add_argument("--comment", default="", metavar="TEXT", help="note about the key, such as its owner")
    rule_files.add_system_option(action)
    registries.options(action)


def run(options: argparse.Namespace) -> int:
    """Write the rule and print its path."""
    from pumice.trust import policy, policy_edit, policy_files

    if options.key is None and options.identity is None and not options.prefix:
        raise UsageError("KEY is missing", hint="pass a public key, or --identity WHO and --issuer URL")
    prefix = rule_files.requested_prefix(options)
    expires = policy.parse_day(options.expires) if options.expires else 0
    if prefix:
        policy_files.prefix_directory(prefix)
    if options.threshold is not None:
        policy_edit.check_threshold(options.threshold)
    new_keys = _read_new_keys(options, prefix)
    directory = rule_files.edited_directory(options)
    paths = [
        policy_edit.add_key(directory, key, prefix, comment=options.comment or label, expires=expires)
        for key, label in new_keys
    ]
    if options.threshold is not None:
        policy_edit.set_threshold(directory, prefix, options.threshold)
    name_policy = policy.read_name_policy(f"{prefix}:0" if prefix else "", rule_files.policy_directories())
    missing = name_policy.threshold - len(name_policy.keys)
    if missing > 0:
        print(
            f"note: {name_policy.threshold} keys must sign, but only {len(name_policy.keys)} are trusted:"
            f" add {missing} more",
            file=sys.stderr,
        )
    for path in paths:
        print(output.printable(str(path)))
    return 0


def _read_new_keys(options: argparse.Namespace, prefix: str) -> list[tuple[PublicKey, str]]:
    """Return the keys to trust with their labels: confirmed keys, or the identity of the command line."""
    from pumice.trust import keyless

    identity = signing.read_identity(options)
    if identity is None and options.key is None:
        from pumice.cli.trust import discovered_keys

        return discovered_keys.read_confirmed_keys(options, prefix)
    if identity is None:
        return [new_key.read_confirmed_key(options, options.key, prefix)]
    if options.key is not None:
        raise UsageError(f"unexpected operand {options.key[:80]!r}", hint="add a key or an identity")
    if options.fingerprint:
        raise UsageError("an identity has no fingerprint", hint="remove --fingerprint")
    if not keyless.is_sigstore_installed():
        print(f"note: {keyless.MISSING}; {keyless.installation_hint()}", file=sys.stderr)
    return [(identity, "")]
