"""The rules for the values in a lock, which people and merges edit."""

from __future__ import annotations

import re

from pumice.recipe import arguments

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.recipe.lock import Ids, Lock, LockedIndex, LockedPackage

_NAME = re.compile("[a-z0-9][a-z0-9+.-]{0,127}")
_OMITTABLE = re.compile(f"{_NAME.pattern}(?:>{_NAME.pattern})?")
_VERSION = re.compile("[A-Za-z0-9][A-Za-z0-9.+:~-]{0,255}")
_ARCHITECTURE = re.compile("[a-z0-9]+(-[a-z0-9]+)*")
_ARCHIVE = re.compile("[A-Za-z0-9][A-Za-z0-9.+~_-]*(/[A-Za-z0-9][A-Za-z0-9.+~_-]*)*")
_SUITE = re.compile(rf"{_ARCHIVE.pattern}/?|/")
_POOL_PATH = re.compile(r"(?!\.\.?(/|$))[A-Za-z0-9.+~_:%@=,-]+(/(?!\.\.?(/|$))[A-Za-z0-9.+~_:%@=,-]+)*")
_LOCAL_PATH = re.compile(r"(\.\./)*(?!\.\.?(/|$))[^/\x00-\x1f\x7f]+(/(?!\.\.?(/|$))[^/\x00-\x1f\x7f]+)*")
_HEX_64 = re.compile("[0-9a-f]{64}")
_HEX_128 = re.compile("[0-9a-f]{128}")
_DIGEST = re.compile("sha256:[0-9a-f]{64}")
_FINGERPRINT = re.compile("[0-9A-F]{40,64}")
_ACCOUNT = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?")
_INVALID_ID = (1 << 32) - 1
_FREE_TEXT = re.compile(r"[^\x00-\x1f\x7f]{0,256}")

_Finding = tuple[str, "LockedPackage | LockedIndex | None"]


def find_problems(lock: Lock) -> Iterator[_Finding]:
    """Yield what is wrong in a lock: a message, and the package or index that it is about."""
    if lock.lock < 1 or lock.format < 1:
        yield "the lock's 'lock' and 'format' are numbers from 1", None
    if not _DIGEST.fullmatch(lock.requirements):
        yield "the lock's 'requirements' is not a sha256 digest", None
    if lock.slices and not _DIGEST.fullmatch(lock.slices):
        yield "the lock's 'slices' is not a sha256 digest", None
    for index in lock.indexes:
        yield from _index_problems(index)
    yield from _list_problems(lock)
    yield from _omission_problems(lock)
    yield from _id_problems(lock.ids)
    for name in lock.args:
        if not re.fullmatch(arguments.NAME, name):
            yield f"{name[:80]!r} is not an argument's name", None


def _list_problems(lock: Lock) -> Iterator[_Finding]:
    for architecture, packages in lock.packages.items():
        if not _ARCHITECTURE.fullmatch(architecture):
            yield f"{architecture[:80]!r} is not an architecture", None
        keys: set[tuple[str, str]] = set()
        for package in packages:
            key = package.name, package.architecture
            if key in keys:
                yield f"duplicate package {package.name!r} for {architecture}", package
            keys.add(key)
            yield from _package_problems(package)


def _omission_problems(lock: Lock) -> Iterator[_Finding]:
    for key, pattern, names in (
        ("omittable", _OMITTABLE, lock.omittable),
        ("without", _NAME, lock.without),
        ("omitted", _NAME, lock.omitted),
    ):
        for name in (name for items in names.values() for name in items):
            if not pattern.fullmatch(name):
                yield f"{name[:80]!r} in {key!r} is not a package's name", None


_PACKAGE_RULES = (
    ("name", _NAME, "a package's name"),
    ("version", _VERSION, "a version"),
    ("architecture", _ARCHITECTURE, "an architecture"),
    ("sha256", _HEX_64, "64 lower-case hexadecimal digits"),
)
_PACKAGE_OPTIONS = (
    ("source", _NAME, "a package's name"),
    ("source_version", _VERSION, "a version"),
    ("sha512", _HEX_128, "128 lower-case hexadecimal digits"),
)
_MIRROR_RULES = (
    ("archive", _ARCHIVE, "an archive's name"),
    ("suite", _SUITE, "a suite"),
    ("path", _POOL_PATH, "a clean path in a mirror"),
)
_LOCAL_RULES = (("path", _LOCAL_PATH, "a clean relative path"),)


def _package_problems(package: LockedPackage) -> Iterator[_Finding]:
    rules = _PACKAGE_RULES + (_LOCAL_RULES if package.role == "local" else _MIRROR_RULES)
    for key, pattern, noun in rules:
        text = getattr(package, key)
        if not pattern.fullmatch(text):
            yield f"the {key} {text[:80]!r} of {package.name[:80]!r} is not {noun}", package
    for key, pattern, noun in _PACKAGE_OPTIONS:
        text = getattr(package, key)
        if text and not pattern.fullmatch(text):
            yield f"the {key} {text[:80]!r} of {package.name[:80]!r} is not {noun}", package
    if not 0 < package.size < 1 << 40:
        yield f"the size {package.size} of {package.name[:80]!r} is out of range", package


def _index_problems(index: LockedIndex) -> Iterator[_Finding]:
    label = f"{index.archive[:80]}/{index.suite[:80]}"
    if not (_ARCHIVE.fullmatch(index.archive) and _SUITE.fullmatch(index.suite)):
        yield f"the index {label!r} has an invalid 'archive' or 'suite'", index
    if not (_FREE_TEXT.fullmatch(index.codename) and _FREE_TEXT.fullmatch(index.origin)):
        yield f"the index {label!r} has an invalid 'codename' or 'origin'", index
    if any(text and not _DIGEST.fullmatch(text) for text in (index.digest, index.keyring)):
        yield f"the 'digest' or 'keyring' of the index {label!r} is not a sha256 digest", index
    if not (0 <= index.date < 1 << 40 and 0 <= index.valid_until < 1 << 40):
        yield f"the index {label!r} has an invalid 'date' or 'valid_until'", index
    if not all(_FINGERPRINT.fullmatch(signer) for signer in index.signers):
        yield f"the 'signers' of the index {label!r} are not fingerprints", index


def _id_problems(ids: Ids) -> Iterator[_Finding]:
    for kind, ids_by_name in (("user", ids.users), ("group", ids.groups)):
        for name, number in ids_by_name.items():
            if not _ACCOUNT.fullmatch(name):
                yield f"{name[:80]!r} is not a {kind}'s name", None
            if not 0 < number < _INVALID_ID:
                yield f"the {kind} {name[:80]!r} has an invalid id", None
        if len(set(ids_by_name.values())) < len(ids_by_name):
            yield f"two {kind}s of the lock have the same id", None
