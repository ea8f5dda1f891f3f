"""The paths below a registry's directory, and the check that no client input becomes another path.

``docs/reference/registry-layout.md`` specifies the layout. The server has checked names already; they
are checked again here, so that a mistake there does not lead out of the directory.
"""

from __future__ import annotations

import os
from functools import lru_cache

from pumice.errors import FormatError
from pumice.registry.server import grammar

LAYOUT = b"pumice registry 1\n"
"""The content of the file ``layout``."""

BLOBS, MANIFESTS, TAGS, REFERRERS, UPLOADS = "_blobs", "_manifests", "_tags", "_referrers", "_uploads"
CONTENT_DIRECTORIES = (BLOBS, MANIFESTS, TAGS)
"""The directories of every repository with content. No element of a name starts with ``_``."""


@lru_cache(maxsize=4096)
def check_repository(name: str) -> str:
    """Return ``name`` if it is a valid repository name; raises FormatError."""
    if grammar.is_repository_name(name):
        return name
    raise FormatError(f"{name[:100]!r} is not a valid repository name")


def check_tag(text: str) -> str:
    """Return ``text`` if it is a valid tag; raises FormatError."""
    if is_tag(text):
        return text
    raise FormatError(f"{text[:100]!r} is not a valid tag")


def is_tag(text: str) -> bool:
    """Return whether ``text`` is a valid tag."""
    return grammar.TAG.fullmatch(text) is not None


def is_upload_id(text: str) -> bool:
    """Return whether ``text`` has the form of an upload id."""
    return grammar.UPLOAD_ID.fullmatch(text) is not None


def file_name(digest: str) -> str:
    """Return the file name for a digest; raises FormatError for text that is not a digest."""
    if grammar.DIGEST.fullmatch(digest):
        return digest.replace(":", "-", 1)
    raise FormatError(f"{digest[:100]!r} is not a sha256 or sha512 digest")


def digest_of_file_name(name: str) -> str | None:
    """Return the digest that a file is named after; None for any other file."""
    digest = name.replace("-", ":", 1)
    return digest if ":" not in name and grammar.DIGEST.fullmatch(digest) else None


def content_path(root: str, digest: str) -> str:
    """Return the path of a blob's content; raises FormatError."""
    algorithm, _, hex_digits = file_name(digest).partition("-")
    return os.path.join(root, "blobs", algorithm, hex_digits[:2], hex_digits)


def repository_directory(root: str, name: str, subdirectory: str = "") -> str:
    """Return the directory of a repository, or one of its subdirectories; raises FormatError."""
    if subdirectory:
        return os.path.join(root, "repositories", check_repository(name), subdirectory)
    return os.path.join(root, "repositories", check_repository(name))
