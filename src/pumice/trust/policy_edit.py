"""Changing the trust store: adding, removing, replacing and revoking keys, in one of its three folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice import files, ownership
from pumice.errors import TrustError, UsageError
from pumice.os_errors import translate_os_errors
from pumice.trust import keyring

if TYPE_CHECKING:
    from pathlib import Path

    from pumice.trust.keyring import Level, Rule
    from pumice.trust.keys import PublicKey

_SHORTEST = 8


def add(
    level: Level, key: PublicKey, prefix: str, *, comment: str = "", expires: int = 0, replaces: str = ""
) -> Path:
    """Trust ``key`` for ``prefix``, "" for every name; return the file. Raises StoreError, UsageError.

    The same rule again takes the place of the old one.
    """
    place = keyring.folder_of(prefix) if prefix else keyring.ROOT
    path = level.folder / place / key.fingerprint
    if key.kind == "identity":
        _keep_root(level, key)
    _write(path, keyring.text_of(key, comment=comment, expires=expires, replaces=replaces))
    return path


def threshold(level: Level, prefix: str, count: int) -> Path:
    """Ask for ``count`` signatures below ``prefix``; return the file."""
    path = level.folder / (keyring.folder_of(prefix) if prefix else keyring.ROOT) / keyring.THRESHOLD
    _write(path, b"%d\n" % check_threshold(count))
    return path


def check_threshold(count: int) -> int:
    """Return ``count`` if so many keys can be asked for; raises UsageError."""
    if not 1 <= count <= 100:
        raise UsageError(f"a threshold of {count} makes no sense", hint="it is a number from 1 to 100")
    return count


def mirror(level: Level, prefix: str, name: str) -> Path:
    """Let images that are called ``prefix/...`` here be those that are signed as ``name/...``."""
    keyring.folder_of(name)  # checks it
    path = level.folder / keyring.mirror_file(prefix)
    _write(path, name.encode() + b"\n")
    return path


def find(found: list[Rule], start: str) -> list[Rule]:
    """Return the rules of the one key whose fingerprint begins so; raises TrustError, UsageError."""
    if len(start) < _SHORTEST:
        raise UsageError(
            f"{start[:40]!r} is too short for a fingerprint", hint=f"give {_SHORTEST} digits or more"
        )
    mine = [rule for rule in found if rule.key.key.fingerprint.startswith(start.lower())]
    if not mine:
        raise TrustError(f"no rule has the key {start[:64]}", hint="'pumice trust list' shows them")
    if len({rule.key.key.fingerprint for rule in mine}) > 1:
        raise UsageError(f"several keys begin with {start}", hint="give more of the fingerprint")
    return mine


def remove(level: Level, rule: Rule) -> Path:
    """Trust a key no more for a prefix: its file goes, or an empty one hides that of a weaker folder."""
    path = level.folder / rule.path.relative_to(_folder(rule))
    if rule.level == level.name:
        with translate_os_errors(path):
            path.unlink()
    else:
        _write(path, b"")
    return path


def rotate(level: Level, found: list[Rule], new: PublicKey, *, until: int) -> list[Path]:
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
        changed.append(add(level, new, rule.prefix, comment=old.label, replaces=old.key.fingerprint))
        ends = min(until, old.expires) if old.expires else until
        kept = {"comment": old.label, "replaces": old.replaces}
        changed.append(add(level, old.key, rule.prefix, expires=ends, **kept))
    return changed


def revoke(level: Level, fingerprint: str, reason: str) -> Path:
    """Let a key count nowhere any more, whatever other rules say."""
    path = level.folder / keyring.REVOKED / fingerprint
    _write(path, " ".join(reason.split()).encode()[:200] + b"\n")
    return path


def _keep_root(level: Level, key: PublicKey) -> None:
    """Put the trusted root of an identity beside the rules of its level."""
    from pumice.trust.keyless import Identity

    if isinstance(key, Identity) and key.root:
        _write(level.folder / keyring.SIGSTORE / f"{key.root_digest}.json", key.root)


def _folder(rule: Rule) -> Path:
    depth = 1 if not rule.prefix else 1 + len(rule.prefix.split("/"))
    return rule.path.parents[depth]


def _write(path: Path, data: bytes) -> None:
    with translate_os_errors(path):
        ownership.make_directories(path.parent)
    files.replace(path, data, mode=0o644)
