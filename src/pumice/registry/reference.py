"""How an image in a registry is named: ``HOST[:PORT]/NAME[:TAG][@DIGEST]``.

The grammar is the one that distribution-spec 1.1 ("Pulling manifests") and the tools around it share;
names without a host are Docker Hub's, as for skopeo's ``docker://``.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address

import msgspec

from pumice.errors import UsageError

DOCKER_HUB = "docker.io"
SCHEME = "docker://"
DEFAULT_TAG = "latest"

_DOCKER_HUB_API = "registry-1.docker.io"
_DOCKER_HUB_NAMES = frozenset({DOCKER_HUB, f"index.{DOCKER_HUB}", _DOCKER_HUB_API})
_MAX_LENGTH = 255
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{{1,5}}))?", re.ASCII)
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_NAME = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_ATTACHMENT_TAG = re.compile(r"sha(?:256-[0-9a-f]{64}|512-[0-9a-f]{64,128})(?:\.[a-z]+)?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


class Repository(msgspec.Struct, frozen=True, order=True):
    """A repository of a registry: ``host`` with its port, ``name`` without slashes at the ends."""

    host: str
    name: str

    def __str__(self) -> str:
        return f"{self.host}/{self.name}"

    def with_tag(self, tag: str) -> Reference:
        """Return the reference of a tag in this repository; raises UsageError if it cannot be one."""
        return Reference(self, validate_tag(tag))

    def with_digest(self, digest: str) -> Reference:
        """Return the reference of a digest in this repository; raises UsageError if it is none."""
        return Reference(self, digest=validate_digest(digest))


class Reference(msgspec.Struct, frozen=True, order=True):
    """An image in a registry; at least one of ``tag`` and ``digest`` is not empty, and a digest decides."""

    repository: Repository
    tag: str = ""
    digest: str = ""

    @property
    def identifier(self) -> str:
        """What a registry is asked for: the digest, else the tag."""
        return self.digest or self.tag

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"


def parse_reference(text: str, *, default_tag: str = DEFAULT_TAG) -> Reference:
    """Read a reference, with or without ``docker://``; raises UsageError.

    ``tag`` is what is meant where neither tag nor digest is given.
    """
    name_and_tag, at_sign, digest = text.removeprefix(SCHEME).partition("@")
    if at_sign:
        validate_digest(digest)
    name, colon, tag_text = name_and_tag.rpartition(":")
    if not colon or "/" in tag_text:
        name, colon, tag_text = name_and_tag, "", ""
    if colon:
        validate_tag(tag_text)
    repository = parse_repository(name)
    return Reference(repository, tag_text or ("" if digest else validate_tag(default_tag)), digest)


def parse_repository(text: str) -> Repository:
    """Read ``HOST[:PORT]/NAME``, with or without ``docker://``; raises UsageError."""
    text = text.removeprefix(SCHEME)
    first, slash, remainder = text.partition("/")
    if slash and (first == "localhost" or first != first.lower() or any(mark in first for mark in ".:[")):
        host, name = normalize_host(first), remainder
    else:
        host, name = DOCKER_HUB, text
    if host == DOCKER_HUB and "/" not in name:
        name = f"library/{name}"
    if len(host) + len(name) >= _MAX_LENGTH:
        raise UsageError(
            f"the name {text[:40]}... is too long", hint="host and name have 255 characters together"
        )
    if _NAME.fullmatch(name) is None:
        raise UsageError(
            f"{text[:100]!r} is not the name of a repository",
            hint="expected HOST/NAME, where NAME has lower-case letters, digits, and . _ - between them",
        )
    return Repository(host, name)


def normalize_host(text: str) -> str:
    """Return the host as it is known (Docker Hub has three names); raises UsageError if it is none."""
    match = _HOST.fullmatch(text)
    if match is None or not 0 < int(match["port"] or 1) < 65536 or not _is_address(text):
        raise UsageError(f"{text[:100]!r} is not the host of a registry", hint="expected HOST or HOST:PORT")
    return DOCKER_HUB if text.lower() in _DOCKER_HUB_NAMES else text


def _is_address(text: str) -> bool:
    """Whether what stands in brackets, if something does, is an IPv6 address."""
    if not text.startswith("["):
        return True
    try:
        IPv6Address(text[1 : text.index("]")])
    except ValueError:
        return False
    return True


def validate_tag(text: str) -> str:
    """Return ``text`` if it is a tag; raises UsageError otherwise."""
    if _TAG.fullmatch(text):
        return text
    raise UsageError(
        f"{text[:140]!r} is no tag",
        hint="tags are up to 128 letters, digits and . _ -, and begin with none of . -",
    )


def validate_digest(text: str) -> str:
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
    return _DOCKER_HUB_API if host == DOCKER_HUB else host


def fallback_tag(digest: str) -> str:
    """Return the tag under which referrers of ``digest`` are listed where there is no referrers API.

    Distribution-spec 1.1, "Referrers Tag Schema": the algorithm is cut to 32 characters, the hex digits
    to 64.
    """
    algorithm, _, digits = digest.partition(":")
    return re.sub(r"[^A-Za-z0-9._-]", "-", f"{algorithm[:32]}-{digits[:64]}")


def is_attachment_tag(tag: str) -> bool:
    """Say whether a tag holds what belongs to an image, and is no version of one: ``sha256-<hex>.sig``."""
    return _ATTACHMENT_TAG.fullmatch(tag) is not None
