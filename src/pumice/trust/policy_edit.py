"""Changing the trust store: adding, removing, replacing and revoking keys, in one of its three folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice import files, ownership
from pumice.errors import TrustError, UsageError
from pumice.os_errors import translate_os_errors
from pumice.trust import policy

if TYPE_CHECKING:
    from pathlib import Path

    from pumice.trust.keys import PublicKey
    from pumice.trust.policy import PolicyDirectory, Rule

_MIN_FINGERPRINT = 8


def add_key(
    level: PolicyDirectory,
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
    place = policy.prefix_directory(prefix) if prefix else policy.ROOT
    path = level.folder / place / key.fingerprint
    if key.kind == "identity":
        _write_trusted_root(level, key)
    _write(path, policy.format_rule(key, comment=comment, expires=expires, replaces=replaces))
    return path


def set_threshold(level: PolicyDirectory, prefix: str, count: int) -> Path:
    """Ask for ``count`` signatures below ``prefix``; return the file."""
    path = level.folder / (policy.prefix_directory(prefix) if prefix else policy.ROOT) / policy.THRESHOLD
    _write(path, b"%d\n" % check_threshold(count))
    return path


def check_threshold(count: int) -> int:
    """Return ``count`` if so many keys can be asked for; raises UsageError."""
    if not 1 <= count <= 100:
        raise UsageError(f"a threshold of {count} makes no sense", hint="it is a number from 1 to 100")
    return count


def set_mirror(level: PolicyDirectory, prefix: str, name: str) -> Path:
    """Let images that are called ``prefix/...`` here be those that are signed as ``name/...``."""
    policy.prefix_directory(name)  # checks it
    path = level.folder / policy.mirror_path(prefix)
    _write(path, name.encode() + b"\n")
    return path


def find_rules(found: list[Rule], start: str) -> list[Rule]:
    """Return the rules of the one key whose fingerprint begins so; raises TrustError, UsageError."""
    if len(start) < _MIN_FINGERPRINT:
        raise UsageError(
            f"{start[:40]!r} is too short for a fingerprint", hint=f"give {_MIN_FINGERPRINT} digits or more"
        )
    mine = [rule for rule in found if rule.key.key.fingerprint.startswith(start.lower())]
    if not mine:
        raise TrustError(f"no rule has the key {start[:64]}", hint="'pumice trust list' shows them")
    if len({rule.key.key.fingerprint for rule in mine}) > 1:
        raise UsageError(f"several keys begin with {start}", hint="give more of the fingerprint")
    return mine


def remove_rule(level: PolicyDirectory, rule: Rule) -> Path:
    """Trust a key no more for a prefix: its file goes, or an empty one hides that of a weaker folder."""
    path = level.folder / rule.path.relative_to(_rule_directory(rule))
    if rule.level == level.name:
        with translate_os_errors(path):
            path.unlink()
    else:
        _write(path, b"")
    return path


def rotate_key(level: PolicyDirectory, found: list[Rule], new: PublicKey, *, until: int) -> list[Path]:
    """Trust ``new`` wherever an old key is, and the old one until ``until`` (seconds) only.

    While both count they are one signer.
    """
    if any(rule.key.key.fingerprint == new.fingerprint for rule in found):
        raise UsageError("the new key is the old one", hint="'pumice key generate' makes another")
    changed: list[Path] = []
    for rule in found:
        if not rule.path.exists():  # else somebody else's removal would be undone
            raise TrustError("the rule was changed meanwhile", where=str(rule.path), hint="try again")
    for rule in found:
        old = rule.key
        changed.append(add_key(level, new, rule.prefix, comment=old.label, replaces=old.key.fingerprint))
        ends = min(until, old.expires) if old.expires else until
        kept = {"comment": old.label, "replaces": old.replaces}
        changed.append(add_key(level, old.key, rule.prefix, expires=ends, **kept))
    return changed


def revoke_key(level: PolicyDirectory, fingerprint: str, reason: str) -> Path:
    """Let a key count nowhere any more, whatever other rules say."""
    path = level.folder / policy.REVOKED / fingerprint
    _write(path, " ".join(reason.split()).encode()[:200] + b"\n")
    return path


def _write_trusted_root(level: PolicyDirectory, key: PublicKey) -> None:
    """Put the trusted root of an identity beside the rules of its level."""
    from pumice.trust.keyless import Identity

    if isinstance(key, Identity) and key.root:
        _write(level.folder / policy.SIGSTORE_ROOTS / f"{key.root_digest}.json", key.root)


def _rule_directory(rule: Rule) -> Path:
    depth = 1 if not rule.prefix else 1 + len(rule.prefix.split("/"))
    return rule.path.parents[depth]


def _write(path: Path, data: bytes) -> None:
    with translate_os_errors(path):
        ownership.make_directories(path.parent)
    files.replace(path, data, mode=0o644)
