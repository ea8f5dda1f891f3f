"""Interprets a maintainer script to find the commands that it would run.

The script is interpreted as in a fresh installation (``postinst configure ""``). A condition is true,
false or unknown; if it is unknown, both branches are interpreted and their actions marked as uncertain.
A value that only a running shell could compute is None.
"""

from __future__ import annotations

import fnmatch
from functools import partial
from typing import TYPE_CHECKING

from pumice.errors import FormatError
from pumice.formats import shell, shelltree
from pumice.packing.effects.scripts import builtin_commands, conditions, redirects, text_filters
from pumice.packing.effects.scripts.action import ScriptAction
from pumice.packing.effects.scripts.control_flow import (
    ExitLevel,
    FunctionReturn,
    LoopBreak,
    LoopContinue,
    ScriptExit,
)
from pumice.packing.effects.scripts.redirects import parse_substituted_pipeline
from pumice.packing.effects.scripts.scope import Value, is_literal_word, literal_value
from pumice.packing.effects.scripts.state import ScriptState
from pumice.recipe.lock import FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.packing.effects.scripts.environment import ScriptEnvironment

_MAX_STEPS = 20_000
_MAX_CALLS = 12
_MAX_DEPTH = 80


def interpret_script(
    script: bytes,
    arguments: Sequence[str],
    variables: dict[str, str],
    environment: ScriptEnvironment,
    lock_format: int = FORMAT,
) -> tuple[ScriptAction, ...]:
    """Return the actions of ``script`` in order; raise FormatError if it cannot be parsed or is too long."""
    interpreter = _Interpreter(environment, list(arguments), dict(variables), lock_format)
    try:
        interpreter.run_sequence(shell.parse_script(script))
    except (ScriptExit, FunctionReturn, LoopBreak, LoopContinue):
        pass
    return tuple(interpreter.actions)


class _Interpreter(ScriptState):
    """Interprets one script; methods return the exit status, true for success, None if it is unknown."""

    def __init__(
        self,
        environment: ScriptEnvironment,
        arguments: list[str],
        variables: dict[str, str],
        lock_format: int,
    ) -> None:
        super().__init__(environment, arguments, variables, self._substitute_command, lock_format)
        self._functions: dict[str, shelltree.Command] = {}
        self._step_count = self._nesting_depth = self._call_depth = 0

    # Commands

    def run_sequence(self, commands: shelltree.Sequence) -> bool | None:
        status: bool | None = True
        for command in commands:
            status = self._run_and_or(command)
        return status

    def _run_and_or(self, command: shelltree.AndOr) -> bool | None:
        status = self._run_pipeline(command.first)
        for operator, pipeline in command.operations:
            runs_on_success = operator == "&&"
            if status is None:
                branch_status = self._run_branches(partial(self._run_pipeline, pipeline))
                status = None if branch_status is runs_on_success or branch_status is None else branch_status
            elif status is runs_on_success:
                status = self._run_pipeline(pipeline)
        return status

    def _run_pipeline(self, pipeline: shelltree.Pipeline) -> bool | None:
        status: bool | None = None
        outer_input = self.input_lines
        for command in pipeline.commands:
            status = self._run_command(command)
            self.input_lines = None  # the next command reads the output of this one
        self.input_lines = outer_input
        return (None if status is None else not status) if pipeline.negated else status

    def _run_command(self, command: shelltree.Command) -> bool | None:
        self._step_count += 1
        if self._step_count > _MAX_STEPS or self._nesting_depth > _MAX_DEPTH:
            raise FormatError("the shell script is too long or nested too deeply")
        self._nesting_depth += 1
        try:
            return self._run_compound(command)
        finally:
            self._nesting_depth -= 1

    def _run_compound(self, command: shelltree.Command) -> bool | None:
        match command:
            case shelltree.SimpleCommand():
                return self._run_simple_command(command)
            case shelltree.If():
                return self._run_if(command, 0)
            case shelltree.Case():
                return self._run_case(command)
            case shelltree.For():
                return self._run_for(command)
            case shelltree.Loop():
                with (
                    self.redirect_input(command.here_documents),
                    self.enter_body(ExitLevel.LOOP),
                    self.number_loop(),
                ):
                    return self._run_loop(command)
            case shelltree.Group():
                with self.redirect_input(command.here_documents):
                    return self._group(command)
            case shelltree.Redirected():
                return self._run_redirected(command)
            case shelltree.FunctionDefinition():
                self._functions[command.name] = command.body
        return True

    def _run_branches(self, *branches: Callable[[], bool | None]) -> bool | None:
        """Interpret branches of which one may be taken; keep the values on which all of them agree."""
        was_certain, values_before = self.control_flow.is_certain, dict(self.scope.values)
        final_values: list[dict[str, Value]] = [values_before] if len(branches) == 1 else []
        statuses: list[bool | None] = []
        exit_level, unread_lines = ExitLevel.NOTHING, len(self.input_lines or ())
        for branch in branches:
            self.scope.values, self.control_flow.is_certain = dict(values_before), False
            try:
                statuses.append(branch())
                final_values.append(self.scope.values)
            except ScriptExit as exit_:
                if exit_.status:  # a branch that fails the installation is never taken
                    exit_level = max(exit_level, exit_.level)
            except (FunctionReturn, LoopBreak, LoopContinue) as exit_:
                exit_level = max(exit_level, exit_.level)  # the rest runs only if this branch is not taken
        if unread_lines != len(self.input_lines or ()):
            self.input_lines = None  # the number of lines that were read is unknown
        self.control_flow.is_certain = was_certain
        self.control_flow.record_possible_exit(exit_level)
        names = {name for end in final_values for name in end}
        self.scope.values = {
            name: final_values[0].get(name)
            if all(end.get(name) == final_values[0].get(name) for end in final_values)
            else None
            for name in names
        }
        return statuses[0] if len(branches) == 1 and statuses else None

    def _run_if(self, command: shelltree.If, index: int) -> bool | None:
        if index == len(command.branches):
            return self.run_sequence(command.else_body)
        condition, body = command.branches[index]
        status = self.run_sequence(condition)
        if status is None:
            self._run_branches(lambda: self.run_sequence(body), lambda: self._run_if(command, index + 1))
            return None
        return self.run_sequence(body) if status else self._run_if(command, index + 1)

    def _run_case(self, command: shelltree.Case) -> bool | None:
        value = literal_value(self.scope.expand_word(command.word))
        if value is None:
            return self._run_branches(
                *(partial(self.run_sequence, body) for _, body in command.branches), lambda: True
            )
        for patterns, body in command.branches:
            for pattern in patterns:
                text = self.scope.expand_word(pattern)
                if text is not None and fnmatch.fnmatchcase(value, text):
                    return self.run_sequence(body)
        return True

    def _run_redirected(self, command: shelltree.Redirected) -> bool | None:
        status = self._run_command(command.command)
        # the combined output of the commands is unknown
        if (output_files := redirects.output_files(self.scope, command)) and self.is_format_2:
            self.actions.append(
                ScriptAction((":",), self.control_flow.is_certain, output_files, self.working_directory)
            )
        return status

    def _run_loop(self, command: shelltree.Loop) -> bool | None:
        """Interpret a loop with a condition, once for each line if it reads a here-document."""
        while self.is_format_2 and self.input_lines is not None:
            status = self.run_sequence(command.condition)
            if status is None:
                break
            if status is command.is_until:
                return True
            try:
                with self.enter_body(ExitLevel.ITERATION):
                    self.run_sequence(command.body)
            except LoopContinue:
                continue
            except LoopBreak:
                return True
        else:
            self._run_branches(lambda: self.run_sequence(command.condition))
        return self._run_branches(lambda: self.run_sequence(command.body))

    def _run_for(self, command: shelltree.For) -> bool | None:
        words = self.scope.arguments if command.words is None else self.scope.expand_fields(command.words)
        if self.is_format_2 and not all(map(is_literal_word, words)):
            words = [None]  # a loop is carried out completely or not at all
        status: bool | None = True
        with self.enter_body(ExitLevel.LOOP), self.number_loop():
            for word in words:
                self.scope.values[command.name] = word
                if not is_literal_word(word):
                    self.scope.values[command.name] = None
                    self._run_branches(lambda: self.run_sequence(command.body))
                    continue
                try:
                    with self.enter_body(ExitLevel.ITERATION):
                        status = self.run_sequence(command.body)
                except LoopContinue:
                    continue
                except LoopBreak:
                    break
        return None if self.control_flow.may_have_exited else status

    def _group(self, command: shelltree.Group) -> bool | None:
        if not command.subshell:
            return self.run_sequence(command.body)
        values_before, directory_before = dict(self.scope.values), self.working_directory
        try:
            with self.control_flow.enter(ExitLevel.SCRIPT):
                status = self.run_sequence(command.body)
        except (FunctionReturn, ScriptExit) as exit_:
            status = exit_.status if self.is_format_2 else None
        finally:
            self.scope.values, self.working_directory = values_before, directory_before
        return None if self.control_flow.may_have_exited else status

    def _run_simple_command(self, command: shelltree.SimpleCommand) -> bool | None:
        if command.words and self.scope.expand_word(command.words[0]) in _DECLARATIONS:
            return builtin_commands.declare_variables(self.scope, command.words[1:])
        words = self.scope.expand_fields(command.words)
        assignments = {name: self.scope.expand_word(word) for name, word in command.assignments}
        if not words:
            self.scope.values.update(assignments)
            return True if all(value is not None for value in assignments.values()) else None
        name = words[0]
        if name in self._functions:
            return self._call_function(self._functions[name], words[1:])
        output_files = redirects.output_files(self.scope, command)
        if name is not None and (built_in := _BUILT_IN_COMMANDS.get(name)):
            if output_files:
                self.record_action(words, command, output_files)
            return built_in(self, words)
        status = self.environment.command_status(words)
        self.record_action(words, command, output_files)
        return status

    def _call_function(self, body: shelltree.Command, arguments: list[Value]) -> bool | None:
        if self._call_depth >= _MAX_CALLS:
            return None
        outer_arguments, self.scope.arguments = self.scope.arguments, arguments
        self._call_depth += 1
        try:
            with self.enter_body(ExitLevel.FUNCTION):
                status = self._run_command(body)
        except FunctionReturn as return_:
            status = return_.status
        finally:
            self.scope.arguments = outer_arguments
            self._call_depth -= 1
        return None if self.control_flow.may_have_exited else status

    # Built-in commands

    def source(self, words: list[Value]) -> bool | None:
        path = words[1] if len(words) > 1 else None
        text = None if path is None else self.environment.read_sourced_file(path)
        if text is None:
            self.scope.unset_is_empty = False
            return None
        if self._call_depth >= _MAX_CALLS:
            return None
        self._call_depth += 1
        try:
            with self.enter_body(ExitLevel.FUNCTION):
                return self.run_sequence(shell.parse_script(text))
        except FunctionReturn as return_:
            if not self.is_format_2:
                raise
            return return_.status
        except FormatError:
            self.scope.unset_is_empty = False
            return None
        finally:
            self._call_depth -= 1

    def exit_script(self, words: list[Value]) -> bool | None:
        status = words[1] if len(words) > 1 else "0"
        raise ScriptExit(status in (None, "0"))

    def return_from_function(self, words: list[Value]) -> bool | None:
        status = words[1] if len(words) > 1 else "0"
        raise FunctionReturn(None if status is None else status == "0")

    def break_loop(self, _words: list[Value]) -> bool | None:
        raise LoopBreak

    def continue_loop(self, _words: list[Value]) -> bool | None:
        if self.is_format_2:
            raise LoopContinue
        return None

    def run_test(self, words: list[Value]) -> bool | None:
        return conditions.evaluate_test(words[1:-1] if words[0] in ("[", "[[") else words[1:], self.file_test)

    def _substitute_command(self, command: str) -> Value:
        """Return the output of ``$(command)``, if it is a simple command with known words, and filters."""
        pipeline = parse_substituted_pipeline(command) if self._call_depth < _MAX_CALLS else ()
        if not pipeline or (len(pipeline) > 1 and not self.is_format_2):
            return None
        output: Value = None
        for index, simple in enumerate(pipeline):
            self._call_depth += 1
            words = self.scope.expand_fields(simple.words)
            self._call_depth -= 1
            literal_words = [word for word in words if word is not None]
            if not literal_words or len(literal_words) != len(words):
                return None
            if index:
                output = text_filters.filter_text(literal_words, output)
            else:
                output = self.environment.command_output(literal_words)
        return output


_DECLARATIONS = frozenset(("export", "readonly", "local", "declare"))

_BUILT_IN_COMMANDS: dict[str, Callable[[_Interpreter, list[Value]], bool | None]] = {
    ":": lambda _script, _words: True,
    "true": lambda _script, _words: True,
    "false": lambda _script, _words: False,
    "cd": _Interpreter.change_directory,
    "[": _Interpreter.run_test,
    "[[": _Interpreter.run_test,
    "test": _Interpreter.run_test,
    "unset": lambda script, words: builtin_commands.unset_variables(script.scope, words),
    "db_get": lambda script, words: builtin_commands.read_debconf_answer(
        script.scope, words, script.environment.debconf_default
    ),
    "set": lambda script, words: builtin_commands.set_arguments(script.scope, words),
    "shift": lambda script, words: builtin_commands.shift_arguments(script.scope, words),
    "read": lambda script, words: builtin_commands.read_line(script.scope, words, script.input_lines),
    ".": _Interpreter.source,
    "source": _Interpreter.source,
    "exit": _Interpreter.exit_script,
    "return": _Interpreter.return_from_function,
    "break": _Interpreter.break_loop,
    "continue": _Interpreter.continue_loop,
}
