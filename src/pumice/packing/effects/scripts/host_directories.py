"""Directories named after the machine, such as ``/var/lib/varnish/$(uname -n)``.

An image has no name of a machine, so only the parent directory is created, with the owner and mode that
the script gives to the directory: a server that is not root can then create its own.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from pumice.packing.effects.scripts.scope import HOST_NAME

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.packing.effects.overlay_tree import OverlayTree
    from pumice.packing.effects.scripts.scope import Value

_CREATING = frozenset(("mkdir", "install"))
_CHANGING = frozenset(("chown", "chgrp", "chmod"))
_PRINTING = frozenset(
    [("hostname",), ("uname", "-n"), ("uname", "--nodename")]
    + [("hostname", option) for option in ("-s", "-f", "--short", "--fqdn", "--long")]
)


def prints_host_name(words: Sequence[str]) -> bool:
    """Whether a command prints the name of the machine."""
    return tuple(words) in _PRINTING


def may_name_host(words: Sequence[Value]) -> bool:
    """Whether the command can work on directories named after the machine."""
    return bool(words) and posixpath.basename(words[0] or "") in _CREATING | _CHANGING


def names_host(words: Sequence[Value]) -> bool:
    """Whether a word contains the name of the machine."""
    return any(HOST_NAME in (word or "") for word in words)


class HostDirectories:
    """The parent directories that scripts created for directories named after the machine."""

    def __init__(self, overlay: OverlayTree) -> None:
        self._overlay = overlay
        self._parents: set[str] = set()

    def replace_words(self, words: Sequence[Value]) -> list[Value] | None:
        """Return a command with parent directories in place of directories named after the machine.

        Return None if an operand is not such a directory, or if its parent existed before: a package
        shares it with others.
        """
        creates = posixpath.basename(words[0] or "") in _CREATING
        if creates and words[0] != "mkdir" and not any(_is_directory_option(word) for word in words):
            return None
        replaced: list[Value] = []
        for word in words:
            if word is None or HOST_NAME not in word:
                replaced.append(word)
                continue
            parent = posixpath.dirname(word)
            is_new = parent in self._parents or (creates and not self._overlay.exists(parent))
            if HOST_NAME in parent or not parent.startswith("/") or not is_new:
                return None
            if creates:
                self._parents.add(parent)
            replaced.append(parent)
        return replaced


def _is_directory_option(word: Value) -> bool:
    if word is None or not word.startswith("-"):
        return False
    return word == "--directory" or ("d" in word and not word.startswith("--"))
