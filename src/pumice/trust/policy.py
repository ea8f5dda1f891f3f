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
    path: Path


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A key that is trusted for a prefix; "" is every name. ``path`` is the file that says so."""

    directory: str
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
    """Return which keys count for an image called ``name`` (``name:version``; "" for none known).

    Raises FormatError for a file that cannot be understood: a rule that is not understood must not
    quietly be no rule.
    """
    from pumice.trust.image_names import split_name

    original, rule = _apply_mirrors(name, directories)
    scopes = [ROOT, *_scope_directories(split_name(original)[0])]
    threshold = 1
    trusted_keys: list[TrustedKey] = []
    for scope in scopes:
        trusted_keys += [one.key for one in _read_scope_rules(scope, directories)]
        threshold = _read_threshold(scope, directories) or threshold
    return NamePolicy(name=original, keys=tuple(trusted_keys), threshold=threshold, mirror=rule)


def resolve_mirror(name: str, directories: Sequence[PolicyDirectory]) -> str:
    """Return what an image called ``name`` must be signed as, after mirrors."""
    return _apply_mirrors(name, directories)[0]


def read_rules(directories: Sequence[PolicyDirectory]) -> list[Rule]:
    """Return every rule that is not hidden, by prefix."""
    rules = [rule for scope in _list_scopes(directories) for rule in _read_scope_rules(scope, directories)]
    return sorted(rules, key=lambda rule: (rule.prefix, rule.path.name))


def _list_scopes(directories: Sequence[PolicyDirectory]) -> set[str]:
    scopes = {ROOT}
    for directory in directories:
        for folder, _, _ in os.walk(directory.path / PREFIX):
            scopes.add(str(Path(folder).relative_to(directory.path)))
    return scopes - {PREFIX}


def read_revocations(directories: Sequence[PolicyDirectory]) -> dict[str, str]:
    """Return why keys are revoked, by fingerprint. No level can take back another's revocation."""
    revocations: dict[str, str] = {}
    for directory in directories:
        for name in _list_directory(directory.path / REVOKED):
            if is_fingerprint(name):
                reason = (_read_text(directory.path / REVOKED / name) or "").strip().split("\n")[0]
                revocations[name] = reason[:200] or "without a reason"
    return revocations


def revocation_reason(key: keys.PublicKey, revocations: Mapping[str, str]) -> str:
    """Return why a key is revoked, "" if it is not: also where it was revoked in another form."""
    from pumice.trust import signers

    return next(
        (revocations[one] for one in sorted(signers.known_fingerprints(key)) if one in revocations), ""
    )


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
        day = datetime.datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=datetime.UTC)
    except ValueError:
        raise UsageError(f"{text[:40]!r} is no day", hint="write it as 2027-12-31") from None
    return max(1, int(day.timestamp()))  # 0 is never


def _read_scope_rules(scope: str, directories: Sequence[PolicyDirectory]) -> Iterator[Rule]:
    """Yield the rules of one folder, over all levels."""
    revocations = read_revocations(directories)
    strongest: dict[str, PolicyDirectory] = {}
    for directory in directories:
        for name in _list_directory(directory.path / scope):
            if is_fingerprint(name):
                strongest[name] = directory
    prefix = "" if scope == ROOT else _decode_prefix(scope)
    for name, directory in sorted(strongest.items()):
        path = directory.path / scope / name
        text = _read_text(path) or ""
        if text.strip():
            description = f"{directory.name} rule for {prefix or 'every name'}"
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
        raise FormatError(f"the trust rule cannot be read: {error.message}", where=str(path)) from None
    if key.fingerprint != path.name:
        raise TrustError(
            "the file's name is not the fingerprint of the key in it",
            where=str(path),
            hint=f"its key is {key.fingerprint}",
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
            raise FormatError("its trusted root is no digest")
        root_path = roots / f"{root_digest}.json"
    identity = keyless.parse_identity(fields["Identity"].strip(), fields.get("Issuer", "").strip(), root_path)
    if identity.root_digest != root_digest:
        raise TrustError("the trusted root does not have the digest it is known by", where=str(root_path))
    return identity


def _read_threshold(scope: str, directories: Sequence[PolicyDirectory]) -> int:
    """Return how many keys a folder asks for, by the strongest level that says so; 0 for none."""
    for directory in reversed(directories):
        path = directory.path / scope / THRESHOLD
        text = _read_text(path)
        if text is None:
            continue
        number = text.strip()
        if not number:
            return 0
        if not (number.isascii() and number.isdigit()) or not 1 <= int(number[:9]) <= _MAX_THRESHOLD:
            raise FormatError("the threshold is not a number from 1 to 100", where=str(path))
        return int(number[:9])
    return 0


def read_thresholds(directories: Sequence[PolicyDirectory]) -> dict[str, int]:
    """Return how many keys must have signed, by the prefix for which a rule says so."""
    thresholds = {scope: _read_threshold(scope, directories) for scope in _list_scopes(directories)}
    return {
        "" if place == ROOT else _decode_prefix(place): count for place, count in thresholds.items() if count
    }


def read_mirrors(directories: Sequence[PolicyDirectory]) -> dict[str, str]:
    """Return what images below a prefix are signed as, by prefix; raises FormatError."""
    targets: dict[str, str] = {}
    for directory in directories:
        for parent, _, names in os.walk(directory.path / MIRROR):
            for name in names:
                path = Path(parent, name).relative_to(directory.path / MIRROR)
                if path.suffix == ".name":
                    prefix = _decode_component(str(path.with_suffix("")))
                    targets[prefix] = _apply_mirrors(f"{prefix}/x:0", directories)[0].removesuffix("/x:0")
    return {prefix: target for prefix, target in sorted(targets.items()) if target != prefix}


def _apply_mirrors(name: str, directories: Sequence[PolicyDirectory]) -> tuple[str, str]:
    """Return the name that an image of a mirror was signed as, and the rule; the longest prefix counts."""
    from pumice.trust.image_names import is_valid, split_name

    plain_name, _ = split_name(name)
    for scope in reversed(_scope_directories(plain_name)):
        path = scope.replace(PREFIX, MIRROR, 1) + ".name"
        for directory in reversed(directories):
            text = _read_text(directory.path / path)
            if text is None:
                continue
            target = text.strip()
            if not target:
                break
            if not is_valid(target) or split_name(target)[1]:
                raise FormatError("the mirror rule holds no name", where=str(directory.path / path))
            prefix = _decode_prefix(scope)
            return target + name[len(prefix) :], f"{directory.name} mirror of {target} at {prefix}"
    return name, ""


def mirror_path(prefix: str) -> str:
    """Return the file below a level that says of what ``prefix`` is a mirror."""
    return prefix_directory(prefix).replace(PREFIX, MIRROR, 1) + ".name"


def _scope_directories(name: str) -> list[str]:
    """Return the folder of each prefix of a name, the shortest first."""
    components = name.split("/") if name else []
    if any(not _encode_component(word).strip(".") for word in components):
        return []
    return [
        "/".join([PREFIX, *map(_encode_component, components[: count + 1])])
        for count in range(len(components))
    ]


def _decode_prefix(scope: str) -> str:
    return "/".join(_decode_component(word) for word in scope.split("/")[1:])


def _encode_component(component: str) -> str:
    """Keep a name's element from being a path, or another one where file names ignore case."""
    plain = "abcdefghijklmnopqrstuvwxyz0123456789._-"
    return "".join(c if c in plain else "".join(f"%{byte:02x}" for byte in c.encode()) for c in component)


def _decode_component(component: str) -> str:
    from urllib.parse import unquote

    return unquote(component)


def _check_prefix(prefix: str) -> str:
    from pumice.trust.image_names import is_valid

    if not is_valid(f"{prefix}:0") or prefix.endswith("/"):
        raise UsageError(f"{prefix[:100]!r} is no prefix of names", hint="write for example example.com/apps")
    return prefix


def is_fingerprint(name: str) -> bool:
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
