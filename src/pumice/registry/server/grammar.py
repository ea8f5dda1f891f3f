"""The grammar of names, tags, digests and upload ids (distribution-spec 1.1, "Pulling manifests").

Text that matches one of these patterns is safe to use as a file name or as a key of an object store.
"""

from __future__ import annotations

import re

from pumice.formats import image_names

NAME = re.compile(image_names.NAME)
TAG = re.compile(image_names.TAG)
DIGEST = re.compile(r"sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}")
UPLOAD_ID = re.compile(r"[a-f0-9]{32}")

MAX_NAME_LENGTH = image_names.MAX_NAME
"""Characters in the name of a repository: most clients limit host and name together to this length."""

ALGORITHMS = ("sha256", "sha512")
"""The digest algorithms of image-spec 1.1, "Registered algorithms"."""


def is_repository_name(text: str) -> bool:
    """Return whether ``text`` is a valid repository name."""
    return len(text) <= MAX_NAME_LENGTH and NAME.fullmatch(text) is not None


def quote(text: str) -> str:
    """Return client input for use in a message: quoted, printable, and at most 80 characters long."""
    shortened = text if len(text) <= 80 else text[:77] + "..."
    return "'" + "".join(letter if letter.isprintable() else "?" for letter in shortened) + "'"
