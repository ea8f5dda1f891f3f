"""What a maintainer script would do, found out by following it instead of running it.

The script is followed the way a fresh installation takes (``postinst configure ""``). Conditions are
true, false or unknown; of an unknown one both branches are followed, and what they do is marked as
not certain. Values that only a running shell could know are None.
"""

from __future__ import annotations

import fnmatch
import posixpath
from functools import partial
from typing import TYPE_CHECKING

from pumice.errors import FormatError
from pumice.formats import shell
from pumice.formats.shellwords import Part, Word
from pumice.image.effects import conditions
from pumice.image.effects.action import Action
from pumice.image.effects.scope import Scope, Value

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.image.effects.action import Surroundings

_MAX_STEPS = 20_000
_MAX_CALLS = 12
_MAX_DEPTH = 80


def follow(
    script: bytes, arguments: Sequence[str], variables: dict[str, str], world: Surroundings
) -> tuple[Action, ...]:
    """Return the actions of ``script`` in order; raises FormatError if it is not understood."""
    run = _Run(world, list(arguments), dict(variables))
    try:
        run.sequence(shell.parse(script))
    except (_Exit, _Return, _Break):
        pass
    return tuple(run.actions)


class _Exit(Exception):  # noqa: N818 - leaves the script, is no error
    def __init__(self, *, failed: bool = False) -> None:
        super().__init__()
        self.failed = failed


class _Return(Exception):  # noqa: N818 - leaves the function, is no error
    def __init__(self, status: bool | None) -> None:
        super().__init__()
        self.status = status


class _Break(Exception):  # noqa: N818 - leaves the loop, is no error
    pass


class _Run:
    """One script on its way."""

    def __init__(self, world: Surroundings, arguments: list[str], variables: dict[str, str]) -> None:
        self._world = world
        self._scope = Scope(arguments, variables, self._output)
        self._functions: dict[str, shell.Command] = {}
        self._folder: Value = "/"
        self._certain = True
        self._steps = 0
        self._depth = 0
        self._calls = 0
        self.actions: list[Action] = []

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
        for command in pipeline.commands:
            status = self._command(command)
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
            case shell.Simple():
                return self._simple(command)
            case shell.If():
                return self._if(command, 0)
            case shell.Case():
                return self._case(command)
            case shell.For():
                return self._for(command)
            case shell.Loop():
                self._maybe(lambda: self.sequence(command.condition))
                return self._maybe(lambda: self.sequence(command.body))
            case shell.Group():
                return self._group(command)
            case shell.Function():
                self._functions[command.name] = command.body
                return True

    def _maybe(self, *branches: Callable[[], bool | None]) -> bool | None:
        """Follow branches of which one may be taken; keep only what all agree about."""
        certain, before = self._certain, dict(self._scope.values)
        ends: list[dict[str, Value]] = [before] if len(branches) == 1 else []
        statuses: list[bool | None] = []
        left = False
        for branch in branches:
            self._scope.values, self._certain = dict(before), False
            try:
                statuses.append(branch())
                ends.append(self._scope.values)
            except _Exit as gone:
                left = left or not gone.failed  # an installation that fails is none, so nobody goes there
            except (_Return, _Break):
                left = True  # the rest happens only if this branch was not taken
        self._certain = certain and not left
        names = {name for end in ends for name in end}
        self._scope.values = {
            name: ends[0].get(name) if all(end.get(name) == ends[0].get(name) for end in ends) else None
            for name in names
        }
        return statuses[0] if len(branches) == 1 and statuses else None

    def _if(self, command: shell.If, index: int) -> bool | None:
        if index == len(command.arms):
            return self.sequence(command.otherwise)
        condition, body = command.arms[index]
        status = self.sequence(condition)
        if status is None:
            self._maybe(lambda: self.sequence(body), lambda: self._if(command, index + 1))
            return None
        return self.sequence(body) if status else self._if(command, index + 1)

    def _case(self, command: shell.Case) -> bool | None:
        value = self._scope.one(command.word)
        if value is None:
            return self._maybe(*(partial(self.sequence, body) for _, body in command.arms), lambda: True)
        for patterns, body in command.arms:
            for pattern in patterns:
                text = self._scope.one(pattern)
                if text is not None and fnmatch.fnmatchcase(value, text):
                    return self.sequence(body)
        return True

    def _for(self, command: shell.For) -> bool | None:
        words = self._scope.arguments if command.words is None else self._scope.fields(command.words)
        status: bool | None = True
        for word in words:
            self._scope.values[command.name] = word
            if word is None or any(char in word for char in "*?["):
                self._scope.values[command.name] = None
                self._maybe(lambda: self.sequence(command.body))
                continue
            try:
                status = self.sequence(command.body)
            except _Break:
                break
        return status

    def _group(self, command: shell.Group) -> bool | None:
        if not command.subshell:
            return self.sequence(command.body)
        before, folder = dict(self._scope.values), self._folder
        try:
            return self.sequence(command.body)
        except (_Exit, _Return):
            return None
        finally:
            self._scope.values, self._folder = before, folder

    def _simple(self, command: shell.Simple) -> bool | None:
        if command.words and self._scope.one(command.words[0]) in _DECLARATIONS:
            return self._declare(command.words[1:])
        words = self._scope.fields(command.words)
        assigned = {name: self._scope.one(word) for name, word in command.assignments}
        if not words:
            self._scope.values.update(assigned)
            return True if all(value is not None for value in assigned.values()) else None
        name = words[0]
        if name in self._functions:
            return self._call(self._functions[name], words[1:])
        writes = self._writes(command)
        if name is not None and (built_in := _BUILT_INS.get(name)):
            if writes:
                self._note(words, command, writes)
            return built_in(self, words)
        status = self._world.status(words)
        self._note(words, command, writes)
        return status

    def _note(self, words: list[Value], command: shell.Simple, writes: tuple[Value, ...]) -> None:
        text = self._text(words, command) if writes else None
        appends = any(redirect.operator == ">>" for redirect in command.redirects)
        self.actions.append(Action(tuple(words), self._certain, writes, self._folder, text, appends))

    def _text(self, words: list[Value], command: shell.Simple) -> Value:
        """Return what a command writes, as far as that is plain."""
        known = [word for word in words if word is not None]
        if len(known) != len(words):
            return None
        if known in ([":"], ["true"]):
            return ""
        if known[0] == "echo" and not any("\\" in word for word in known):
            return " ".join(known[2:]) if known[1:2] == ["-n"] else " ".join(known[1:]) + "\n"
        documents = [redirect.target for redirect in command.redirects if redirect.operator.startswith("<<")]
        if known == ["cat"] and len(documents) == 1:
            part = documents[0][0] if documents[0] else Part("text", "")
            return part.text if part.kind == "text" else None
        return None

    def _writes(self, command: shell.Simple) -> tuple[Value, ...]:
        targets = (
            self._scope.one(redirect.target)
            for redirect in command.redirects
            if redirect.operator in (">", ">>", ">|") and redirect.descriptor in ("", "1")
        )
        return tuple(path for path in targets if path != "/dev/null")

    def _call(self, body: shell.Command, arguments: list[Value]) -> bool | None:
        if self._calls >= _MAX_CALLS:
            return None
        before, self._scope.arguments = self._scope.arguments, arguments
        self._calls += 1
        try:
            return self._command(body)
        except _Return as left:
            return left.status
        finally:
            self._scope.arguments = before
            self._calls -= 1

    # Built-in commands

    def _declare(self, words: Sequence[Word]) -> bool | None:
        for word in words:
            if not word or word[0].kind != "text" or "=" not in word[0].text:
                continue
            name, _, start = word[0].text.partition("=")
            self._scope.values[name] = self._scope.one((Part("text", start, quoted=True), *word[1:]))
        return True

    def ask(self, words: list[Value]) -> bool | None:
        """``db_get``: the answer is the question's default, for nobody was asked."""
        question = words[1] if len(words) > 1 else None
        answer = None if question is None else self._world.answer(question)
        self._scope.values["RET"] = answer
        return None if answer is None else True

    def change_folder(self, words: list[Value]) -> bool | None:
        target = words[1] if len(words) > 1 else None
        if target is None or not self._certain or target.startswith("-"):
            self._folder = None
        elif target.startswith("/") or self._folder is not None:
            self._folder = posixpath.normpath(posixpath.join(self._folder or "/", target))
        return True

    def unset(self, words: list[Value]) -> bool | None:
        for word in words[1:]:
            self._scope.values.pop(word or "", None)
        return True

    def set(self, words: list[Value]) -> bool | None:
        if "--" in words:
            self._scope.arguments = words[words.index("--") + 1 :]
        return True

    def shift(self, words: list[Value]) -> bool | None:
        count = words[1] if len(words) > 1 else "1"
        del self._scope.arguments[: int(count) if count and count.isdecimal() and len(count) < 5 else 1]
        return True

    def read(self, words: list[Value]) -> bool | None:
        for word in words[1:]:
            if word and not word.startswith("-"):
                self._scope.values[word] = None
        return None

    def source(self, words: list[Value]) -> bool | None:
        path = words[1] if len(words) > 1 else None
        text = None if path is None else self._world.source(path)
        if text is None:
            self._scope.unset_is_empty = False
            return None
        if self._calls >= _MAX_CALLS:
            return None
        self._calls += 1
        try:
            return self.sequence(shell.parse(text))
        except FormatError:
            self._scope.unset_is_empty = False
            return None
        finally:
            self._calls -= 1

    def exit(self, words: list[Value]) -> bool | None:
        status = words[1] if len(words) > 1 else "0"
        raise _Exit(failed=status not in (None, "0"))

    def leave(self, words: list[Value]) -> bool | None:
        status = words[1] if len(words) > 1 else "0"
        raise _Return(None if status is None else status == "0")

    def stop(self, _words: list[Value]) -> bool | None:
        raise _Break

    def test(self, words: list[Value]) -> bool | None:
        return conditions.test(words[1:-1] if words[0] in ("[", "[[") else words[1:], self._file_test)

    def _file_test(self, flag: str, word: str) -> bool | None:
        if word and not word.startswith("/") and flag != "-x":
            if self._folder is None:
                return None
            word = posixpath.join(self._folder, word)
        return self._world.test(flag, word)

    def _output(self, command: str) -> Value:
        """Return what ``$(command)`` stands for, if the command is a simple one that is known."""
        if command.startswith("$") or self._calls >= _MAX_CALLS:
            return None
        try:
            parsed = shell.parse(command.encode("utf-8", "replace"))
        except FormatError:
            return None
        if len(parsed) != 1 or parsed[0].rest or len(parsed[0].first.commands) != 1:
            return None
        simple = parsed[0].first.commands[0]
        if not isinstance(simple, shell.Simple) or simple.assignments:
            return None
        self._calls += 1
        words = self._scope.fields(simple.words)
        self._calls -= 1
        known = [word for word in words if word is not None]
        return self._world.output(known) if known and len(known) == len(words) else None


_DECLARATIONS = frozenset(("export", "readonly", "local", "declare"))

_BUILT_INS: dict[str, Callable[[_Run, list[Value]], bool | None]] = {
    ":": lambda _run, _words: True,
    "true": lambda _run, _words: True,
    "false": lambda _run, _words: False,
    "cd": _Run.change_folder,
    "[": _Run.test,
    "[[": _Run.test,
    "test": _Run.test,
    "unset": _Run.unset,
    "db_get": _Run.ask,
    "set": _Run.set,
    "shift": _Run.shift,
    "read": _Run.read,
    ".": _Run.source,
    "source": _Run.source,
    "exit": _Run.exit,
    "return": _Run.leave,
    "break": _Run.stop,
    "continue": lambda _run, _words: None,
}
