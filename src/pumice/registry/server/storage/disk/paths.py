"""Where things are below a registry's root, and the check that no name from outside becomes another path.

``docs/reference/registry-layout.md`` specifies the layout. What HTTP brings was checked before; here it is
checked again, because a mistake there must not become a way out of the root.
"""

from __future__ import annotations

import os
import re
from functools import lru_cache

from pumice.errors import FormatError

LAYOUT = b"pumice registry 1\n"
"""What the file ``layout`` says."""

_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}")
_FILE = re.compile(r"sha256-[a-f0-9]{64}|sha512-[a-f0-9]{128}")
_UPLOAD = re.compile(r"[a-f0-9]{32}")
_LONGEST_NAME = 255

BLOBS, MANIFESTS, TAGS, REFERRERS, UPLOADS = "_blobs", "_manifests", "_tags", "_referrers", "_uploads"
KINDS = (BLOBS, MANIFESTS, TAGS)
"""The folders that every repository with content has. No element of a name starts with ``_``."""

ALGORITHMS = ("sha256", "sha512")


@lru_cache(maxsize=4096)
def repository(name: str) -> str:
    """Return ``name`` if it can be a repository; raises FormatError. Its length is limited to 255."""
    if len(name) <= _LONGEST_NAME and _NAME.fullmatch(name):
        return name
    raise FormatError(f"{name[:100]!r} cannot be the name of a repository")


def tag(text: str) -> str:
    """Return ``text`` if it can be a tag; raises FormatError."""
    if _TAG.fullmatch(text):
        return text
    raise FormatError(f"{text[:100]!r} cannot be a tag")


def file_of(digest: str) -> str:
    """Return the file name for a digest; raises FormatError if it is none."""
    if _DIGEST.fullmatch(digest):
        return digest.replace(":", "-", 1)
    raise FormatError(f"{digest[:100]!r} is no sha256 or sha512 digest")


def digest_of(file: str) -> str | None:
    """Return the digest that a file name stands for, None if it is not one of ours."""
    return file.replace("-", ":", 1) if _FILE.fullmatch(file) else None


def is_digest(text: str) -> bool:
    """Say whether ``text`` is a digest that can be stored."""
    return _DIGEST.fullmatch(text) is not None


def is_upload(text: str) -> bool:
    """Say whether ``text`` has the form of our upload ids: nothing else is ever looked for."""
    return _UPLOAD.fullmatch(text) is not None


def is_tag(text: str) -> bool:
    """Say whether ``text`` can be a tag."""
    return _TAG.fullmatch(text) is not None


def blob(root: str, digest: str) -> str:
    """Return the path of a blob's content; raises FormatError."""
    algorithm, _, hex_digits = file_of(digest).partition("-")
    return os.path.join(root, "blobs", algorithm, hex_digits[:2], hex_digits)


def folder(root: str, name: str, kind: str = "") -> str:
    """Return a repository's folder, or its folder for one kind of thing; raises FormatError."""
    return os.path.join(root, "repositories", repository(name), kind) if kind else _folder(root, name)


def _folder(root: str, name: str) -> str:
    return os.path.join(root, "repositories", repository(name))
