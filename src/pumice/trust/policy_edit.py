"""Changing the policy: adding, removing, rotating and revoking keys in one policy directory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice import files, ownership
from pumice.errors import TrustError, UsageError
from pumice.os_errors import translate_os_errors
from pumice.trust import image_mirrors, policy, policy_files, signers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from pumice.trust.keys import PublicKey
    from pumice.trust.policy import Rule
    from pumice.trust.policy_files import PolicyDirectory

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
    """Trust ``key`` for ``prefix`` ("": all names) and return the file; replaces an existing rule.

    ``expires`` is in seconds since the epoch, 0 for never. Raises StoreError, UsageError.
    """
    scope = policy_files.prefix_directory(prefix) if prefix else policy_files.ROOT
    path = directory.path / scope / key.fingerprint
    if key.kind == "identity":
        _write_trusted_root(directory, key)
    _write(path, policy.format_rule(key, comment=comment, expires=expires, replaces=replaces))
    return path


def set_threshold(directory: PolicyDirectory, prefix: str, count: int) -> Path:
    """Require ``count`` signers for names below ``prefix`` and return the file; raises UsageError."""
    path = (
        directory.path
        / (policy_files.prefix_directory(prefix) if prefix else policy_files.ROOT)
        / policy.THRESHOLD
    )
    _write(path, b"%d\n" % check_threshold(count))
    return path


def check_threshold(count: int) -> int:
    """Return ``count`` if it is a valid threshold; raises UsageError."""
    if not 1 <= count <= 100:
        raise UsageError(f"invalid threshold {count}", hint="use a number from 1 to 100")
    return count


def set_mirror(directory: PolicyDirectory, prefix: str, name: str) -> Path:
    """Accept images named ``prefix/...`` that are signed as ``name/...``; return the file."""
    policy_files.prefix_directory(name)  # raises UsageError for an invalid name
    path = directory.path / image_mirrors.mirror_path(prefix)
    _write(path, name.encode() + b"\n")
    return path


def find_rules(rules: list[Rule], start: str) -> list[Rule]:
    """Return the rules of the only key whose fingerprint begins with ``start``.

    Raises TrustError if there is none, UsageError if ``start`` is too short or ambiguous.
    """
    if len(start) < _MIN_FINGERPRINT:
        raise UsageError(
            f"fingerprint {start[:40]!r} is too short", hint=f"use at least {_MIN_FINGERPRINT} digits"
        )
    matching = [rule for rule in rules if rule.key.key.fingerprint.startswith(start.lower())]
    if not matching:
        raise TrustError(f"no rule for key {start[:64]}", hint="run 'pumice trust list' to see the rules")
    if len({rule.key.key.fingerprint for rule in matching}) > 1:
        raise UsageError(f"fingerprint {start} is ambiguous", hint="use more digits")
    return matching


def remove_rule(directory: PolicyDirectory, rule: Rule) -> Path:
    """Remove a rule and return its file; a rule of another directory is hidden by an empty file."""
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
    """Replace a key by ``new_key`` in all its rules; the old key expires at ``until`` (seconds).

    While both are trusted they are one signer. Returns the changed files; raises UsageError, TrustError.
    """
    if any(rule.key.key.fingerprint == new_key.fingerprint for rule in rules):
        raise UsageError("the new key is the old key", hint="generate one with 'pumice key generate'")
    changed_files: list[Path] = []
    for rule in rules:
        if not rule.path.exists():  # do not restore a rule that another process removed
            raise TrustError(
                "the rule was changed by another process", where=str(rule.path), hint="try again"
            )
    for rule in rules:
        old_key = rule.key
        changed_files.append(
            add_key(directory, new_key, rule.prefix, comment=old_key.label, replaces=old_key.key.fingerprint)
        )
        expires = min(until, old_key.expires) if old_key.expires else until
        attributes = {"comment": old_key.label, "replaces": old_key.replaces}
        changed_files.append(add_key(directory, old_key.key, rule.prefix, expires=expires, **attributes))
    return changed_files


def revoke_key(
    directory: PolicyDirectory, fingerprint: str, reason: str, rules: Sequence[Rule] = ()
) -> list[Path]:
    """Reject a key everywhere, even where a rule trusts it; return the files.

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
    """Write the trusted root of an identity to its policy directory."""
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
