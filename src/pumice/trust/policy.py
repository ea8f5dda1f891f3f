"""The policy: which keys are trusted for which names, in plain files of three directories.

    vendor   /usr/lib/pumice/trust
    system   /etc/pumice/trust
    user     $XDG_CONFIG_HOME/pumice/trust

    root.d/FINGERPRINT              a key that is trusted for all names
    prefix.d/example.com/apps/FINGERPRINT
                                    a key that is trusted for example.com/apps and all names below it
    …/threshold                     the number of keys that must have signed
    revoked.d/FINGERPRINT           a revoked key; the file has the reason
    sigstore.d/DIGEST.json          the trusted root of an identity
    mirror.d/mirror.example/debian.name
                                    the name that images of this mirror are signed as

Later directories override earlier ones; an empty file hides the file of the same path in an earlier
directory. Prefixes match whole components of a name: a key for ``example.com/app`` is not trusted for
``example.com/appliance``. Specified in ``docs/reference/trust.md``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice.errors import FormatError, TrustError, UsageError
from pumice.store.home import check_owner
from pumice.trust import keys, public_keys
from pumice.trust.image_mirrors import apply_mirrors
from pumice.trust.policy_files import (
    PREFIX,
    ROOT,
    PolicyDirectory,
    decode_prefix,
    list_directory,
    read_text,
    scope_directories,
)
from pumice.trust.trusted_key import TrustedKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

REVOKED = "revoked.d"
SIGSTORE_ROOTS = "sigstore.d"
THRESHOLD = "threshold"
_HEX = frozenset("0123456789abcdef")
_MAX_THRESHOLD = 100
_OPENPGP_DIGITS = 40
"""Hexadecimal digits of an OpenPGP fingerprint of version 4."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A key that is trusted for a prefix ("": all names), with the rule's directory and file."""

    directory: str
    prefix: str
    path: Path
    key: TrustedKey


class NamePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """The policy for one name; ``name`` is what the image must be signed as, after mirrors."""

    name: str
    keys: tuple[TrustedKey, ...]
    threshold: int
    mirror: str = ""
    """The mirror rule that changed the name, "" for none."""


def policy_directories(environ: Mapping[str, str]) -> tuple[PolicyDirectory, ...]:
    """Return the policy directories, the weakest first; without a home directory there are two.

    Raises StoreError if root would use another user's policy.
    """
    directories = [
        PolicyDirectory("vendor", Path("/usr/lib/pumice/trust")),
        PolicyDirectory("system", Path("/etc/pumice/trust")),
    ]
    base = environ.get("XDG_CONFIG_HOME", "")
    if not Path(base).is_absolute():
        base = str(Path(environ["HOME"], ".config")) if environ.get("HOME") else ""
    if base:
        folder = Path(base, "pumice", "trust")
        check_owner(folder, environ)
        directories.append(PolicyDirectory("user", folder))
    return tuple(directories)


def read_name_policy(name: str, directories: Sequence[PolicyDirectory]) -> NamePolicy:
    """Return the keys and the threshold for an image called ``name`` (``name:version``, or "").

    Raises FormatError for a malformed file, because a malformed rule must not be ignored.
    """
    from pumice.trust.image_names import split_name

    original, rule = apply_mirrors(name, directories)
    scopes = [ROOT, *scope_directories(split_name(original)[0])]
    threshold = 1
    trusted_keys: list[TrustedKey] = []
    for scope in scopes:
        trusted_keys += [rule.key for rule in _read_scope_rules(scope, directories)]
        threshold = _read_threshold(scope, directories) or threshold
    return NamePolicy(name=original, keys=tuple(trusted_keys), threshold=threshold, mirror=rule)


def read_rules(directories: Sequence[PolicyDirectory]) -> list[Rule]:
    """Return all rules that are not hidden, sorted by prefix."""
    rules = [rule for scope in _list_scopes(directories) for rule in _read_scope_rules(scope, directories)]
    return sorted(rules, key=lambda rule: (rule.prefix, rule.path.name))


def _list_scopes(directories: Sequence[PolicyDirectory]) -> set[str]:
    scopes = {ROOT}
    for directory in directories:
        for folder, _, _ in os.walk(directory.path / PREFIX):
            scopes.add(str(Path(folder).relative_to(directory.path)))
    return scopes - {PREFIX}


def read_revocations(directories: Sequence[PolicyDirectory]) -> dict[str, str]:
    """Return the reasons of all revocations by fingerprint; no directory overrides another's."""
    revocations: dict[str, str] = {}
    for directory in directories:
        for name in list_directory(directory.path / REVOKED):
            if is_fingerprint(name):
                reason = (read_text(directory.path / REVOKED / name) or "").strip().split("\n")[0]
                revocations[name] = reason[:200] or "no reason given"
    for fingerprint, reason in list(revocations.items()):
        for alias in _certificate_fingerprints(fingerprint, directories):
            revocations.setdefault(alias, reason)
    return revocations


def _certificate_fingerprints(fingerprint: str, directories: Sequence[PolicyDirectory]) -> frozenset[str]:
    """Return the fingerprints of the keys in an OpenPGP certificate of any rule; empty for other keys."""
    if len(fingerprint) != _OPENPGP_DIGITS:
        return frozenset()
    from pumice.trust import signers

    for scope in sorted(_list_scopes(directories)):
        for directory in directories:
            text = (read_text(directory.path / scope / fingerprint) or "").strip()
            if text:
                return signers.known_fingerprints(public_keys.parse_public_key(text.encode()))
    return frozenset()


def revocation_reason(key: keys.PublicKey, revocations: Mapping[str, str]) -> str:
    """Return why a key is revoked, "" if it is not, also by a fingerprint of its other format."""
    from pumice.trust import signers

    fingerprints = sorted(signers.known_fingerprints(key) & revocations.keys())
    return revocations[fingerprints[0]] if fingerprints else ""


def format_rule(key: keys.PublicKey, *, comment: str = "", expires: int = 0, replaces: str = "") -> bytes:
    """Return the content of a rule file: up to three lines for people, and the key in PEM."""
    from pumice.trust.trusted_key import format_day

    lines = []
    if comment:
        lines.append("Comment: " + " ".join(comment.split())[:200])
    if expires:
        lines.append("Expires: " + format_day(expires))
    if replaces:
        lines.append("Replaces: " + replaces)
    return "".join(f"{line}\n" for line in lines).encode() + key.pem()


def parse_day(text: str) -> int:
    """Return the start of a day ``YYYY-MM-DD`` (UTC) in seconds since the epoch; raises UsageError."""
    import datetime

    try:
        day = datetime.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=datetime.UTC)
    except ValueError:
        raise UsageError(f"invalid date {text[:40]!r}", hint="use YYYY-MM-DD, such as 2027-12-31") from None
    return max(1, int(day.timestamp()))  # 0 means never


def _read_scope_rules(scope: str, directories: Sequence[PolicyDirectory]) -> Iterator[Rule]:
    """Yield the rules of a scope, which is ``root.d`` or a directory of ``prefix.d``."""
    revocations = read_revocations(directories)
    strongest: dict[str, PolicyDirectory] = {}
    for directory in directories:
        for name in list_directory(directory.path / scope):
            if is_fingerprint(name):
                strongest[name] = directory
    prefix = "" if scope == ROOT else decode_prefix(scope)
    for name, directory in sorted(strongest.items()):
        path = directory.path / scope / name
        text = read_text(path) or ""
        if text.strip():
            description = f"{directory.name} rule for {prefix or 'all names'}"
            key = _parse_rule(text, path, description, revocations, directory.path / SIGSTORE_ROOTS)
            yield Rule(directory=directory.name, prefix=prefix, path=path, key=key)


def _parse_rule(
    text: str, path: Path, description: str, revocations: Mapping[str, str], roots: Path
) -> TrustedKey:
    try:
        fields = dict(
            line.split(": ", 1) for line in text.partition("-----BEGIN")[0].splitlines() if ": " in line
        )
        key = (
            _parse_identity(fields, roots)
            if "Identity" in fields
            else public_keys.parse_public_key(text.encode())
        )
        expires = parse_day(fields["Expires"].strip()) if "Expires" in fields else 0
    except (FormatError, UsageError) as error:
        raise FormatError(f"cannot read the trust rule: {error.message}", where=str(path)) from None
    if key.fingerprint != path.name:
        raise TrustError(
            "the file name is not the fingerprint of the key",
            where=str(path),
            hint=f"the fingerprint is {key.fingerprint}",
        )
    return TrustedKey(
        key=key,
        rule=description,
        label=" ".join(filter(None, (fields.get("Comment", "").strip()[:80], getattr(key, "title", "")))),
        expires=expires,
        replaces=fields.get("Replaces", "").strip().lower(),
        revocation=revocation_reason(key, revocations) if revocations else "",
    )


def _parse_identity(fields: Mapping[str, str], roots: Path) -> keys.PublicKey:
    """Return the identity in a rule; raises FormatError, UsageError."""
    from pumice.trust import keyless

    root_digest = fields.get("Trusted-Root", "").strip()
    root_path = None
    if root_digest:
        if not is_fingerprint(root_digest):
            raise FormatError("the trusted root is not a digest")
        root_path = roots / f"{root_digest}.json"
    identity = keyless.parse_identity(fields["Identity"].strip(), fields.get("Issuer", "").strip(), root_path)
    if identity.root_digest != root_digest:
        raise TrustError("the trusted root does not match its digest", where=str(root_path))
    return identity


def _read_threshold(scope: str, directories: Sequence[PolicyDirectory]) -> int:
    """Return the threshold of a scope by the strongest directory that has one, 0 for none."""
    for directory in reversed(directories):
        path = directory.path / scope / THRESHOLD
        text = read_text(path)
        if text is None:
            continue
        number = text.strip()
        if not number:
            return 0
        if not (number.isascii() and number.isdigit()) or not 1 <= int(number[:9]) <= _MAX_THRESHOLD:
            raise FormatError("invalid threshold: not a number from 1 to 100", where=str(path))
        return int(number[:9])
    return 0


def read_thresholds(directories: Sequence[PolicyDirectory]) -> dict[str, int]:
    """Return the thresholds by prefix ("": all names)."""
    thresholds = {scope: _read_threshold(scope, directories) for scope in _list_scopes(directories)}
    return {
        "" if scope == ROOT else decode_prefix(scope): count for scope, count in thresholds.items() if count
    }


def is_fingerprint(text: str) -> bool:
    """Return whether ``text`` is a fingerprint in lower case: 64 hexadecimal digits, or 40 of OpenPGP."""
    return len(text) in (_OPENPGP_DIGITS, 64) and _HEX.issuperset(text)
