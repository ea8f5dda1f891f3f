"""What a maintainer script would do, found out by following it instead of running it.

The script is followed the way a fresh installation takes (``postinst configure ""``). Conditions are
true, false or unknown; of an unknown one both branches are followed, and what they do is marked as
not certain. Values that only a running shell could know are None.
"""

from __future__ import annotations

import fnmatch
import posixpath
from typing import TYPE_CHECKING, Protocol

import msgspec

from pumice.errors import FormatError
from pumice.formats import shell

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Value = str | None
"""A word's text, or None where it cannot be known."""

_MAX_STEPS = 20_000
_MAX_CALLS = 12


class Action(msgspec.Struct, frozen=True):
    """A command that a script runs, with its arguments.

    ``writes`` are files it is redirected to, ``text`` what it writes if that is known, ``appends``
    whether what was there stays; ``folder`` is where it runs.
    """

    words: tuple[Value, ...]
    certain: bool
    writes: tuple[Value, ...] = ()
    folder: Value = "/"
    text: Value = None
    appends: bool = False


class World(Protocol):
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


def follow(
    script: bytes, arguments: Sequence[str], variables: dict[str, str], world: World
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


class _Return(Exception):  # noqa: N818
    def __init__(self, status: bool | None) -> None:
        super().__init__()
        self.status = status


class _Break(Exception):  # noqa: N818
    pass


class _Run:
    """One script on its way."""

    def __init__(self, world: World, arguments: list[str], variables: dict[str, str]) -> None:
        self._world = world
        self._arguments: list[Value] = list(arguments)
        self._variables: dict[str, Value] = dict(variables)
        self._functions: dict[str, shell.Command] = {}
        self._unset_is_empty = True
        self._folder: Value = "/"
        self._certain = True
        self._steps = 0
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
                other = self._maybe(lambda pipeline=pipeline: self._pipeline(pipeline))  # type: ignore[misc]
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
        if self._steps > _MAX_STEPS:
            raise _Exit
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
        certain, before = self._certain, dict(self._variables)
        ends: list[dict[str, Value]] = [before] if len(branches) == 1 else []
        statuses: list[bool | None] = []
        left = False
        for branch in branches:
            self._variables, self._certain = dict(before), False
            try:
                statuses.append(branch())
                ends.append(self._variables)
            except _Exit as gone:
                left = left or not gone.failed  # an installation that fails is none, so nobody goes there
            except (_Return, _Break):
                left = True  # the rest happens only if this branch was not taken
        self._certain = certain and not left
        names = {name for end in ends for name in end}
        self._variables = {
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
        value = self._one(command.word)
        if value is None:
            bodies = [body for _, body in command.arms]
            return self._maybe(*(lambda body=body: self.sequence(body) for body in bodies), lambda: True)  # type: ignore[misc]
        for patterns, body in command.arms:
            for pattern in patterns:
                text = self._one(pattern)
                if text is not None and fnmatch.fnmatchcase(value, text):
                    return self.sequence(body)
        return True

    def _for(self, command: shell.For) -> bool | None:
        words = self._arguments if command.words is None else self._fields(command.words)
        status: bool | None = True
        for word in words:
            self._variables[command.name] = word
            if word is None or any(char in word for char in "*?["):
                self._variables[command.name] = None
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
        before, folder = dict(self._variables), self._folder
        try:
            return self.sequence(command.body)
        except (_Exit, _Return):
            return None
        finally:
            self._variables, self._folder = before, folder

    def _simple(self, command: shell.Simple) -> bool | None:
        if command.words and self._one(command.words[0]) in _DECLARATIONS:
            return self._declare(command.words[1:])
        words = self._fields(command.words)
        assigned = {name: self._one(word) for name, word in command.assignments}
        if not words:
            self._variables.update(assigned)
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
            part = documents[0][0] if documents[0] else shell.Part("text", "")
            return part.text if part.kind == "text" else None
        return None

    def _writes(self, command: shell.Simple) -> tuple[Value, ...]:
        targets = (
            self._one(redirect.target)
            for redirect in command.redirects
            if redirect.operator in (">", ">>", ">|") and redirect.descriptor in ("", "1")
        )
        return tuple(path for path in targets if path != "/dev/null")

    def _call(self, body: shell.Command, arguments: list[Value]) -> bool | None:
        if self._calls >= _MAX_CALLS:
            return None
        before, self._arguments = self._arguments, arguments
        self._calls += 1
        try:
            return self._command(body)
        except _Return as left:
            return left.status
        finally:
            self._arguments = before
            self._calls -= 1

    # Built-in commands

    def _declare(self, words: Sequence[shell.Word]) -> bool | None:
        for word in words:
            if not word or word[0].kind != "text" or "=" not in word[0].text:
                continue
            name, _, start = word[0].text.partition("=")
            self._variables[name] = self._one((shell.Part("text", start, quoted=True), *word[1:]))
        return True

    def ask(self, words: list[Value]) -> bool | None:
        """``db_get``: the answer is the question's default, for nobody was asked."""
        question = words[1] if len(words) > 1 else None
        answer = None if question is None else self._world.answer(question)
        self._variables["RET"] = answer
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
            self._variables.pop(word or "", None)
        return True

    def set(self, words: list[Value]) -> bool | None:
        if "--" in words:
            self._arguments = words[words.index("--") + 1 :]
        return True

    def shift(self, words: list[Value]) -> bool | None:
        count = words[1] if len(words) > 1 else "1"
        del self._arguments[: int(count) if count and count.isdecimal() else 1]
        return True

    def read(self, words: list[Value]) -> bool | None:
        for word in words[1:]:
            if word and not word.startswith("-"):
                self._variables[word] = None
        return None

    def source(self, words: list[Value]) -> bool | None:
        path = words[1] if len(words) > 1 else None
        text = None if path is None else self._world.source(path)
        if text is None:
            self._unset_is_empty = False
            return None
        if self._calls >= _MAX_CALLS:
            return None
        self._calls += 1
        try:
            return self.sequence(shell.parse(text))
        except FormatError:
            self._unset_is_empty = False
            return None
        finally:
            self._calls -= 1

    def exit(self, words: list[Value]) -> bool | None:
        status = words[1] if len(words) > 1 else "0"
        raise _Exit(failed=status not in (None, "0"))

    def leave(self, words: list[Value]) -> bool | None:
        status = words[1] if len(words) > 1 else "0"
        raise _Return(None if status is None else status == "0")

    def stop(self, words: list[Value]) -> bool | None:
        raise _Break

    def test(self, words: list[Value]) -> bool | None:
        arguments = words[1:-1] if words[0] in ("[", "[[") else words[1:]
        return self._test(arguments)

    def _test(self, words: list[Value]) -> bool | None:
        for joint in ("-o", "-a"):
            if joint in words and len(words) > 3:
                at = words.index(joint)
                sides = {self._test(words[:at]), self._test(words[at + 1 :])}
                decided = joint == "-o"
                return decided if decided in sides else (None if None in sides else not decided)
        if words and words[0] == "!" and len(words) > 1:
            status = self._test(words[1:])
            return None if status is None else not status
        if len(words) == 1:
            return None if words[0] is None else words[0] != ""
        if len(words) == 2:
            return self._unary(words[0], words[1])
        return _binary(*words) if len(words) == 3 else len(words) > 0 and None

    def _unary(self, flag: Value, word: Value) -> bool | None:
        if flag is None or word is None:
            return None
        if flag in ("-n", "-z"):
            return (word != "") is (flag == "-n")
        if word and not word.startswith("/") and flag != "-x":
            if self._folder is None:
                return None
            word = posixpath.join(self._folder, word)
        return self._world.test(flag, word)

    # Words

    def _fields(self, words: Sequence[shell.Word]) -> list[Value]:
        return [field for word in words for field in self._expand(word)]

    def _one(self, word: shell.Word) -> Value:
        """Return a word as one text, not split: as in assignments and patterns."""
        pieces = [part.text if part.kind == "text" else self._value(part) for part in word]
        return None if None in pieces else "".join(piece for piece in pieces if piece is not None)

    def _expand(self, word: shell.Word) -> list[Value]:
        fields: list[Value] = []
        current: Value = ""
        started = False
        for part in word:
            if part.kind == "text":
                current = None if current is None else current + part.text
                started = started or bool(part.text) or part.quoted
                continue
            if part.text in ("@", "*") and part.kind == "parameter" and not part.operator:
                if part.text == "@" or not part.quoted:
                    fields += self._arguments
                    started = current != ""
                    continue
            value = self._value(part)
            if value is None or part.quoted:
                current = None if value is None or current is None else current + value
                started = True
                continue
            pieces = value.split()
            if not pieces:
                continue
            for piece in pieces[:-1]:
                fields.append(None if current is None else current + piece)
                current = ""
            current = None if current is None else current + pieces[-1]
            started = True
        return [*fields, current] if started else fields

    def _value(self, part: shell.Part) -> Value:
        if part.kind == "unknown":
            return self._output(part.text)
        known, value = self._parameter(part.text)
        if not part.operator:
            return value if known else ("" if self._unset_is_empty else None)
        if part.operator in ("-", ":-", "=", ":="):
            if known and value is None:
                return None
            if not known and not self._unset_is_empty:
                return None
            if known and (value or part.operator in ("-", "=")):
                return value
            value = self._one(part.operand)
            if part.operator in ("=", ":="):
                self._variables[part.text] = value
            return value
        if part.operator in ("+", ":+") and (known or self._unset_is_empty):
            return (
                self._one(part.operand)
                if known and value
                else ("" if value is not None or not known else None)
            )
        if part.operator in ("%", "%%", "#", "##"):
            return _trimmed(value if known else None, part.operator, self._one(part.operand))
        return value if known else None

    def _output(self, command: str) -> Value:
        """Return what ``$(command)`` stands for, if the command is a simple one that is known."""
        try:
            parsed = shell.parse(command.encode()) if not command.startswith("$") else ()
        except FormatError:
            return None
        if len(parsed) != 1 or parsed[0].rest or len(parsed[0].first.commands) != 1:
            return None
        simple = parsed[0].first.commands[0]
        if not isinstance(simple, shell.Simple) or simple.assignments:
            return None
        words = self._fields(simple.words)
        known = [word for word in words if word is not None]
        return self._world.output(known) if known and len(known) == len(words) else None

    def _parameter(self, name: str) -> tuple[bool, Value]:
        if name.isdecimal() and name != "0":
            index = int(name[:4]) - 1
            return True, self._arguments[index] if index < len(self._arguments) else ""
        if name == "#":
            return True, str(len(self._arguments))
        if name in ("@", "*"):
            known = [word for word in self._arguments if word is not None]
            return True, " ".join(known) if len(known) == len(self._arguments) else None
        if not name[0].isalpha() and name[0] != "_":
            return True, None
        return name in self._variables, self._variables.get(name)


def _binary(left: Value, operator: Value, right: Value) -> bool | None:
    if left is None or right is None:
        return None
    if operator in ("=", "=="):
        return left == right
    if operator == "!=":
        return left != right
    if operator in _NUMERIC and all(side.isdecimal() and len(side) < 18 for side in (left, right)):
        return _NUMERIC[operator](int(left), int(right))
    return None


_NUMERIC: dict[Value, Callable[[int, int], bool]] = {
    "-eq": lambda one, other: one == other,
    "-ne": lambda one, other: one != other,
    "-lt": lambda one, other: one < other,
    "-le": lambda one, other: one <= other,
    "-gt": lambda one, other: one > other,
    "-ge": lambda one, other: one >= other,
}


def _trimmed(value: Value, operator: str, pattern: Value) -> Value:
    """Return ``${value%pattern}`` and its kin."""
    if value is None or pattern is None or len(value) > 4096:
        return None
    cuts = range(len(value) + 1)
    if operator in ("%", "##"):
        cuts = cuts[::-1]
    for cut in cuts:
        removed, rest = (value[cut:], value[:cut]) if operator[0] == "%" else (value[:cut], value[cut:])
        if fnmatch.fnmatchcase(removed, pattern):
            return rest
    return value


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
