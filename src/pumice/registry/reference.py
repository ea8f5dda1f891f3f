"""How an image in a registry is named: ``HOST[:PORT]/NAME[:TAG][@DIGEST]``.

The grammar is the one that distribution-spec 1.1 ("Pulling manifests") and the tools around it share;
names without a host are Docker Hub's, as for skopeo's ``docker://``.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address

import msgspec

from pumice.errors import UsageError

HUB = "docker.io"
SCHEME = "docker://"
DEFAULT_TAG = "latest"

_HUB_API = "registry-1.docker.io"
_HUB_NAMES = frozenset({HUB, f"index.{HUB}", _HUB_API})
_LONGEST = 255
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{{1,5}}))?", re.ASCII)
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_BESIDE = re.compile(r"sha(?:256-[0-9a-f]{64}|512-[0-9a-f]{64,128})(?:\.[a-z]+)?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


class Repository(msgspec.Struct, frozen=True, order=True):
    """A repository of a registry: ``host`` with its port, ``name`` without slashes at the ends."""

    host: str
    name: str

    def __str__(self) -> str:
        return f"{self.host}/{self.name}"

    def tagged(self, tag: str) -> Reference:
        """Return the reference of a tag in this repository; raises UsageError if it cannot be one."""
        return Reference(self, check_tag(tag))

    def at(self, digest: str) -> Reference:
        """Return the reference of a digest in this repository; raises UsageError if it is none."""
        return Reference(self, digest=check_digest(digest))


class Reference(msgspec.Struct, frozen=True, order=True):
    """An image in a registry; at least one of ``tag`` and ``digest`` is not empty, and a digest decides."""

    repository: Repository
    tag: str = ""
    digest: str = ""

    @property
    def asked(self) -> str:
        """What a registry is asked for: the digest, else the tag."""
        return self.digest or self.tag

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"


def parse(text: str, *, tag: str = DEFAULT_TAG) -> Reference:
    """Read a reference, with or without ``docker://``; raises UsageError.

    ``tag`` is what is meant where neither tag nor digest is given.
    """
    rest, at, digest = text.removeprefix(SCHEME).partition("@")
    if at:
        check_digest(digest)
    name, colon, given = rest.rpartition(":")
    if not colon or "/" in given:
        name, colon, given = rest, "", ""
    if colon:
        check_tag(given)
    repository = parse_repository(name)
    return Reference(repository, given or ("" if digest else check_tag(tag)), digest)


def parse_repository(text: str) -> Repository:
    """Read ``HOST[:PORT]/NAME``, with or without ``docker://``; raises UsageError."""
    text = text.removeprefix(SCHEME)
    first, slash, rest = text.partition("/")
    if slash and (first == "localhost" or first != first.lower() or any(mark in first for mark in ".:[")):
        host, name = check_host(first), rest
    else:
        host, name = HUB, text
    if host == HUB and "/" not in name:
        name = f"library/{name}"
    if len(host) + len(name) >= _LONGEST:
        raise UsageError(
            f"the name {text[:40]}... is too long", hint="host and name have 255 characters together"
        )
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            f"{text[:100]!r} is not the name of a repository",
            hint="expected HOST/NAME, where NAME has lower-case letters, digits, and . _ - between them",
        )
    return Repository(host, name)


def check_host(text: str) -> str:
    """Return the host as it is known (Docker Hub has three names); raises UsageError if it is none."""
    found = _HOST.fullmatch(text)
    if found is None or not 0 < int(found["port"] or 1) < 65536 or not _is_address(text):
        raise UsageError(f"{text[:100]!r} is not the host of a registry", hint="expected HOST or HOST:PORT")
    return HUB if text.lower() in _HUB_NAMES else text


def _is_address(text: str) -> bool:
    """Whether what stands in brackets, if something does, is an IPv6 address."""
    if not text.startswith("["):
        return True
    try:
        IPv6Address(text[1 : text.index("]")])
    except ValueError:
        return False
    return True


def check_tag(text: str) -> str:
    """Return ``text`` if it is a tag; raises UsageError otherwise."""
    if _TAG.fullmatch(text):
        return text
    raise UsageError(
        f"{text[:140]!r} is no tag",
        hint="tags are up to 128 letters, digits and . _ -, and begin with none of . -",
    )


def check_digest(text: str) -> str:
    """Return ``text`` if it is a sha256 or sha512 digest; raises UsageError otherwise."""
    if _DIGEST.fullmatch(text):
        return text
    raise UsageError(
        f"{text[:150]!r} is no digest",
        hint="expected sha256: and 64, or sha512: and 128 lower-case hex digits",
    )


def is_digest(text: str) -> bool:
    """Say whether ``text`` is a digest that can be checked here."""
    return _DIGEST.fullmatch(text) is not None


def api_host(host: str) -> str:
    """Return the host and port that answers for ``host``."""
    return _HUB_API if host == HUB else host


def fallback_tag(digest: str) -> str:
    """Return the tag under which referrers of ``digest`` are listed where there is no referrers API.

    Distribution-spec 1.1, "Referrers Tag Schema": the algorithm is cut to 32 characters, the hex digits
    to 64.
    """
    algorithm, _, digits = digest.partition(":")
    return re.sub(r"[^A-Za-z0-9._-]", "-", f"{algorithm[:32]}-{digits[:64]}")


def is_beside(tag: str) -> bool:
    """Say whether a tag holds what belongs to an image, and is no version of one: ``sha256-<hex>.sig``."""
    return _BESIDE.fullmatch(tag) is not None
