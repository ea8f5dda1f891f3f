"""Changing the trust store: adding, removing, replacing and revoking keys, in one of its three folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice import files, ownership
from pumice.errors import TrustError, UsageError
from pumice.os_errors import translate_os_errors
from pumice.trust import policy, signers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pumice.trust.keys import PublicKey
    from pumice.trust.policy import PolicyDirectory, Rule

_MIN_FINGERPRINT = 8
_MAX_REASON = 200


def add_key(
    directory: PolicyDirectory,
    key: PublicKey,
    prefix: str,
    *,
    comment: str = "",
    expires: int = 0,
    replaces: str = "",
) -> Path:
    """Trust ``key`` for ``prefix``, "" for every name; return the file. Raises StoreError, UsageError.

    The same rule again takes the place of the old one.
    """
    scope = policy.prefix_directory(prefix) if prefix else policy.ROOT
    path = directory.path / scope / key.fingerprint
    if key.kind == "identity":
        _write_trusted_root(directory, key)
    _write(path, policy.format_rule(key, comment=comment, expires=expires, replaces=replaces))
    return path


def set_threshold(directory: PolicyDirectory, prefix: str, count: int) -> Path:
    """Ask for ``count`` signatures below ``prefix``; return the file."""
    path = directory.path / (policy.prefix_directory(prefix) if prefix else policy.ROOT) / policy.THRESHOLD
    _write(path, b"%d\n" % check_threshold(count))
    return path


def check_threshold(count: int) -> int:
    """Return ``count`` if so many keys can be asked for; raises UsageError."""
    if not 1 <= count <= 100:
        raise UsageError(f"a threshold of {count} makes no sense", hint="it is a number from 1 to 100")
    return count


def set_mirror(directory: PolicyDirectory, prefix: str, name: str) -> Path:
    """Let images that are called ``prefix/...`` here be those that are signed as ``name/...``."""
    policy.prefix_directory(name)  # checks it
    path = directory.path / policy.mirror_path(prefix)
    _write(path, name.encode() + b"\n")
    return path


def find_rules(rules: list[Rule], start: str) -> list[Rule]:
    """Return the rules of the one key whose fingerprint begins so; raises TrustError, UsageError."""
    if len(start) < _MIN_FINGERPRINT:
        raise UsageError(
            f"{start[:40]!r} is too short for a fingerprint", hint=f"give {_MIN_FINGERPRINT} digits or more"
        )
    matching = [rule for rule in rules if rule.key.key.fingerprint.startswith(start.lower())]
    if not matching:
        raise TrustError(f"no rule has the key {start[:64]}", hint="'pumice trust list' shows them")
    if len({rule.key.key.fingerprint for rule in matching}) > 1:
        raise UsageError(f"several keys begin with {start}", hint="give more of the fingerprint")
    return matching


def remove_rule(directory: PolicyDirectory, rule: Rule) -> Path:
    """Trust a key no more for a prefix: its file goes, or an empty one hides that of a weaker folder."""
    path = directory.path / rule.path.relative_to(_rule_directory(rule))
    if rule.directory == directory.name:
        with translate_os_errors(path):
            path.unlink()
    else:
        _write(path, b"")
    return path


def rotate_key(
    directory: PolicyDirectory, rules: list[Rule], new_key: PublicKey, *, until: int
) -> list[Path]:
    """Trust ``new`` wherever an old key is, and the old one until ``until`` (seconds) only.

    While both count they are one signer.
    """
    if any(rule.key.key.fingerprint == new_key.fingerprint for rule in rules):
        raise UsageError("the new key is the old one", hint="'pumice key generate' makes another")
    changed: list[Path] = []
    for rule in rules:
        if not rule.path.exists():  # else somebody else's removal would be undone
            raise TrustError("the rule was changed meanwhile", where=str(rule.path), hint="try again")
    for rule in rules:
        old = rule.key
        changed.append(
            add_key(directory, new_key, rule.prefix, comment=old.label, replaces=old.key.fingerprint)
        )
        ends = min(until, old.expires) if old.expires else until
        attributes = {"comment": old.label, "replaces": old.replaces}
        changed.append(add_key(directory, old.key, rule.prefix, expires=ends, **attributes))
    return changed


def revoke_key(
    directory: PolicyDirectory, fingerprint: str, reason: str, rules: Sequence[Rule] = ()
) -> list[Path]:
    """Reject a key everywhere, whatever the rules say; return the files.

    If ``rules`` have the key as an OpenPGP certificate, its keys in PEM are revoked as well.
    """
    fingerprints = {fingerprint: None}
    for rule in rules:
        if rule.key.key.fingerprint == fingerprint:
            fingerprints |= dict.fromkeys(sorted(signers.known_fingerprints(rule.key.key)))
    content = " ".join(reason.split()).encode()[:_MAX_REASON] + b"\n"
    paths = [directory.path / policy.REVOKED / revoked for revoked in fingerprints]
    for path in paths:
        _write(path, content)
    return paths


def _write_trusted_root(directory: PolicyDirectory, key: PublicKey) -> None:
    """Put the trusted root of an identity beside the rules of its level."""
    from pumice.trust.keyless import Identity

    if isinstance(key, Identity) and key.root:
        _write(directory.path / policy.SIGSTORE_ROOTS / f"{key.root_digest}.json", key.root)


def _rule_directory(rule: Rule) -> Path:
    depth = 1 if not rule.prefix else 1 + len(rule.prefix.split("/"))
    return rule.path.parents[depth]


def _write(path: Path, data: bytes) -> None:
    with translate_os_errors(path):
        ownership.make_directories(path.parent)
    files.replace(path, data, mode=0o644)
