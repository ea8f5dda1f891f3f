"""The names of slices, such as ``openssl_bins``, and of the files that define them."""

from __future__ import annotations

import re

PACKAGE = r"[a-z0-9](?:-?[.a-z0-9+])+"
SLICE = r"[a-z](?:-?[a-z0-9]){2,}"

_FULL_NAME = re.compile(rf"({PACKAGE})_({SLICE})")
_FILE_NAME = re.compile(rf"({PACKAGE})\.yaml")
_SLICE_NAME = re.compile(SLICE)
_ARCHIVE_PATH = re.compile(r"(?!\.)[^\s/?#%\\\x00-\x20\x7f]+(?:/(?!\.)[^\s/?#%\\\x00-\x20\x7f]+)*")
_MAX_LENGTH = 256


def is_full_name(text: str) -> bool:
    """Whether a text has the form ``PACKAGE_SLICE``."""
    return len(text) <= _MAX_LENGTH and _FULL_NAME.fullmatch(text) is not None


def is_slice_name(text: str) -> bool:
    """Whether a text can be the name of a slice, without its package."""
    return len(text) <= _MAX_LENGTH and _SLICE_NAME.fullmatch(text) is not None


def package_of_file(name: str) -> str:
    """Return the package that a file of this name defines slices for, empty for an invalid name."""
    match = _FILE_NAME.fullmatch(name) if len(name) <= _MAX_LENGTH else None
    return match[1] if match else ""


def is_archive_path(text: str) -> bool:
    """Whether a text can be the name of a suite or a component, which is part of a URL."""
    return len(text) <= _MAX_LENGTH and _ARCHIVE_PATH.fullmatch(text) is not None
