"""What following a script needs to know, and what it finds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from pumice.packing.effects.scope import Value

if TYPE_CHECKING:
    from collections.abc import Sequence


class Action(msgspec.Struct, frozen=True):
    """A command that a script runs, with its arguments.

    ``writes`` are files it is redirected to, ``text`` what it writes if that is known, ``appends``
    whether what was there stays; ``folder`` is where it runs. Actions of one loop share the number
    ``loop``; it is 0 outside of loops.
    """

    words: tuple[Value, ...]
    certain: bool
    writes: tuple[Value, ...] = ()
    folder: Value = "/"
    text: Value = None
    appends: bool = False
    loop: int = 0


class Surroundings(Protocol):
    """What a script can find out about where it runs."""

    def test(self, flag: str, path: str) -> bool | None:
        """Answer ``test -e path`` and its kin."""

    def status(self, words: Sequence[Value]) -> bool | None:
        """Say whether a command succeeds (``getent``, ``dpkg --compare-versions`` …)."""

    def output(self, words: Sequence[str]) -> Value:
        """Return what a command prints."""

    def source(self, path: str) -> bytes | None:
        """Return a file that is read with ``.``; None if its effect cannot be known."""

    def answer(self, question: str) -> Value:
        """Return what debconf answers when nobody was asked."""
