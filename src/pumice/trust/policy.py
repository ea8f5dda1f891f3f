"""Which keys are trusted for which names: plain files in three folders, the later ones stronger.

    vendor   /usr/lib/pumice/trust
    system   /etc/pumice/trust
    user     $XDG_CONFIG_HOME/pumice/trust

    root.d/FINGERPRINT              a key for every name
    prefix.d/example.com/apps/FINGERPRINT
                                    a key for example.com/apps and all names below it
    …/threshold                     a number: how many keys must have signed
    revoked.d/FINGERPRINT           this key counts nowhere any more; the file says why
    sigstore.d/DIGEST.json          a trusted root, by which a rule's identity is believed
    mirror.d/mirror.example/debian  a name: images called so there were signed under that name here

An empty file hides the one of the same path in a weaker folder. Prefixes match whole elements of a
name because each is a folder: a key for ``example.com/app`` says nothing about
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
from pumice.trust.trusted_key import TrustedKey

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

ROOT, PREFIX, REVOKED, MIRROR = "root.d", "prefix.d", "revoked.d", "mirror.d"
SIGSTORE_ROOTS = "sigstore.d"
THRESHOLD = "threshold"
_HEX = frozenset("0123456789abcdef")
_MAX_FILE = 1 << 20
_MAX_THRESHOLD = 100


class PolicyDirectory(msgspec.Struct, frozen=True):
    """One of the three folders."""

    name: str
    folder: Path


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A key that is trusted for a prefix; "" is every name. ``path`` is the file that says so."""

    level: str
    prefix: str
    path: Path
    key: TrustedKey


class NamePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for one name: ``name`` is what it must be signed as, after mirrors."""

    name: str
    keys: tuple[TrustedKey, ...]
    threshold: int
    mirror: str = ""
    """The rule by which the name was changed."""


def policy_directories(environ: Mapping[str, str]) -> tuple[PolicyDirectory, ...]:
    """Return the three folders, the weakest first; without a home directory there are two.

    Raises StoreError if root would follow another user's rules.
    """
    found = [
        PolicyDirectory("vendor", Path("/usr/lib/pumice/trust")),
        PolicyDirectory("system", Path("/etc/pumice/trust")),
    ]
    base = environ.get("XDG_CONFIG_HOME", "")
    if not Path(base).is_absolute():
        base = str(Path(environ["HOME"], ".config")) if environ.get("HOME") else ""
    if base:
        folder = Path(base, "pumice", "trust")
        check_owner(folder, environ)
        found.append(PolicyDirectory("user", folder))
    return tuple(found)


def read_name_policy(name: str, found: Sequence[PolicyDirectory]) -> NamePolicy:
    """Return which keys count for an image called ``name`` (``name:version``; "" for none known).

    Raises FormatError for a file that cannot be understood: a rule that is not understood must not
    quietly be no rule.
    """
    from pumice.trust.image_names import split_name

    original, rule = _apply_mirrors(name, found)
    places = [ROOT, *_scope_directories(split_name(original)[0])]
    threshold = 1
    keys_found: list[TrustedKey] = []
    for place in places:
        keys_found += [one.key for one in _read_scope_rules(place, found)]
        threshold = _read_threshold(place, found) or threshold
    return NamePolicy(name=original, keys=tuple(keys_found), threshold=threshold, mirror=rule)


def resolve_mirror(name: str, found: Sequence[PolicyDirectory]) -> str:
    """Return what an image called ``name`` must be signed as, after mirrors."""
    return _apply_mirrors(name, found)[0]


def read_rules(found: Sequence[PolicyDirectory]) -> list[Rule]:
    """Return every rule that is not hidden, by prefix."""
    listed = [rule for place in _list_scopes(found) for rule in _read_scope_rules(place, found)]
    return sorted(listed, key=lambda rule: (rule.prefix, rule.path.name))


def _list_scopes(found: Sequence[PolicyDirectory]) -> set[str]:
    places = {ROOT}
    for level in found:
        for folder, _, _ in os.walk(level.folder / PREFIX):
            places.add(str(Path(folder).relative_to(level.folder)))
    return places - {PREFIX}


def read_revocations(found: Sequence[PolicyDirectory]) -> dict[str, str]:
    """Return why keys are revoked, by fingerprint. No level can take back another's revocation."""
    revoked: dict[str, str] = {}
    for level in found:
        for name in _list_directory(level.folder / REVOKED):
            if _is_fingerprint(name):
                reason = (_read_text(level.folder / REVOKED / name) or "").strip().split("\n")[0]
                revoked[name] = reason[:200] or "without a reason"
    return revoked


def revocation_reason(key: keys.PublicKey, revoked: Mapping[str, str]) -> str:
    """Return why a key is revoked, "" if it is not: also where it was revoked in another form."""
    from pumice.trust import signers

    return next((revoked[one] for one in sorted(signers.known_fingerprints(key)) if one in revoked), "")


def prefix_directory(prefix: str) -> str:
    """Return the folder below a level for a prefix; raises UsageError if it is none."""
    return _scope_directories(_check_prefix(prefix))[-1]


def format_rule(key: keys.PublicKey, *, comment: str = "", expires: int = 0, replaces: str = "") -> bytes:
    """Return the content of a rule's file: up to three lines that a person reads, and the key in PEM."""
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
    """Return the first second of a day ``YYYY-MM-DD``, UTC; raises UsageError."""
    import datetime

    try:
        found = datetime.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=datetime.UTC)
    except ValueError:
        raise UsageError(f"{text[:40]!r} is no day", hint="write it as 2027-12-31") from None
    return max(1, int(found.timestamp()))  # 0 is never


def _read_scope_rules(place: str, found: Sequence[PolicyDirectory]) -> Iterator[Rule]:
    """Yield the rules of one folder, over all levels."""
    revoked = read_revocations(found)
    strongest: dict[str, PolicyDirectory] = {}
    for level in found:
        for name in _list_directory(level.folder / place):
            if _is_fingerprint(name):
                strongest[name] = level
    prefix = "" if place == ROOT else _decode_prefix(place)
    for name, level in sorted(strongest.items()):
        path = level.folder / place / name
        text = _read_text(path) or ""
        if text.strip():
            what = f"{level.name} rule for {prefix or 'every name'}"
            key = _parse_rule(text, path, what, revoked, level.folder / SIGSTORE_ROOTS)
            yield Rule(level=level.name, prefix=prefix, path=path, key=key)


def _parse_rule(text: str, path: Path, rule: str, revoked: Mapping[str, str], roots: Path) -> TrustedKey:
    try:
        head = dict(
            line.split(": ", 1) for line in text.partition("-----BEGIN")[0].splitlines() if ": " in line
        )
        key = (
            _parse_identity(head, roots)
            if "Identity" in head
            else public_keys.parse_public_key(text.encode())
        )
        expires = parse_day(head["Expires"].strip()) if "Expires" in head else 0
    except (FormatError, UsageError) as error:
        raise FormatError(f"the trust rule cannot be read: {error.message}", where=str(path)) from None
    if key.fingerprint != path.name:
        raise TrustError(
            "the file's name is not the fingerprint of the key in it",
            where=str(path),
            hint=f"its key is {key.fingerprint}",
        )
    return TrustedKey(
        key=key,
        rule=rule,
        label=" ".join(filter(None, (head.get("Comment", "").strip()[:80], getattr(key, "title", "")))),
        expires=expires,
        replaces=head.get("Replaces", "").strip().lower(),
        revoked=revocation_reason(key, revoked) if revoked else "",
    )


def _parse_identity(head: Mapping[str, str], roots: Path) -> keys.PublicKey:
    """Return the identity in a rule; raises FormatError, UsageError."""
    from pumice.trust import keyless

    wanted = head.get("Trusted-Root", "").strip()
    root = None
    if wanted:
        if not _is_fingerprint(wanted):
            raise FormatError("its trusted root is no digest")
        root = roots / f"{wanted}.json"
    made = keyless.parse_identity(head["Identity"].strip(), head.get("Issuer", "").strip(), root)
    if made.root_digest != wanted:
        raise TrustError("the trusted root does not have the digest it is known by", where=str(root))
    return made


def _read_threshold(place: str, found: Sequence[PolicyDirectory]) -> int:
    """Return how many keys a folder asks for, by the strongest level that says so; 0 for none."""
    for level in reversed(found):
        path = level.folder / place / THRESHOLD
        text = _read_text(path)
        if text is None:
            continue
        word = text.strip()
        if not word:
            return 0
        if not (word.isascii() and word.isdigit()) or not 1 <= int(word[:9]) <= _MAX_THRESHOLD:
            raise FormatError("the threshold is not a number from 1 to 100", where=str(path))
        return int(word[:9])
    return 0


def read_thresholds(found: Sequence[PolicyDirectory]) -> dict[str, int]:
    """Return how many keys must have signed, by the prefix for which a rule says so."""
    listed = {place: _read_threshold(place, found) for place in _list_scopes(found)}
    return {"" if place == ROOT else _decode_prefix(place): count for place, count in listed.items() if count}


def read_mirrors(found: Sequence[PolicyDirectory]) -> dict[str, str]:
    """Return what images below a prefix are signed as, by prefix; raises FormatError."""
    listed: dict[str, str] = {}
    for level in found:
        for folder, _, names in os.walk(level.folder / MIRROR):
            for name in names:
                place = Path(folder, name).relative_to(level.folder / MIRROR)
                if place.suffix == ".name":
                    prefix = _decode_component(str(place.with_suffix("")))
                    listed[prefix] = _apply_mirrors(f"{prefix}/x:0", found)[0].removesuffix("/x:0")
    return {prefix: target for prefix, target in sorted(listed.items()) if target != prefix}


def _apply_mirrors(name: str, found: Sequence[PolicyDirectory]) -> tuple[str, str]:
    """Return the name that an image of a mirror was signed as, and the rule; the longest prefix counts."""
    from pumice.trust.image_names import is_valid, split_name

    plain, _ = split_name(name)
    for folder in reversed(_scope_directories(plain)):
        place = folder.replace(PREFIX, MIRROR, 1) + ".name"
        for level in reversed(found):
            text = _read_text(level.folder / place)
            if text is None:
                continue
            target = text.strip()
            if not target:
                break
            if not is_valid(target) or split_name(target)[1]:
                raise FormatError("the mirror rule holds no name", where=str(level.folder / place))
            prefix = _decode_prefix(folder)
            return target + name[len(prefix) :], f"{level.name} mirror of {target} at {prefix}"
    return name, ""


def mirror_path(prefix: str) -> str:
    """Return the file below a level that says of what ``prefix`` is a mirror."""
    return prefix_directory(prefix).replace(PREFIX, MIRROR, 1) + ".name"


def _scope_directories(name: str) -> list[str]:
    """Return the folder of each prefix of a name, the shortest first."""
    words = name.split("/") if name else []
    if any(not _encode_component(word).strip(".") for word in words):
        return []
    return ["/".join([PREFIX, *map(_encode_component, words[: count + 1])]) for count in range(len(words))]


def _decode_prefix(folder: str) -> str:
    return "/".join(_decode_component(word) for word in folder.split("/")[1:])


def _encode_component(word: str) -> str:
    """Keep a name's element from being a path, or another one where file names ignore case."""
    plain = "abcdefghijklmnopqrstuvwxyz0123456789._-"
    return "".join(c if c in plain else "".join(f"%{byte:02x}" for byte in c.encode()) for c in word)


def _decode_component(word: str) -> str:
    from urllib.parse import unquote

    return unquote(word)


def _check_prefix(prefix: str) -> str:
    from pumice.trust.image_names import is_valid

    if not is_valid(f"{prefix}:0") or prefix.endswith("/"):
        raise UsageError(f"{prefix[:100]!r} is no prefix of names", hint="write for example example.com/apps")
    return prefix


def _is_fingerprint(name: str) -> bool:
    return len(name) in (40, 64) and _HEX.issuperset(name)  # 40 of OpenPGP


def _list_directory(folder: Path) -> list[str]:
    try:
        return sorted(path.name for path in folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise _read_error(folder, error) from None


def _read_text(path: Path) -> str | None:
    """Return a small file's text, None if there is none."""
    try:
        with path.open("rb") as file:
            data = file.read(_MAX_FILE + 1)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _read_error(path, error) from None
    if len(data) > _MAX_FILE:
        raise FormatError("the file is larger than 1 MiB", where=str(path))
    return data.decode("utf-8", "replace")


def _read_error(path: Path, error: OSError) -> TrustError:
    return TrustError(
        f"the trust rules cannot be read ({(error.strerror or str(error)).lower()})", where=str(path)
    )
