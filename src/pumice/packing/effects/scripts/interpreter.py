"""What a maintainer script would do, found out by following it instead of running it.

The script is followed the way a fresh installation takes (``postinst configure ""``). Conditions are
true, false or unknown; of an unknown one both branches are followed, and what they do is marked as
not certain. Values that only a running shell could know are None.
"""

from __future__ import annotations

import fnmatch
import posixpath
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from pumice.errors import FormatError
from pumice.formats import shell
from pumice.packing.effects.scripts import builtin_commands, conditions, redirects
from pumice.packing.effects.scripts.action import ScriptAction
from pumice.packing.effects.scripts.control_flow import Break, Continue, Exit, Flow, Leave, Return
from pumice.packing.effects.scripts.redirects import substituted
from pumice.packing.effects.scripts.scope import Scope, Value, is_literal
from pumice.recipe.lock import FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pumice.packing.effects.scripts.environment import ScriptEnvironment

_MAX_STEPS = 20_000
_MAX_CALLS = 12
_MAX_DEPTH = 80


def interpret_script(
    script: bytes,
    arguments: Sequence[str],
    variables: dict[str, str],
    world: ScriptEnvironment,
    lock_format: int = FORMAT,
) -> tuple[ScriptAction, ...]:
    """Return the actions of ``script`` in order; raises FormatError if it is not understood."""
    run = _Interpreter(world, list(arguments), dict(variables), lock_format)
    try:
        run.sequence(shell.parse_script(script))
    except (Exit, Return, Break, Continue):
        pass
    return tuple(run.actions)


class _Interpreter:
    """One script on its way."""

    def __init__(
        self, world: ScriptEnvironment, arguments: list[str], variables: dict[str, str], lock_format: int
    ) -> None:
        self._world = world
        self._unrolls = lock_format >= 2
        self._flow = Flow(is_scoped=lock_format >= 2)
        self._scope = Scope(arguments, variables, self._output)
        self._functions: dict[str, shell.Command] = {}
        self._folder: Value = "/"
        self._steps = self._depth = self._calls = self._loops = self._loop = 0
        self._input: list[str] | None = None
        self.actions: list[ScriptAction] = []

    # Commands

    def sequence(self, commands: shell.Sequence) -> bool | None:
        status: bool | None = True
        for command in commands:
            status = self._and_or(command)
        return status

    def _and_or(self, command: shell.AndOr) -> bool | None:
        status = self._pipeline(command.first)
        for operator, pipeline in command.rest:
            wanted = operator == "&&"
            if status is None:
                other = self._maybe(partial(self._pipeline, pipeline))
                status = None if other is wanted or other is None else other
            elif status is wanted:
                status = self._pipeline(pipeline)
        return status

    def _pipeline(self, pipeline: shell.Pipeline) -> bool | None:
        status: bool | None = None
        before = self._input
        for command in pipeline.commands:
            status = self._command(command)
            self._input = None  # what comes next reads what this writes
        self._input = before
        return (None if status is None else not status) if pipeline.negated else status

    def _command(self, command: shell.Command) -> bool | None:
        self._steps += 1
        if self._steps > _MAX_STEPS or self._depth > _MAX_DEPTH:
            raise FormatError("the shell script goes on for too long, or too deep")
        self._depth += 1
        try:
            return self._compound(command)
        finally:
            self._depth -= 1

    def _compound(self, command: shell.Command) -> bool | None:
        match command:
            case shell.SimpleCommand():
                return self._simple(command)
            case shell.If():
                return self._if(command, 0)
            case shell.Case():
                return self._case(command)
            case shell.For():
                return self._for(command)
            case shell.Loop():
                with self._reading(command.here_documents), self._inside(Leave.LOOP), self._grouped():
                    return self._loop_on(command)
            case shell.Group():
                with self._reading(command.here_documents):
                    return self._group(command)
            case shell.Redirected():
                return self._redirected(command)
            case shell.FunctionDefinition():
                self._functions[command.name] = command.body
        return True

    def _maybe(self, *branches: Callable[[], bool | None]) -> bool | None:
        """Follow branches of which one may be taken; keep only what all agree about."""
        certain, before = self._flow.is_certain, dict(self._scope.values)
        ends: list[dict[str, Value]] = [before] if len(branches) == 1 else []
        statuses: list[bool | None] = []
        left, unread = Leave.NOTHING, len(self._input or ())
        for branch in branches:
            self._scope.values, self._flow.is_certain = dict(before), False
            try:
                statuses.append(branch())
                ends.append(self._scope.values)
            except Exit as gone:
                if gone.status:  # an installation that fails is none, so nobody goes there
                    left = max(left, gone.leaves)
            except (Return, Break, Continue) as gone:
                left = max(left, gone.leaves)  # the rest happens only if this branch was not taken
        if unread != len(self._input or ()):
            self._input = None  # nobody knows how far it was read
        self._flow.is_certain = certain
        self._flow.may_leave(left)
        names = {name for end in ends for name in end}
        self._scope.values = {
            name: ends[0].get(name) if all(end.get(name) == ends[0].get(name) for end in ends) else None
            for name in names
        }
        return statuses[0] if len(branches) == 1 and statuses else None

    def _if(self, command: shell.If, index: int) -> bool | None:
        if index == len(command.branches):
            return self.sequence(command.else_body)
        condition, body = command.branches[index]
        status = self.sequence(condition)
        if status is None:
            self._maybe(lambda: self.sequence(body), lambda: self._if(command, index + 1))
            return None
        return self.sequence(body) if status else self._if(command, index + 1)

    def _case(self, command: shell.Case) -> bool | None:
        value = self._scope.one(command.word)
        if value is None:
            return self._maybe(*(partial(self.sequence, body) for _, body in command.branches), lambda: True)
        for patterns, body in command.branches:
            for pattern in patterns:
                text = self._scope.one(pattern)
                if text is not None and fnmatch.fnmatchcase(value, text):
                    return self.sequence(body)
        return True

    def _redirected(self, command: shell.Redirected) -> bool | None:
        status = self._command(command.command)
        # what all of the commands print together is not known
        if (writes := redirects.targets(self._scope, command)) and self._unrolls:
            self.actions.append(ScriptAction((":",), self._flow.is_certain, writes, self._folder))
        return status

    def _loop_on(self, command: shell.Loop) -> bool | None:
        """Follow a loop with a condition, line by line if it reads a here-document."""
        while self._unrolls and self._input is not None:
            status = self.sequence(command.condition)
            if status is None:
                break
            if status is command.is_until:
                return True
            try:
                with self._inside(Leave.ITERATION):
                    self.sequence(command.body)
            except Continue:
                continue
            except Break:
                return True
        else:
            self._maybe(lambda: self.sequence(command.condition))
        return self._maybe(lambda: self.sequence(command.body))

    @contextmanager
    def _reading(self, documents: Sequence[shell.Redirect]) -> Iterator[None]:
        """Follow commands whose input is the last of ``documents``, if there is one."""
        if not documents:
            yield
            return
        outer, self._input = self._input, builtin_commands.document_lines(documents)
        try:
            yield
        finally:
            self._input = outer

    def _for(self, command: shell.For) -> bool | None:
        words = self._scope.arguments if command.words is None else self._scope.fields(command.words)
        if self._unrolls and not all(map(is_literal, words)):
            words = [None]  # all of a loop or nothing: the words that are known would be half of it
        status: bool | None = True
        with self._inside(Leave.LOOP), self._grouped():
            for word in words:
                self._scope.values[command.name] = word
                if not is_literal(word):
                    self._scope.values[command.name] = None
                    self._maybe(lambda: self.sequence(command.body))
                    continue
                try:
                    with self._inside(Leave.ITERATION):
                        status = self.sequence(command.body)
                except Continue:
                    continue
                except Break:
                    break
        return None if self._flow.was_left else status

    @contextmanager
    def _inside(self, what: Leave) -> Iterator[None]:
        """Follow a body; what it changed is not known any more if it may have been left early."""
        before = dict(self._scope.values)
        try:
            with self._flow.inside(what):
                yield
        finally:
            if self._flow.was_left:
                self._scope.values = {
                    name: value if name in before and before[name] == value else None
                    for name, value in self._scope.values.items()
                }

    @contextmanager
    def _grouped(self) -> Iterator[None]:
        """Give the actions of an outermost loop a number of their own."""
        outer = self._loop
        if not outer:
            self._loops += 1
            self._loop = self._loops
        try:
            yield
        finally:
            self._loop = outer

    def _group(self, command: shell.Group) -> bool | None:
        if not command.subshell:
            return self.sequence(command.body)
        before, folder = dict(self._scope.values), self._folder
        try:
            with self._flow.inside(Leave.SCRIPT):
                status = self.sequence(command.body)
        except (Return, Exit) as left:
            status = left.status if self._unrolls else None
        finally:
            self._scope.values, self._folder = before, folder
        return None if self._flow.was_left else status

    def _simple(self, command: shell.SimpleCommand) -> bool | None:
        if command.words and self._scope.one(command.words[0]) in _DECLARATIONS:
            return builtin_commands.declare(self._scope, command.words[1:])
        words = self._scope.fields(command.words)
        assigned = {name: self._scope.one(word) for name, word in command.assignments}
        if not words:
            self._scope.values.update(assigned)
            return True if all(value is not None for value in assigned.values()) else None
        name = words[0]
        if name in self._functions:
            return self._call(self._functions[name], words[1:])
        writes = redirects.targets(self._scope, command)
        if name is not None and (built_in := _BUILT_INS.get(name)):
            if writes:
                self._note(words, command, writes)
            return built_in(self, words)
        status = self._world.command_status(words)
        self._note(words, command, writes)
        return status

    def _note(self, words: list[Value], command: shell.SimpleCommand, writes: tuple[Value, ...]) -> None:
        text = redirects.text(words, command) if writes else None
        appends = any(redirect.operator == ">>" for redirect in command.redirects)
        is_certain, loop = self._flow.is_certain, self._loop if self._unrolls else 0
        self.actions.append(ScriptAction(tuple(words), is_certain, writes, self._folder, text, appends, loop))

    def _call(self, body: shell.Command, arguments: list[Value]) -> bool | None:
        if self._calls >= _MAX_CALLS:
            return None
        before, self._scope.arguments = self._scope.arguments, arguments
        self._calls += 1
        try:
            with self._inside(Leave.FUNCTION):
                status = self._command(body)
        except Return as left:
            status = left.status
        finally:
            self._scope.arguments = before
            self._calls -= 1
        return None if self._flow.was_left else status

    # Built-in commands

    def change_folder(self, words: list[Value]) -> bool | None:
        self._folder = builtin_commands.changed_folder(self._folder, words, is_certain=self._flow.is_certain)
        return True

    def source(self, words: list[Value]) -> bool | None:
        path = words[1] if len(words) > 1 else None
        text = None if path is None else self._world.read_sourced_file(path)
        if text is None:
            self._scope.unset_is_empty = False
            return None
        if self._calls >= _MAX_CALLS:
            return None
        self._calls += 1
        try:
            with self._inside(Leave.FUNCTION):
                return self.sequence(shell.parse_script(text))
        except Return as left:
            if not self._unrolls:
                raise
            return left.status
        except FormatError:
            self._scope.unset_is_empty = False
            return None
        finally:
            self._calls -= 1

    def exit(self, words: list[Value]) -> bool | None:
        status = words[1] if len(words) > 1 else "0"
        raise Exit(status in (None, "0"))

    def leave(self, words: list[Value]) -> bool | None:
        status = words[1] if len(words) > 1 else "0"
        raise Return(None if status is None else status == "0")

    def stop(self, _words: list[Value]) -> bool | None:
        raise Break

    def next(self, _words: list[Value]) -> bool | None:
        if self._unrolls:
            raise Continue
        return None

    def test(self, words: list[Value]) -> bool | None:
        return conditions.test(words[1:-1] if words[0] in ("[", "[[") else words[1:], self._file_test)

    def _file_test(self, flag: str, word: str) -> bool | None:
        if word and not word.startswith("/") and flag != "-x":
            if self._folder is None:
                return None
            word = posixpath.join(self._folder, word)
        return self._world.file_test(flag, word)

    def _output(self, command: str) -> Value:
        """Return what ``$(command)`` stands for, if the command is a simple one that is known."""
        if self._calls >= _MAX_CALLS or (simple := substituted(command)) is None:
            return None
        self._calls += 1
        words = self._scope.fields(simple.words)
        self._calls -= 1
        known = [word for word in words if word is not None]
        return self._world.command_output(known) if known and len(known) == len(words) else None


_DECLARATIONS = frozenset(("export", "readonly", "local", "declare"))

_BUILT_INS: dict[str, Callable[[_Interpreter, list[Value]], bool | None]] = {
    ":": lambda _run, _words: True,
    "true": lambda _run, _words: True,
    "false": lambda _run, _words: False,
    "cd": _Interpreter.change_folder,
    "[": _Interpreter.test,
    "[[": _Interpreter.test,
    "test": _Interpreter.test,
    "unset": lambda run, words: builtin_commands.unset(run._scope, words),
    "db_get": lambda run, words: builtin_commands.ask(run._scope, words, run._world.debconf_default),
    "set": lambda run, words: builtin_commands.set_arguments(run._scope, words),
    "shift": lambda run, words: builtin_commands.shift(run._scope, words),
    "read": lambda run, words: builtin_commands.read(run._scope, words, run._input),
    ".": _Interpreter.source,
    "source": _Interpreter.source,
    "exit": _Interpreter.exit,
    "return": _Interpreter.leave,
    "break": _Interpreter.stop,
    "continue": _Interpreter.next,
}
