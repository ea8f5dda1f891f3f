"""``pumice trust``: whose images may be used here."""

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
    from pumice.trust.policy import PolicyDirectory, Rule

_EPILOG = """Rules are plain files in /usr/lib/pumice/trust, /etc/pumice/trust and your own folder; the later
are stronger. What was built here needs no rule. A new key's fingerprint is shown for you to
compare; without a terminal give it by --fingerprint."""

_IDENTITY = "--identity"
_WORDS = {"add": 1, "list": 0, "remove": 1, "rotate": 2, "revoke": 1, "mirror": 2, "why": 1, "export": 0}
_NEEDS = {
    "add": "KEY|URL, or --identity and --issuer",
    "remove": "FINGERPRINT",
    "rotate": "OLD-FINGERPRINT NEW-KEY",
    "revoke": "FINGERPRINT",
    "mirror": "PREFIX NAME",
    "why": "REF",
}
_DAY = 86_400


def _parser(words: int | str) -> argparse.ArgumentParser:
    made = command_line.make_parser(
        "trust",
        "Say whose images may be used here.\n\n"
        "  add KEY|URL         trust a public key for a prefix of names, or for all;\n"
        "                      or --identity WHO --issuer URL in its place\n"
        "  list                show the rules\n"
        "  remove FINGERPRINT  trust a key no more, for --prefix or everywhere\n"
        "  rotate OLD NEW      replace a key by another; the old one counts for --overlap days more\n"
        "  revoke FINGERPRINT  let a key count nowhere, whoever trusts it\n"
        "  mirror PREFIX NAME  images called PREFIX/... here are signed as NAME/...\n"
        "  why REF             explain why an image is trusted, or not\n"
        "  export              write what podman and skopeo need",
        progress=False,
        epilog=_EPILOG,
    )
    made.add_argument("action", choices=tuple(_WORDS), metavar="ACTION", help="see above")
    made.add_argument("words", nargs=words, default=[], metavar="WORD", help="what the action needs")
    made.add_argument("--prefix", metavar="P", help="names that begin with these whole elements")
    made.add_argument("--root", action="store_true", help="every name")
    signing.identity_options(made, "with add: ")
    made.add_argument("--fingerprint", metavar="HEX", help="what the new key's fingerprint must be")
    made.add_argument(
        "--insecure-allow-http", action="store_true", help="fetch a key by http, which anybody can change"
    )
    made.add_argument("--expires", metavar="DAY", help="with add: until this day, as 2027-12-31")
    made.add_argument("--threshold", type=int, metavar="N", help="with add: ask for N keys' signatures")
    made.add_argument("--comment", default="", metavar="TEXT", help="with add: whose key it is")
    made.add_argument(
        "--overlap", type=int, default=30, metavar="DAYS", help="with rotate: by default 30 days"
    )
    made.add_argument("--reason", default="", metavar="TEXT", help="with revoke: what happened")
    made.add_argument("--system", action="store_true", help="change /etc/pumice/trust, not your own rules")
    made.add_argument(
        "--format", default="containers-policy", metavar="FORMAT", help="with export: containers-policy"
    )
    made.add_argument("--output", type=Path, metavar="DIR", help="with export: write the files there")
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    asked = _parsed(arguments)
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
    return actions[asked.action](asked)


def _parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Only with a number of words known beforehand does argparse take them after options as well."""
    action = next((word for word in arguments if word in _WORDS), "")
    count = _WORDS.get(action, 0)
    if action == "add" and any(word.partition("=")[0] == _IDENTITY for word in arguments):
        count = 0
    try:
        return _parser(count or "*").parse_args(arguments)
    except UsageError as error:
        if "WORD" not in error.message:
            raise
        needs = _NEEDS[action]
        raise UsageError(
            f"trust {action} needs {needs}", hint=f"write pumice trust {action} {needs}"
        ) from None


def _levels() -> tuple[PolicyDirectory, ...]:
    from pumice.trust import policy as keyring

    return keyring.policy_directories(os.environ)


def _mine(asked: argparse.Namespace) -> PolicyDirectory:
    wanted = "system" if asked.system else "user"
    for level in _levels():
        if level.name == wanted:
            return level
    raise UsageError("there is no home directory to keep rules in", hint="use --system")


def _prefix(asked: argparse.Namespace) -> str:
    if asked.root == bool(asked.prefix):
        raise UsageError(
            "say for which names the key counts", hint="give --prefix example.com/apps, or --root for all"
        )
    return asked.prefix or ""


def _add(asked: argparse.Namespace) -> int:
    from pumice.trust import policy as keyring
    from pumice.trust import policy_edit as rules

    prefix = _prefix(asked)
    expires = keyring.parse_day(asked.expires) if asked.expires else 0
    if prefix:
        keyring.prefix_directory(prefix)
    if asked.threshold is not None:
        rules.check_threshold(asked.threshold)
    key, label = _new(asked, prefix)
    comment = asked.comment or label
    path = rules.add_key(_mine(asked), key, prefix, comment=comment, expires=expires)
    if asked.threshold is not None:
        rules.set_threshold(_mine(asked), prefix, asked.threshold)
    decision = keyring.read_name_policy(f"{prefix}:0" if prefix else "", _levels())
    if decision.threshold > len(decision.keys):
        print(
            f"note: {decision.threshold} keys must sign, and {len(decision.keys)} can: add the others",
            file=sys.stderr,
        )
    print(output.printable(str(path)))
    return 0


def _new(asked: argparse.Namespace, prefix: str) -> tuple[PublicKey, str]:
    """Return whom to trust: a key that somebody compared, or an identity, which is what was typed."""
    from pumice.trust import keyless

    who = signing.identity(asked)
    if who is None:
        return _reviewed(asked, asked.words[0], prefix)
    for word in asked.words:
        raise UsageError(f"{word[:80]!r} is one too many", hint="add a key, or an identity")
    if asked.fingerprint:
        raise UsageError("an identity has no fingerprint to compare", hint="say --identity and --issuer")
    if not keyless.is_sigstore_installed():
        print(f"note: {keyless.MISSING}; {keyless.HINT}", file=sys.stderr)
    return who, ""


def _key(asked: argparse.Namespace, text: str) -> tuple[PublicKey, str, str]:
    """Return a public key, where it is from, and what to call it."""
    from pumice.trust import key_files, key_urls, public_keys

    if not key_urls.is_url(text):
        path = key_files.find_key_file(text, ".pub", os.environ)
        return public_keys.read_public_key(path), str(path), path.stem
    key_urls.check_url(text, plain_http=asked.insecure_allow_http)
    if asked.fingerprint is None:
        _somebody_is_there(key_urls.redact_url(text))  # before anything is fetched
    if key_urls.is_unprotected(text):
        place = output.printable(key_urls.redact_url(text))
        print(
            f"warning: {place}: the key comes by http, so anybody on the way can put another in its place:"
            " only its fingerprint says whose it is (--insecure-allow-http)",
            file=sys.stderr,
        )
    from pumice.fetch.session import Session
    from pumice.store.home import Home, locate

    with Session(Home(locate(os.environ))) as session:
        return key_urls.fetch_key(text, session), key_urls.redact_url(text), key_urls.label_from_url(text)


def _somebody_is_there(where: str) -> None:
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()):
        raise TrustError(
            "nobody is there to review the key's fingerprint",
            where=where,
            hint="give --fingerprint with what its owner told you",
        )


def _reviewed(asked: argparse.Namespace, text: str, prefix: str) -> tuple[PublicKey, str]:
    """Return the key in a file or at a URL once somebody has compared its fingerprint."""
    from pumice.trust import openpgp

    expected = asked.fingerprint
    key, path, label = _key(asked, text)
    if expected is not None:
        plain = expected.lower().removeprefix("sha256:").replace(" ", "")
        if plain != key.fingerprint:
            raise TrustError(
                f"the key's fingerprint is {key.fingerprint}, not what --fingerprint says",
                where=path,
                hint="do not trust it unless you know why",
            )
        return key, label
    _somebody_is_there(path)
    print(f"key          {output.printable(path)} ({key.kind})", file=sys.stderr)
    print(f"fingerprint  {key.fingerprint}", file=sys.stderr)
    if isinstance(key, openpgp.Certificate):
        print(f"user ID      {output.printable(key.user_id)}", file=sys.stderr)
    print(f"for          {output.printable(prefix) or 'every name'}", file=sys.stderr)
    sys.stderr.write("Is this the fingerprint that the key's owner told you? [yes/no] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise TrustError("the key was not added", where=path)
    return key, label


def _list(_asked: argparse.Namespace) -> int:
    from pumice.clock import SystemClock
    from pumice.trust import policy as keyring
    from pumice.trust.trusted_key import format_day

    now = SystemClock().now()
    rows = [
        (
            rule.prefix or "(every name)",
            rule.key.key.fingerprint,
            rule.key.label,
            rule.key.rejection_reason(now)
            or (f"until {format_day(rule.key.expires)}" if rule.key.expires else "counts"),
            rule.level,
        )
        for rule in keyring.read_rules(_levels())
    ]
    if rows:
        sys.stdout.write(output.format_table(("prefix", "key", "comment", "state", "level"), rows))
    for prefix, count in sorted(keyring.read_thresholds(_levels()).items()):
        print(f"{output.printable(prefix) or '(every name)'} needs {count} keys")
    for prefix, target in keyring.read_mirrors(_levels()).items():
        print(output.printable(f"{prefix} is a mirror of {target}"))
    return 0


def _found(asked: argparse.Namespace) -> list[Rule]:
    from pumice.trust import policy as keyring
    from pumice.trust import policy_edit as rules

    found = rules.find_rules(keyring.read_rules(_levels()), asked.words[0])
    if asked.root or asked.prefix:
        prefix = _prefix(asked)
        found = [rule for rule in found if rule.prefix == prefix]
        if not found:
            raise TrustError(f"the key has no rule for {prefix or 'every name'}")
    return found


def _remove(asked: argparse.Namespace) -> int:
    from pumice.trust import policy_edit as rules

    for rule in _found(asked):
        print(output.printable(str(rules.remove_rule(_mine(asked), rule))))
    return 0


def _rotate(asked: argparse.Namespace) -> int:
    from pumice.clock import SystemClock
    from pumice.trust import policy_edit as rules

    found = _found(asked)
    if not 0 <= asked.overlap <= 36_500:
        raise UsageError(f"an overlap of {asked.overlap} days makes no sense")
    key, _ = _reviewed(asked, asked.words[1], ", ".join(rule.prefix or "every name" for rule in found))
    until = SystemClock().now()
    if asked.overlap:  # whole days, of which a part of today is none
        until += asked.overlap * _DAY + -until % _DAY
    for path in rules.rotate_key(_mine(asked), found, key, until=until):
        print(output.printable(str(path)))
    return 0


def _revoke(asked: argparse.Namespace) -> int:
    from pumice.clock import SystemClock
    from pumice.trust import policy as keyring
    from pumice.trust import policy_edit as rules
    from pumice.trust.trusted_key import format_day

    word = asked.words[0].lower()
    fingerprint = word
    if len(word) not in (40, 64) or not set("0123456789abcdef").issuperset(word):
        fingerprint = rules.find_rules(keyring.read_rules(_levels()), word)[0].key.key.fingerprint
    reason = asked.reason or f"on {format_day(SystemClock().now())}"
    print(output.printable(str(rules.revoke_key(_mine(asked), fingerprint, reason))))
    return 0


def _mirror(asked: argparse.Namespace) -> int:
    from pumice.trust import policy_edit as rules

    print(output.printable(str(rules.set_mirror(_mine(asked), asked.words[0], asked.words[1]))))
    return 0


def _why(asked: argparse.Namespace) -> int:
    from pumice.cli import registries, verify
    from pumice.clock import SystemClock
    from pumice.store.home import Home, locate
    from pumice.trust import admission, image_names
    from pumice.trust import policy as keyring

    levels = _levels()
    request = admission.Request(reference=asked.words[0])
    with Home(locate(os.environ)) as home, registries.open_image(asked.words[0], home) as image:
        name = image_names.requested_name(asked.words[0], home, image)
        rules = keyring.read_name_policy(name or image_names.declared_name(image), levels)
        lines = [f"name     {name or image_names.declared_name(image) or '(none)'}"]
        if rules.mirror:
            lines.append(f"as       {rules.name}, by the {rules.mirror}")
        for one in rules.keys:
            state = one.rejection_reason(SystemClock().now())
            lines.append(f"key      {one.label} {one.key.fingerprint} ({one.rule}) {state}".rstrip())
        if rules.threshold > 1:
            lines.append(f"needs    {rules.threshold} of these {len(rules.keys)} keys")
        sys.stdout.write("".join(f"{output.printable(line)}\n" for line in lines))
        decision = admission.judge(image, "run", home, request, levels, now=SystemClock().now())
        if admission.is_exempt(image, "run", home):
            print("trusted  to be run from this store, because it was built here")
    sys.stdout.write("".join(f"{output.printable(line)}\n" for line in verify.as_text(decision)))
    print("skipped  content: 'pumice verify' hashes it")
    return 0


def _export(asked: argparse.Namespace) -> int:
    from pumice import files
    from pumice.clock import SystemClock
    from pumice.trust import export
    from pumice.trust import policy as keyring

    if asked.format != "containers-policy":
        raise UsageError(f"there is no format {asked.format!r}", hint="use containers-policy")
    levels = _levels()
    rules, mirrors = keyring.read_rules(levels), keyring.read_mirrors(levels)
    for what in sorted({export.UNSUPPORTED_KINDS.get(rule.key.key.kind, "") for rule in rules} - {""}):
        print(f"# {what} are left out: podman and skopeo do not verify by them what we do", file=sys.stderr)
    policy = export.containers_policy(
        rules, keyring.read_thresholds(levels), mirrors, now=SystemClock().now()
    )
    if asked.output is None:
        sys.stdout.write(policy.decode())
        return 0
    ownership.make_directories(asked.output / "registries.d")
    files.replace(asked.output / "policy.json", policy)
    files.replace(asked.output / "registries.d" / "pumice.yaml", export.registries_config(rules, mirrors))
    return 0
