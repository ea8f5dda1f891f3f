"""``pumice trust``: manage the policy that says which images may be used."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pumice import ownership
from pumice.cli import arguments as command_line
from pumice.cli import output, signing
from pumice.errors import TrustError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.trust.keys import PublicKey
    from pumice.trust.policy import NamePolicy, PolicyDirectory, Rule

_EPILOG = """Rules are plain files in /usr/lib/pumice/trust, /etc/pumice/trust and your own directory; later
directories override earlier ones. Images that were built here need no rule. 'add' shows the
fingerprint of a new key for you to compare; without a terminal, pass it with --fingerprint."""

_IDENTITY = "--identity"
_WORDS = {"add": 1, "list": 0, "remove": 1, "rotate": 2, "revoke": 1, "mirror": 2, "why": 1, "export": 0}
_OPERANDS = {
    "add": "KEY|URL, or --identity and --issuer",
    "remove": "FINGERPRINT",
    "rotate": "OLD-FINGERPRINT NEW-KEY",
    "revoke": "FINGERPRINT",
    "mirror": "PREFIX NAME",
    "why": "REF",
}
_DAY = 86_400
_MAX_OVERLAP = 36_500


def parser(word_count: int | str = "*") -> argparse.ArgumentParser:
    """Return the parser of ``pumice trust``."""
    parser = command_line.make_parser(
        "trust",
        "Manage which keys are trusted to sign which images.\n\n"
        "  add KEY|URL         trust a public key for a prefix of names, or for all names;\n"
        "                      or an identity, with --identity WHO --issuer URL\n"
        "  list                list the rules\n"
        "  remove FINGERPRINT  remove a key's rules, for --prefix or all\n"
        "  rotate OLD NEW      replace a key; the old one stays trusted for --overlap days\n"
        "  revoke FINGERPRINT  reject a key everywhere, whatever the rules say\n"
        "  mirror PREFIX NAME  accept images named PREFIX/... that are signed as NAME/...\n"
        "  why REF             explain why an image is trusted or not\n"
        "  export              print the policy for podman and skopeo",
        progress=False,
        epilog=_EPILOG,
    )
    parser.add_argument("action", choices=tuple(_WORDS), metavar="ACTION", help="see above")
    parser.add_argument("words", nargs=word_count, default=[], metavar="WORD", help="operands of the action")
    parser.add_argument("--prefix", metavar="P", help="names that are P or below P (whole path components)")
    parser.add_argument("--root", action="store_true", help="all names")
    signing.add_identity_options(parser, "with add: ")
    parser.add_argument("--fingerprint", metavar="HEX", help="expected fingerprint of the new key")
    parser.add_argument(
        "--insecure-allow-http", action="store_true", help="fetch a key over http, which is not protected"
    )
    parser.add_argument("--expires", metavar="DAY", help="with add: last day, such as 2027-12-31")
    parser.add_argument(
        "--threshold", type=int, metavar="N", help="with add: require signatures by N different keys"
    )
    parser.add_argument("--comment", default="", metavar="TEXT", help="with add: whose key it is")
    parser.add_argument(
        "--overlap", type=int, default=30, metavar="DAYS", help="with rotate: days (default: 30)"
    )
    parser.add_argument("--reason", default="", metavar="TEXT", help="with revoke: why")
    parser.add_argument(
        "--system", action="store_true", help="change /etc/pumice/trust instead of your own rules"
    )
    parser.add_argument(
        "--format",
        default="containers-policy",
        metavar="FORMAT",
        help="with export: containers-policy (the default)",
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="with export: write files to DIR")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = _parse(arguments)
    actions = {
        "add": _add,
        "list": _list,
        "remove": _remove,
        "rotate": _rotate,
        "revoke": _revoke,
        "mirror": _mirror,
        "why": _why,
        "export": _export,
    }
    return actions[options.action](options)


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse with a fixed number of operands: only then argparse accepts them after options as well."""
    action = next((word for word in arguments if word in _WORDS), "")
    count = _WORDS.get(action, 0)
    if action == "add" and any(word.partition("=")[0] == _IDENTITY for word in arguments):
        count = 0
    try:
        return parser(count or "*").parse_args(arguments)
    except UsageError as error:
        if "WORD" not in error.message:
            raise
        operands = _OPERANDS[action]
        raise UsageError(
            f"trust {action} needs {operands}", hint=f"run 'pumice trust {action} {operands}'"
        ) from None


def _directories() -> tuple[PolicyDirectory, ...]:
    from pumice.trust import policy

    return policy.policy_directories(os.environ)


def _edited_directory(options: argparse.Namespace) -> PolicyDirectory:
    name = "system" if options.system else "user"
    for directory in _directories():
        if directory.name == name:
            return directory
    raise UsageError("no home directory for your rules", hint="set HOME, or pass --system")


def _prefix(options: argparse.Namespace) -> str:
    if options.root == bool(options.prefix):
        raise UsageError(
            "the key needs a prefix of names", hint="pass --prefix example.com/apps, or --root for all names"
        )
    return options.prefix or ""


def _add(options: argparse.Namespace) -> int:
    from pumice.trust import policy, policy_edit

    prefix = _prefix(options)
    expires = policy.parse_day(options.expires) if options.expires else 0
    if prefix:
        policy.prefix_directory(prefix)
    if options.threshold is not None:
        policy_edit.check_threshold(options.threshold)
    key, label = _read_new_key(options, prefix)
    directory = _edited_directory(options)
    path = policy_edit.add_key(directory, key, prefix, comment=options.comment or label, expires=expires)
    if options.threshold is not None:
        policy_edit.set_threshold(directory, prefix, options.threshold)
    name_policy = policy.read_name_policy(f"{prefix}:0" if prefix else "", _directories())
    missing = name_policy.threshold - len(name_policy.keys)
    if missing > 0:
        print(
            f"note: {name_policy.threshold} keys must sign, but only {len(name_policy.keys)} are trusted:"
            f" add {missing} more",
            file=sys.stderr,
        )
    print(output.printable(str(path)))
    return 0


def _read_new_key(options: argparse.Namespace, prefix: str) -> tuple[PublicKey, str]:
    """Return the key to trust and its label: a confirmed key, or the identity of the command line."""
    from pumice.trust import keyless

    identity = signing.read_identity(options)
    if identity is None:
        return _read_confirmed_key(options, options.words[0], prefix)
    if options.words:
        raise UsageError(f"unexpected operand {options.words[0][:80]!r}", hint="add a key or an identity")
    if options.fingerprint:
        raise UsageError("an identity has no fingerprint", hint="remove --fingerprint")
    if not keyless.is_sigstore_installed():
        print(f"note: {keyless.MISSING}; {keyless.HINT}", file=sys.stderr)
    return identity, ""


def _read_key(options: argparse.Namespace, text: str) -> tuple[PublicKey, str, str]:
    """Return a public key, its file or URL, and a label for it."""
    from pumice.trust import key_files, key_urls, public_keys

    if not key_urls.is_url(text):
        path = key_files.find_key_file(text, ".pub", os.environ)
        return public_keys.read_public_key(path), str(path), path.stem
    key_urls.check_url(text, plain_http=options.insecure_allow_http)
    redacted_url = key_urls.redact_url(text)
    if options.fingerprint is None:
        _require_terminal(redacted_url)  # before anything is fetched
    if key_urls.is_unprotected(text):
        print(
            f"warning: {output.printable(redacted_url)}: the connection is not protected; compare the"
            " fingerprint with the key's owner (--insecure-allow-http)",
            file=sys.stderr,
        )
    from pumice.fetch.session import Session
    from pumice.store.home import Home, locate

    with Session(Home(locate(os.environ))) as session:
        return key_urls.fetch_key(text, session), redacted_url, key_urls.label_from_url(text)


def _require_terminal(where: str) -> None:
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()):
        raise TrustError(
            "cannot ask you to confirm the fingerprint: there is no terminal",
            where=where,
            hint="pass --fingerprint HEX with the fingerprint from the key's owner",
        )


def _read_confirmed_key(options: argparse.Namespace, text: str, prefix: str) -> tuple[PublicKey, str]:
    """Return the key in a file or at a URL, once its fingerprint is confirmed, and a label for it."""
    from pumice.trust import openpgp

    key, where, label = _read_key(options, text)
    if options.fingerprint is not None:
        expected = options.fingerprint.lower().removeprefix("sha256:").replace(" ", "")
        if expected != key.fingerprint:
            raise TrustError(
                f"the key's fingerprint is {key.fingerprint}, not {expected[:64]}",
                where=where,
                hint="ask the key's owner for the fingerprint; do not trust the key until it matches",
            )
        return key, label
    _require_terminal(where)
    print(f"key          {output.printable(where)} ({key.kind})", file=sys.stderr)
    print(f"fingerprint  {key.fingerprint}", file=sys.stderr)
    if isinstance(key, openpgp.Certificate):
        print(f"user ID      {output.printable(key.user_id)}", file=sys.stderr)
    print(f"for          {output.printable(prefix) or 'all names'}", file=sys.stderr)
    sys.stderr.write("Does the fingerprint match the one from the key's owner? [yes/no] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise TrustError("the key was not added", where=where)
    return key, label


def _list(_options: argparse.Namespace) -> int:
    from pumice.clock import SystemClock
    from pumice.trust import policy

    now = SystemClock().now()
    rows = [
        (
            rule.prefix or "(all names)",
            rule.key.key.fingerprint,
            rule.key.label,
            _key_state(rule, now),
            rule.directory,
        )
        for rule in policy.read_rules(_directories())
    ]
    if rows:
        sys.stdout.write(output.format_table(("prefix", "key", "comment", "state", "level"), rows))
    for prefix, count in sorted(policy.read_thresholds(_directories()).items()):
        print(f"{output.printable(prefix) or '(all names)'} requires {count} keys")
    for prefix, target in policy.read_mirrors(_directories()).items():
        print(output.printable(f"{prefix} is a mirror of {target}"))
    return 0


def _key_state(rule: Rule, now: int) -> str:
    from pumice.trust.trusted_key import format_day

    reason = rule.key.rejection_reason(now)
    if reason:
        return reason
    return f"until {format_day(rule.key.expires)}" if rule.key.expires else "trusted"


def _matching_rules(options: argparse.Namespace) -> list[Rule]:
    from pumice.trust import policy, policy_edit

    rules = policy_edit.find_rules(policy.read_rules(_directories()), options.words[0])
    if options.root or options.prefix:
        prefix = _prefix(options)
        rules = [rule for rule in rules if rule.prefix == prefix]
        if not rules:
            raise TrustError(f"the key has no rule for {prefix or 'all names'}")
    return rules


def _remove(options: argparse.Namespace) -> int:
    from pumice.trust import policy_edit

    for rule in _matching_rules(options):
        print(output.printable(str(policy_edit.remove_rule(_edited_directory(options), rule))))
    return 0


def _rotate(options: argparse.Namespace) -> int:
    from pumice.clock import SystemClock
    from pumice.trust import policy_edit

    rules = _matching_rules(options)
    if not 0 <= options.overlap <= _MAX_OVERLAP:
        raise UsageError(f"invalid overlap of {options.overlap} days", hint=f"use 0 to {_MAX_OVERLAP}")
    prefixes = ", ".join(rule.prefix or "all names" for rule in rules)
    key, _ = _read_confirmed_key(options, options.words[1], prefixes)
    until = SystemClock().now()
    if options.overlap:  # whole days; the rest of today is not one
        until += options.overlap * _DAY + -until % _DAY
    for path in policy_edit.rotate_key(_edited_directory(options), rules, key, until=until):
        print(output.printable(str(path)))
    return 0


def _revoke(options: argparse.Namespace) -> int:
    from pumice.clock import SystemClock
    from pumice.trust import policy, policy_edit
    from pumice.trust.trusted_key import format_day

    rules = policy.read_rules(_directories())
    fingerprint = options.words[0].lower()
    if not policy.is_fingerprint(fingerprint):
        fingerprint = policy_edit.find_rules(rules, fingerprint)[0].key.key.fingerprint
    reason = options.reason or f"on {format_day(SystemClock().now())}"
    for path in policy_edit.revoke_key(_edited_directory(options), fingerprint, reason, rules):
        print(output.printable(str(path)))
    return 0


def _mirror(options: argparse.Namespace) -> int:
    from pumice.trust import policy_edit

    prefix, name = options.words
    print(output.printable(str(policy_edit.set_mirror(_edited_directory(options), prefix, name))))
    return 0


def _why(options: argparse.Namespace) -> int:
    from pumice.cli import registries, verify
    from pumice.clock import SystemClock
    from pumice.store.home import Home, locate
    from pumice.trust import admission, image_names, policy

    (reference,) = options.words
    now = SystemClock().now()
    directories = _directories()
    with Home(locate(os.environ)) as home, registries.open_image(reference, home) as image:
        name = image_names.requested_name(reference, home, image) or image_names.declared_name(image)
        _print_lines(_policy_lines(name, policy.read_name_policy(name, directories), now))
        request = admission.AdmissionRequest(reference=reference)
        decision = admission.decide(image, "run", home, request, directories, now=now)
        if admission.is_exempt(image, "run", home):
            print("trusted  to run from this store, because it was built here")
    _print_lines(list(verify.decision_lines(decision)))
    print("skipped  content: run 'pumice verify' to hash it")
    return 0


def _policy_lines(name: str, name_policy: NamePolicy, now: int) -> list[str]:
    lines = [f"name     {name or '(none)'}"]
    if name_policy.mirror:
        lines.append(f"as       {name_policy.name}, by the {name_policy.mirror}")
    for key in name_policy.keys:
        reason = key.rejection_reason(now)
        lines.append(f"key      {key.label} {key.key.fingerprint} ({key.rule}) {reason}".rstrip())
    if name_policy.threshold > 1:
        lines.append(f"needs    {name_policy.threshold} of these {len(name_policy.keys)} keys")
    return lines


def _print_lines(lines: Sequence[str]) -> None:
    sys.stdout.write("".join(f"{output.printable(line)}\n" for line in lines))


def _export(options: argparse.Namespace) -> int:
    from pumice import files
    from pumice.clock import SystemClock
    from pumice.trust import export, policy

    if options.format != "containers-policy":
        raise UsageError(f"unknown format {options.format!r}", hint="use containers-policy")
    directories = _directories()
    rules, mirrors = policy.read_rules(directories), policy.read_mirrors(directories)
    skipped_kinds = {export.UNSUPPORTED_KINDS.get(rule.key.key.kind, "") for rule in rules} - {""}
    for kind in sorted(skipped_kinds):
        print(f"# {kind} are left out: podman and skopeo do not support them", file=sys.stderr)
    policy_json = export.containers_policy(
        rules, policy.read_thresholds(directories), mirrors, now=SystemClock().now()
    )
    if options.output is None:
        sys.stdout.write(policy_json.decode())
        return 0
    ownership.make_directories(options.output / "registries.d")
    files.replace(options.output / "policy.json", policy_json)
    files.replace(options.output / "registries.d" / "pumice.yaml", export.registries_config(rules, mirrors))
    return 0
