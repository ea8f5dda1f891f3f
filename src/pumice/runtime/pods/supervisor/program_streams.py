"""The standard streams of a program that runs in a pod."""

from __future__ import annotations

import fcntl
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pumice.runtime.pods.supervisor.program_input import ProgramInput
    from pumice.runtime.pods.supervisor.watch import Watch

_OUTPUTS = {1: "stdout", 2: "stderr"}
PIPE_SIZE = 1 << 18
"""How many bytes of output can wait for the supervisor: four times as many as without it."""


class ProgramStreams:
    """Pipes or a terminal for a program, before it is started.

    The streams of this process are used for what ``is_inherited``: all, or the input unless the program
    ``is_interactive`` and in the background. With ``is_terminal``, all streams are a terminal of its own.
    """

    def __init__(self, *, is_inherited: bool, is_interactive: bool, is_terminal: bool) -> None:
        self.readers: dict[int, str] = {}
        """The descriptors on which output arrives, and the names of their streams."""
        self._inner_ends: dict[int, int] = {}
        self._input = -1
        self._is_terminal, self._is_interactive = is_terminal, is_interactive
        if is_inherited:
            return
        if is_terminal:
            outer_end, inner_end = os.openpty()
            self.readers[outer_end] = "stdout"
            self._inner_ends = dict.fromkeys((0, 1, 2), inner_end)
            self._input = os.dup(outer_end)
            return
        for number, stream in _OUTPUTS.items():
            reader, self._inner_ends[number] = os.pipe()
            self.readers[reader] = stream
            try:
                fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, PIPE_SIZE)
            except OSError:  # this user has too many large pipes
                pass
        if is_interactive:
            self._inner_ends[0], self._input = os.pipe()

    def install(self) -> None:
        """Make them the standard streams of this process."""
        for number, descriptor in self._inner_ends.items():
            os.dup2(descriptor, number)

    def close_inner_ends(self) -> None:
        """Close what only the program needs."""
        for descriptor in set(self._inner_ends.values()):
            os.close(descriptor)

    def make_input(
        self, watch: Watch, sandbox: int, *, signals_keys: bool, signals_size: bool
    ) -> ProgramInput | None:
        """Return the input of the program, None if it has none; see `ProgramInput`."""
        if self._input < 0:
            return None
        from pumice.runtime.pods.supervisor.program_input import ProgramInput  # few pods have an input

        return ProgramInput(
            *(self._input, watch, sandbox),
            is_terminal=self._is_terminal,
            is_open=self._is_interactive,
            signals_keys=signals_keys,
            signals_size=signals_size,
        )
