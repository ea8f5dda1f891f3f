"""References to images in a registry: ``HOST[:PORT]/NAME[:TAG][@DIGEST]``.

The grammar is that of distribution-spec 1.1 ("Pulling manifests") and of distribution's reference
package; a name without a host belongs to Docker Hub, as in skopeo's ``docker://``.
"""

from __future__ import annotations

import re
from ipaddress import IPv6Address

import msgspec

from pumice.errors import UsageError
from pumice.formats import image_names

DOCKER_HUB = "docker.io"
SCHEME = "docker://"
DEFAULT_TAG = "latest"

_DOCKER_HUB_API = "registry-1.docker.io"
_DOCKER_HUB_NAMES = frozenset({DOCKER_HUB, f"index.{DOCKER_HUB}", _DOCKER_HUB_API})
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{{1,5}}))?", re.ASCII)
_NAME = re.compile(image_names.NAME)
_TAG = re.compile(image_names.TAG)
_ATTACHMENT_TAG = re.compile(r"sha(?:256-[0-9a-f]{64}|512-[0-9a-f]{64,128})(?:\.[a-z]+)?")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")


class Repository(msgspec.Struct, frozen=True, order=True):
    """A repository in a registry: ``host`` with its port, ``name`` without slashes at the ends."""

    host: str
    name: str

    def __str__(self) -> str:
        return f"{self.host}/{self.name}"

    def with_tag(self, tag: str) -> Reference:
        """Return the reference of a tag in this repository; raises UsageError if the tag is malformed."""
        return Reference(self, validate_tag(tag))

    def with_digest(self, digest: str) -> Reference:
        """Return the reference of a digest in this repository; raises UsageError if it is malformed."""
        return Reference(self, digest=validate_digest(digest))


class Reference(msgspec.Struct, frozen=True, order=True):
    """An image in a registry, with a tag, a digest or both; the digest takes precedence."""

    repository: Repository
    tag: str = ""
    digest: str = ""

    @property
    def identifier(self) -> str:
        """The digest if there is one, otherwise the tag: what the URL of the manifest ends with."""
        return self.digest or self.tag

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.repository}{tag}{digest}"


def parse_reference(text: str, *, default_tag: str = DEFAULT_TAG) -> Reference:
    """Parse a reference, with or without ``docker://``; raises UsageError.

    ``default_tag`` is used if the text has neither tag nor digest.
    """
    name_and_tag, at_sign, digest = text.removeprefix(SCHEME).partition("@")
    if at_sign:
        validate_digest(digest)
    if is_registry_host(name_and_tag):  # the port is not a tag
        raise _no_repository(name_and_tag)
    name, colon, tag_text = name_and_tag.rpartition(":")
    if not colon or "/" in tag_text:
        name, colon, tag_text = name_and_tag, "", ""
    if colon:
        validate_tag(tag_text)
    repository = parse_repository(name)
    return Reference(repository, tag_text or ("" if digest else validate_tag(default_tag)), digest)


def parse_repository(text: str) -> Repository:
    """Parse ``HOST[:PORT]/NAME``, with or without ``docker://``; raises UsageError."""
    text = text.removeprefix(SCHEME)
    if is_registry_host(text.rstrip("/")):
        raise _no_repository(text.rstrip("/"))
    first, slash, remainder = text.partition("/")
    if slash and (first == "localhost" or first != first.lower() or any(mark in first for mark in ".:[")):
        host, name = normalize_host(first), remainder
    else:
        host, name = DOCKER_HUB, text
    if host == DOCKER_HUB and "/" not in name:
        name = f"library/{name}"
    if len(host) + len(name) >= image_names.MAX_NAME:
        raise UsageError(
            f"the name {text[:40]}... is too long",
            hint="host and name together may have up to 255 characters",
        )
    if _NAME.fullmatch(name) is None:
        raise UsageError(f"invalid repository name {text[:100]!r}", hint=_name_hint(text, name)[:200])
    return Repository(host, name)


def _name_hint(text: str, name: str) -> str:
    """Return what to write instead of the malformed ``name`` of the repository in ``text``."""
    host = text.removesuffix(name) if text.endswith(name) else ""
    before, colon, after = name.rpartition(":")
    if colon and "/" in after and _NAME.fullmatch(before):
        return f"a tag has no slash: write {host}{before}:TAG"
    bare_name = name.partition("@")[0]
    if colon or bare_name != name:
        return f"write the repository without tag and digest: {host}{bare_name.partition(':')[0]}"
    if name != name.lower() and _NAME.fullmatch(name.lower()):
        return f"names are in lower case: write {host}{name.lower()}"
    return "expected HOST/NAME, where NAME has lowercase letters and digits, separated by . _ - or /"


def has_registry_host(text: str) -> bool:
    """Return whether a reference begins with the host of a registry and a slash.

    A host has a dot or a port, or is ``localhost``: distribution's reference package.
    """
    host, slash, _ = text.partition("/")
    return bool(slash) and (host == "localhost" or any(mark in host for mark in ".:[")) and is_host(host)


def is_registry_host(text: str) -> bool:
    """Return whether ``text`` is the host of a registry without a repository: ``localhost:5000``."""
    if "/" in text or not is_host(text):
        return False
    host = text.partition(":")[0]
    return text.startswith("[") or host == "localhost" or "." in host


def is_host(text: str) -> bool:
    """Return whether ``text`` is ``HOST[:PORT]``."""
    match = _HOST.fullmatch(text)
    return match is not None and 0 < int(match["port"] or 1) < 65536 and _is_address(text)


def _no_repository(host: str) -> UsageError:
    return UsageError(f"{host[:100]!r} names no repository", hint=f"write {host[:100]}/NAME[:TAG]")


def normalize_host(text: str) -> str:
    """Return the canonical name of a host (Docker Hub has three); raises UsageError if it is malformed."""
    if not is_host(text):
        raise UsageError(f"invalid registry host {text[:100]!r}", hint="expected HOST or HOST:PORT")
    return DOCKER_HUB if text.lower() in _DOCKER_HUB_NAMES else text


def _is_address(text: str) -> bool:
    """Return whether text in brackets, if there is any, is an IPv6 address."""
    if not text.startswith("["):
        return True
    try:
        IPv6Address(text[1 : text.index("]")])
    except ValueError:
        return False
    return True


def validate_tag(text: str) -> str:
    """Return ``text`` if it is a valid tag; raises UsageError otherwise."""
    if _TAG.fullmatch(text):
        return text
    raise UsageError(
        f"invalid tag {text[:140]!r}",
        hint="a tag has up to 128 letters, digits and . _ - and does not begin with . or -",
    )


def validate_digest(text: str) -> str:
    """Return ``text`` if it is a valid sha256 or sha512 digest; raises UsageError otherwise."""
    if _DIGEST.fullmatch(text):
        return text
    raise UsageError(
        f"invalid digest {text[:150]!r}",
        hint="expected sha256: and 64, or sha512: and 128 lowercase hex digits",
    )


def is_digest(text: str) -> bool:
    """Return whether ``text`` is a valid sha256 or sha512 digest."""
    return _DIGEST.fullmatch(text) is not None


def api_host(host: str) -> str:
    """Return the host and port of the registry API of ``host``."""
    return _DOCKER_HUB_API if host == DOCKER_HUB else host


def fallback_tag(digest: str) -> str:
    """Return the tag that lists the referrers of ``digest`` in a registry without the referrers API.

    Distribution-spec 1.1, "Referrers Tag Schema": the algorithm is truncated to 32 characters, the hex
    digits to 64.
    """
    algorithm, _, digits = digest.partition(":")
    return re.sub(r"[^A-Za-z0-9._-]", "-", f"{algorithm[:32]}-{digits[:64]}")


def is_attachment_tag(tag: str) -> bool:
    """Return whether a tag is for attachments of an image, such as ``sha256-<hex>.sig``."""
    return _ATTACHMENT_TAG.fullmatch(tag) is not None
