"""The modes of ``--progress``, and the display of each."""

from __future__ import annotations

import os
import sys

from pumice.cli.display.streams import is_terminal, unwrap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import TextIO

    from pumice.cli.display.presenters import Quiet

PROGRESS_MODES = ("auto", "plain", "json", "none")


def make_progress(mode: str = "auto", stream: TextIO | None = None) -> Quiet:
    """Return the progress display for ``mode``, one of `PROGRESS_MODES`.

    ``auto`` is a live display on a terminal and plain lines elsewhere. Raises UsageError for an
    unknown mode.
    """
    from pumice.cli.display import presenters

    stream = unwrap(sys.stderr if stream is None else stream)
    if mode == "auto":
        mode = "live" if is_terminal(stream) and os.environ.get("TERM") != "dumb" else "plain"
    if mode == "none":
        return presenters.Quiet(stream)
    if mode == "json":
        return presenters.JsonLines(stream)
    if mode == "plain":
        return presenters.Plain(stream)
    if mode == "live":
        return presenters.Live(stream)
    from pumice.errors import UsageError

    raise UsageError(f"there is no progress mode '{mode}'", hint=f"use one of {', '.join(PROGRESS_MODES)}")
