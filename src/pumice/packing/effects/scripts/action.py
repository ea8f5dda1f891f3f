"""A command that a maintainer script runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from pumice.packing.effects.scripts.scope import Value


class ScriptAction(msgspec.Struct, frozen=True):
    """A command with its arguments, as the interpreter found it.

    ``words`` are the fields of the command line, None for a field whose value is unknown.
    ``is_certain`` is false if the command runs only under an unknown condition. ``output_files`` are
    the files that its output is redirected to, ``output_text`` is that output if it is known, and
    ``is_appending`` is true for ``>>``. Actions of one loop have the same ``loop_id``; it is 0
    outside of loops.
    """

    words: tuple[Value, ...]
    is_certain: bool
    output_files: tuple[Value, ...] = ()
    working_directory: Value = "/"
    output_text: Value = None
    is_appending: bool = False
    loop_id: int = 0
