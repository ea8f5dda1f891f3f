"""The state of a script while it is interpreted."""

from __future__ import annotations

import posixpath
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pumice.packing.effects.scripts import builtin_commands, host_directories, redirects
from pumice.packing.effects.scripts.action import ScriptAction
from pumice.packing.effects.scripts.control_flow import ControlFlow, ExitLevel
from pumice.packing.effects.scripts.scope import Scope, Value, literal_value

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pumice.formats import shelltree
    from pumice.packing.effects.scripts.environment import ScriptEnvironment


class ScriptState:
    """Variables, working directory, input, control flow and recorded actions of one script.

    ``input_lines`` are the unread lines of a here-document, None if the input is unknown.
    """

    def __init__(
        self,
        environment: ScriptEnvironment,
        arguments: list[str],
        variables: dict[str, str],
        substitute_command: Callable[[str], Value],
        lock_format: int,
    ) -> None:
        self.environment = environment
        self.is_format_2 = lock_format >= 2
        self.control_flow = ControlFlow(is_scoped=lock_format >= 2)
        self.scope = Scope(arguments, variables, substitute_command)
        self.working_directory: Value = "/"
        self._loop_count = self._loop_id = 0
        self.input_lines: list[str] | None = None
        self.actions: list[ScriptAction] = []

    @contextmanager
    def redirect_input(self, documents: Sequence[shelltree.Redirect]) -> Iterator[None]:
        """Use the last of ``documents`` as the input of commands, if there is one."""
        if not documents:
            yield
            return
        outer_input, self.input_lines = self.input_lines, builtin_commands.here_document_lines(documents)
        try:
            yield
        finally:
            self.input_lines = outer_input

    @contextmanager
    def enter_body(self, level: ExitLevel) -> Iterator[None]:
        """Enter a body; values that it changed become unknown if it may be left early."""
        values_before = dict(self.scope.values)
        try:
            with self.control_flow.enter(level):
                yield
        finally:
            if self.control_flow.may_have_exited:
                self.scope.values = {
                    name: value if name in values_before and values_before[name] == value else None
                    for name, value in self.scope.values.items()
                }

    @contextmanager
    def number_loop(self) -> Iterator[None]:
        """Give the actions of an outermost loop a new loop id."""
        outer_loop_id = self._loop_id
        if not outer_loop_id:
            self._loop_count += 1
            self._loop_id = self._loop_count
        try:
            yield
        finally:
            self._loop_id = outer_loop_id

    def record_action(
        self, words: list[Value], command: shelltree.SimpleCommand, output_files: tuple[Value, ...]
    ) -> None:
        """Append a command to `actions`."""
        output_text = redirects.output_text(words, command) if output_files else None
        is_appending = any(redirect.operator == ">>" for redirect in command.redirects)
        if not host_directories.may_name_host(words):
            words = [literal_value(word) for word in words]
        is_certain, loop_id = self.control_flow.is_certain, self._loop_id if self.is_format_2 else 0
        self.actions.append(
            ScriptAction(
                tuple(words),
                is_certain,
                output_files,
                self.working_directory,
                output_text,
                is_appending,
                loop_id,
            )
        )

    def change_directory(self, words: list[Value]) -> bool | None:
        """Interpret ``cd``."""
        self.working_directory = builtin_commands.change_directory(
            self.working_directory, words, is_certain=self.control_flow.is_certain
        )
        return True

    def file_test(self, flag: str, word: str) -> bool | None:
        """Return the result of a file test, relative to the working directory."""
        if word and not word.startswith("/") and flag != "-x":
            if self.working_directory is None:
                return None
            word = posixpath.join(self.working_directory, word)
        return self.environment.file_test(flag, word)
