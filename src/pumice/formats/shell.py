"""The grammar of POSIX shell scripts (IEEE Std 1003.1, Shell Command Language), without running them.

Maintainer scripts say in shell what they would do. This reads one into a tree of commands; what a
script means is for others to judge. Expansions that only a running shell could make (commands,
arithmetic) stay as parts whose value is unknown.
"""

from __future__ import annotations

import re

import msgspec

from pumice.errors import FormatError
from pumice.formats.shellwords import TEXT, Part, Word, Words

_MAX_SIZE = 1 << 20

_OPERATOR = re.compile(r"&&|\|\||;;&?|;&|[;&|()]")
_REDIRECT = re.compile(r"(\d*)(<<-?|>>|>&|<&|<>|>\||&>>?|[<>])")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_RESERVED = frozenset(("if", "then", "elif", "else", "fi", "case", "in", "esac", "!")) | frozenset(
    ("for", "while", "until", "do", "done", "{", "}")
)


class Redirect(msgspec.Struct):
    """``2>&1``: descriptor (may be empty), operator and target.

    A here-document's target is its text, of the kind ``unknown`` if it has expansions in it.
    """

    descriptor: str
    operator: str
    target: Word


class SimpleCommand(msgspec.Struct, frozen=True, tag=True):
    """Assignments, then a command and its arguments."""

    assignments: tuple[tuple[str, Word], ...]
    words: tuple[Word, ...]
    redirects: tuple[Redirect, ...] = ()


class Pipeline(msgspec.Struct, frozen=True, tag=True):
    """Commands joined by ``|``."""

    commands: tuple[Command, ...]
    negated: bool = False


class AndOr(msgspec.Struct, frozen=True, tag=True):
    """Pipelines joined by ``&&`` and ``||``; each but the first stands with its operator."""

    first: Pipeline
    rest: tuple[tuple[str, Pipeline], ...] = ()


class If(msgspec.Struct, frozen=True, tag=True):
    """Conditions with what they guard, in order, and the last resort."""

    arms: tuple[tuple[Sequence, Sequence], ...]
    otherwise: Sequence = ()


class Case(msgspec.Struct, frozen=True, tag=True):
    """A word and the patterns it is held against."""

    word: Word
    arms: tuple[tuple[tuple[Word, ...], Sequence], ...]


class For(msgspec.Struct, frozen=True, tag=True):
    """A loop over words; None stands for the arguments."""

    name: str
    words: tuple[Word, ...] | None
    body: Sequence


class Loop(msgspec.Struct, frozen=True, tag=True):
    """A loop with a condition (``while`` or ``until``); ``documents`` are here-documents it reads."""

    condition: Sequence
    body: Sequence
    is_until: bool = False
    documents: tuple[Redirect, ...] = ()


class Group(msgspec.Struct, frozen=True, tag=True):
    """Commands in braces, or in parentheses (``subshell``); ``documents`` are here-documents they read."""

    body: Sequence
    subshell: bool = False
    documents: tuple[Redirect, ...] = ()


class FunctionDefinition(msgspec.Struct, frozen=True, tag=True):
    """The definition of a function."""

    name: str
    body: Command


class Redirected(msgspec.Struct, frozen=True, tag=True):
    """A compound command whose output goes to a file."""

    command: Command
    redirects: tuple[Redirect, ...]


Command = Redirected | SimpleCommand | If | Case | For | Loop | Group | FunctionDefinition
Sequence = tuple[AndOr, ...]


def parse_script(script: bytes) -> Sequence:
    """Return the commands of ``script``; raises FormatError if it cannot be understood."""
    if len(script) > _MAX_SIZE:
        raise FormatError("the script is larger than 1 MiB")
    parser = _Parser(script.decode("utf-8", "replace"))
    commands = parser.sequence()
    if parser.at < len(parser.text):
        raise parser.error()
    return commands


def _literal(word: Word) -> str | None:
    """Return the text of a word that is written without quotes and expansions."""
    if len(word) == 1 and word[0].kind == "text" and not word[0].quoted:
        return word[0].text
    return None


class _Parser(Words):
    """A recursive descent over the text; ``at`` is the next character."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._documents: list[tuple[str, bool, bool, Redirect]] = []

    # Commands

    def sequence(self, *stops: str) -> Sequence:
        """Read commands until one of the reserved words ``stops``, an operator that ends them, or the end."""
        self.deeper()
        found: list[AndOr] = []
        while True:
            self._lines()
            if self._ends() or (stops and self._reserved() in stops):
                break
            found.append(self._and_or())
            self.blank()
            if self._operator() in (";", "&"):
                self.at += 1
        self.depth -= 1
        return tuple(found)

    def _ends(self) -> bool:
        return self.at >= len(self.text) or self._operator() in (")", ";;", ";&", ";;&")

    def _and_or(self) -> AndOr:
        first = self._pipeline()
        rest: list[tuple[str, Pipeline]] = []
        while True:
            self.blank()
            operator = self._operator()
            if operator not in ("&&", "||"):
                return AndOr(first, tuple(rest))
            self.at += 2
            self._lines()
            rest.append((operator, self._pipeline()))

    def _pipeline(self) -> Pipeline:
        self.blank()
        negated = self._reserved() == "!"
        if negated:
            self.at += 1
            self.blank()
        commands = [self._command()]
        while True:
            self.blank()
            if self._operator() != "|":
                return Pipeline(tuple(commands), negated)
            self.at += 1
            self._lines()
            commands.append(self._command())

    def _command(self) -> Command:
        word = self._reserved()
        if word == "if":
            return self._closed(self._if())
        if word == "case":
            return self._closed(self._case())
        if word == "for":
            return self._closed(self._for())
        if word in ("while", "until"):
            self._expect(word)
            condition = self.sequence("do")
            return self._closed(Loop(condition, self._do(), word == "until"))
        if word == "{":
            self._expect("{")
            body = self.sequence("}")
            self._expect("}")
            return self._closed(Group(body))
        if self._operator() == "(":
            self.at += 1
            body = self.sequence()
            self._expect_operator(")")
            return self._closed(Group(body, subshell=True))
        if word:
            raise self.error()
        return self._simple()

    def _closed(self, command: Command) -> Command:
        """Read the redirections that may follow a compound command: here-documents and files written."""
        redirects = tuple(self._redirects())
        documents = tuple(redirect for redirect in redirects if redirect.operator.startswith("<<"))
        if documents and isinstance(command, Loop | Group):
            command = msgspec.structs.replace(command, documents=documents)
        is_written = any(redirect.operator in (">", ">>", ">|") for redirect in redirects)
        return Redirected(command, redirects) if is_written else command

    def _if(self) -> If:
        self._expect("if")
        arms: list[tuple[Sequence, Sequence]] = []
        otherwise: Sequence = ()
        while True:
            condition = self.sequence("then")
            self._expect("then")
            arms.append((condition, self.sequence("elif", "else", "fi")))
            word = self._reserved()
            self._expect(word)
            if word == "else":
                otherwise = self.sequence("fi")
                self._expect("fi")
            if word != "elif":
                return If(tuple(arms), otherwise)

    def _case(self) -> Case:
        self._expect("case")
        self.blank()
        word = self.word()
        self._lines()
        self._expect("in")
        arms: list[tuple[tuple[Word, ...], Sequence]] = []
        while True:
            self._lines()
            if self._reserved() == "esac":
                self._expect("esac")
                return Case(word, tuple(arms))
            patterns = self._patterns()
            arms.append((patterns, self.sequence("esac")))
            if self._operator() in (";;", ";&", ";;&"):
                self.at += len(self._operator())

    def _patterns(self) -> tuple[Word, ...]:
        if self._operator() == "(":
            self.at += 1
        patterns: list[Word] = []
        while True:
            self.blank()
            patterns.append(self.word())
            self.blank()
            if self._operator() != "|":
                self._expect_operator(")")
                return tuple(patterns)
            self.at += 1

    def _for(self) -> For:
        self._expect("for")
        self.blank()
        name = _NAME.match(self.text, self.at)
        if not name:
            raise self.error()
        self.at = name.end()
        self._lines()
        words: list[Word] | None = None
        if self._reserved() == "in":
            self._expect("in")
            words = []
            self.blank()
            while self.at < len(self.text) and self.text[self.at] != "\n" and not self._operator():
                words.append(self.word())
                self.blank()
        self.blank()
        if self._operator() == ";":
            self.at += 1
        self._lines()
        return For(name[0], None if words is None else tuple(words), self._do())

    def _do(self) -> Sequence:
        self._lines()
        self._expect("do")
        body = self.sequence("done")
        self._expect("done")
        return body

    def _simple(self) -> Command:
        assignments: list[tuple[str, Word]] = []
        words: list[Word] = []
        redirects: list[Redirect] = []
        while True:
            redirects += self._redirects()
            self.blank()
            if self.at >= len(self.text) or self.text[self.at] == "\n" or self._operator():
                break
            assigned = None if words else _ASSIGNMENT.match(self.text, self.at)
            if assigned:
                self.at = assigned.end()
                assignments.append((assigned[1], self.word(empty=True)))
            else:
                words.append(self.word())
        if len(words) == 1 and self._operator() == "(" and (name := _literal(words[0])):
            self.at += 1
            self.blank()
            self._expect_operator(")")
            self._lines()
            return FunctionDefinition(name, self._command())
        if not (words or assignments or redirects):
            raise self.error()
        return SimpleCommand(tuple(assignments), tuple(words), tuple(redirects))

    def _redirects(self) -> list[Redirect]:
        found: list[Redirect] = []
        while True:
            self.blank()
            match = _REDIRECT.match(self.text, self.at)
            if not match or (match[2].startswith("&") and self.text.startswith("&&", self.at)):
                return found
            self.at = match.end()
            self.blank()
            target = self.word()
            redirect = Redirect(match[1], match[2], target)
            if match[2] in ("<<", "<<-"):
                mark = "".join(part.text for part in target)
                quoted = any(part.quoted for part in target)
                self._documents.append((mark, match[2] == "<<-", quoted, redirect))
            found.append(redirect)

    def substitution(self) -> None:
        """Read the commands of ``$(...)`` up to the parenthesis."""
        self.sequence()
        self._expect_operator(")")

    # Tokens

    def _reserved(self) -> str:
        """Return the reserved word that comes next, or nothing; reads nothing."""
        match = TEXT.match(self.text, self.at)
        if not match or match[0] not in _RESERVED:
            return ""
        after = self.text[match.end() : match.end() + 1]
        return "" if after in ("'", '"', "$", "`", "\\") and after else match[0]

    def _operator(self) -> str:
        match = _OPERATOR.match(self.text, self.at)
        return match[0] if match else ""

    def _expect(self, word: str) -> None:
        if not word or self._reserved() != word:
            raise self.error()
        self.at += len(word)

    def _expect_operator(self, operator: str) -> None:
        if self._operator() != operator:
            raise self.error()
        self.at += len(operator)

    def _lines(self) -> None:
        self.blank()
        while self.text.startswith("\n", self.at):
            self.at += 1
            if self._documents:
                self._read_documents()
            self.blank()

    def _read_documents(self) -> None:
        for mark, tabs, quoted, redirect in self._documents:
            lines: list[str] = []
            while self.at < len(self.text):
                end = self.text.find("\n", self.at)
                end = len(self.text) if end < 0 else end
                line = self.text[self.at : end]
                self.at = min(end + 1, len(self.text))
                line = line.lstrip("\t") if tabs else line
                if line == mark:
                    break
                lines.append(line + "\n")
            text = "".join(lines)
            literal = quoted or not set(text) & set("$`\\")
            redirect.target = (Part("text" if literal else "unknown", text, quoted=True),)
        self._documents.clear()
