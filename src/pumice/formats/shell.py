"""The grammar of POSIX shell scripts (IEEE Std 1003.1, Shell Command Language), without running them.

Maintainer scripts say in shell what they would do. This reads one into a tree of commands; what a
script means is for others to judge. Expansions that only a running shell could make (commands,
arithmetic) stay as parts whose value is unknown.
"""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from pumice.errors import FormatError

_MAX_SIZE = 1 << 20
_MAX_DEPTH = 60

_TEXT = re.compile(r"[^\s'\"\\$`;&|<>()]+")
_QUOTED_TEXT = re.compile(r"[^\"\\$`]+")
_BLANK = re.compile(r"(?:[ \t\r]|\\\n)+")
_OPERATOR = re.compile(r"&&|\|\||;;&?|;&|[;&|()]")
_REDIRECT = re.compile(r"(\d*)(<<-?|>>|>&|<&|<>|>\||&>>?|[<>])")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=")
_BRACED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-])(:?[-=+?]|%%?|##?)?", re.DOTALL)
_RESERVED = frozenset(
    [
        "if",
        "then",
        "elif",
        "else",
        "fi",
        "case",
        "esac",
        "for",
        "while",
        "until",
        "do",
        "done",
        "{",
        "}",
        "!",
        "in",
    ]
)


class Part(msgspec.Struct, frozen=True):
    """A piece of a word.

    ``text`` is literal for the kind ``text``, a parameter's name for ``parameter``, the source of a
    command or of an expansion that is not understood for ``unknown``. ``operator`` and ``operand``
    are those of ``${name:-word}`` and its kin. What is not ``quoted`` is split at white space.
    """

    kind: Literal["text", "parameter", "unknown"]
    text: str
    quoted: bool = False
    operator: str = ""
    operand: tuple[Part, ...] = ()


Word = tuple[Part, ...]


class Redirect(msgspec.Struct):
    """``2>&1``: descriptor (may be empty), operator and target.

    A here-document's target is its text, of the kind ``unknown`` if it has expansions in it.
    """

    descriptor: str
    operator: str
    target: Word


class Simple(msgspec.Struct, frozen=True, tag=True):
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
    """A loop with a condition (``while`` or ``until``)."""

    condition: Sequence
    body: Sequence


class Group(msgspec.Struct, frozen=True, tag=True):
    """Commands in braces, or in parentheses (``subshell``)."""

    body: Sequence
    subshell: bool = False


class Function(msgspec.Struct, frozen=True, tag=True):
    """The definition of a function."""

    name: str
    body: Command


Command = Simple | If | Case | For | Loop | Group | Function
Sequence = tuple[AndOr, ...]


def parse(script: bytes) -> Sequence:
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


class _Parser:
    """A recursive descent over the text; ``at`` is the next character."""

    def __init__(self, text: str, depth: int = 0) -> None:
        self.text = text
        self.at = 0
        self._depth = depth
        self._documents: list[tuple[str, bool, bool, Redirect]] = []

    def error(self) -> FormatError:
        line = self.text.count("\n", 0, self.at) + 1
        return FormatError(f"the shell script is not understood at its line {line}")

    # Commands

    def sequence(self, *stops: str) -> Sequence:
        """Read commands until one of the reserved words ``stops``, an operator that ends them, or the end."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self.error()
        found: list[AndOr] = []
        while True:
            self._lines()
            if self._ends() or (stops and self._reserved() in stops):
                break
            found.append(self._and_or())
            self._blank()
            if self._operator() in (";", "&"):
                self.at += 1
        self._depth -= 1
        return tuple(found)

    def _ends(self) -> bool:
        return self.at >= len(self.text) or self._operator() in (")", ";;", ";&", ";;&")

    def _and_or(self) -> AndOr:
        first = self._pipeline()
        rest: list[tuple[str, Pipeline]] = []
        while True:
            self._blank()
            operator = self._operator()
            if operator not in ("&&", "||"):
                return AndOr(first, tuple(rest))
            self.at += 2
            self._lines()
            rest.append((operator, self._pipeline()))

    def _pipeline(self) -> Pipeline:
        self._blank()
        negated = self._reserved() == "!"
        if negated:
            self.at += 1
            self._blank()
        commands = [self._command()]
        while True:
            self._blank()
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
            return self._closed(Loop(condition, self._do()))
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
        """Read the redirections that may follow a compound command; they change nothing here."""
        self._redirects()
        return command

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
        self._blank()
        word = self._word()
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
            self._blank()
            patterns.append(self._word())
            self._blank()
            if self._operator() != "|":
                self._expect_operator(")")
                return tuple(patterns)
            self.at += 1

    def _for(self) -> For:
        self._expect("for")
        self._blank()
        name = _NAME.match(self.text, self.at)
        if not name:
            raise self.error()
        self.at = name.end()
        self._lines()
        words: list[Word] | None = None
        if self._reserved() == "in":
            self._expect("in")
            words = []
            self._blank()
            while self.at < len(self.text) and self.text[self.at] != "\n" and not self._operator():
                words.append(self._word())
                self._blank()
        self._blank()
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
            self._blank()
            if self.at >= len(self.text) or self.text[self.at] == "\n" or self._operator():
                break
            assigned = None if words else _ASSIGNMENT.match(self.text, self.at)
            if assigned:
                self.at = assigned.end()
                assignments.append((assigned[1], self._word(empty=True)))
            else:
                words.append(self._word())
        if len(words) == 1 and self._operator() == "(" and (name := _literal(words[0])):
            self.at += 1
            self._blank()
            self._expect_operator(")")
            self._lines()
            return Function(name, self._command())
        if not (words or assignments or redirects):
            raise self.error()
        return Simple(tuple(assignments), tuple(words), tuple(redirects))

    def _redirects(self) -> list[Redirect]:
        found: list[Redirect] = []
        while True:
            self._blank()
            match = _REDIRECT.match(self.text, self.at)
            if not match or (match[2].startswith("&") and self.text.startswith("&&", self.at)):
                return found
            self.at = match.end()
            self._blank()
            target = self._word()
            redirect = Redirect(match[1], match[2], target)
            if match[2] in ("<<", "<<-"):
                mark = "".join(part.text for part in target)
                quoted = any(part.quoted for part in target)
                self._documents.append((mark, match[2] == "<<-", quoted, redirect))
            found.append(redirect)

    # Tokens

    def _reserved(self) -> str:
        """Return the reserved word that comes next, or nothing; reads nothing."""
        match = _TEXT.match(self.text, self.at)
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

    def _blank(self) -> None:
        if match := _BLANK.match(self.text, self.at):
            self.at = match.end()
        if self.text.startswith("#", self.at):
            end = self.text.find("\n", self.at)
            self.at = len(self.text) if end < 0 else end

    def _lines(self) -> None:
        self._blank()
        while self.text.startswith("\n", self.at):
            self.at += 1
            if self._documents:
                self._read_documents()
            self._blank()

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

    # Words

    def _word(self, *, empty: bool = False) -> Word:
        parts: list[Part] = []
        start = self.at
        while self.at < len(self.text):
            match = _TEXT.match(self.text, self.at)
            if match:
                parts.append(Part("text", match[0]))
                self.at = match.end()
            elif not self._special(parts):
                break
        if self.at == start and not empty:
            raise self.error()
        return tuple(parts)

    def _special(self, parts: list[Part]) -> bool:
        """Read one quoted or expanded piece of a word; False where the word ends."""
        char = self.text[self.at]
        if char == "\\":
            piece = self.text[self.at + 1 : self.at + 2]
            self.at = min(self.at + 2, len(self.text))
            if piece not in ("", "\n"):
                parts.append(Part("text", piece, quoted=True))
        elif char == "'":
            end = self.text.find("'", self.at + 1)
            if end < 0:
                raise self.error()
            parts.append(Part("text", self.text[self.at + 1 : end], quoted=True))
            self.at = end + 1
        elif char == '"':
            self._double_quoted(parts)
        elif char in "$`":
            parts.append(self._expansion(quoted=False))
        else:
            return False
        return True

    def _double_quoted(self, parts: list[Part]) -> None:
        self.at += 1
        parts.append(Part("text", "", quoted=True))
        while not self.text.startswith('"', self.at):
            if self.at >= len(self.text):
                raise self.error()
            if match := _QUOTED_TEXT.match(self.text, self.at):
                parts.append(Part("text", match[0], quoted=True))
                self.at = match.end()
            elif self.text[self.at] == "\\":
                piece = self.text[self.at + 1 : self.at + 2]
                self.at = min(self.at + 2, len(self.text))
                if piece != "\n":
                    kept = piece if piece and piece in '$`"\\' else "\\" + piece
                    parts.append(Part("text", kept, quoted=True))
            else:
                parts.append(self._expansion(quoted=True))
        self.at += 1

    def _expansion(self, *, quoted: bool) -> Part:
        start = self.at
        if self.text[start] == "`":
            end = re.compile(r"(?:[^`\\]|\\.)*`", re.DOTALL).match(self.text, start + 1)
            if not end:
                raise self.error()
            self.at = end.end()
            return Part("unknown", self.text[start + 1 : self.at - 1].strip(), quoted)
        if self.text.startswith("$((", start):
            self._skip_arithmetic()
            return Part("unknown", self.text[start : self.at], quoted)
        if self.text.startswith("$(", start):
            self.at += 2
            self.sequence()
            self._expect_operator(")")
            return Part("unknown", self.text[start + 2 : self.at - 1].strip(), quoted)
        if self.text.startswith("${", start):
            return self._braced(quoted=quoted)
        match = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-])").match(self.text, start)
        if not match:
            self.at += 1
            return Part("text", "$", quoted=True)
        self.at = match.end()
        return Part("parameter", match[1], quoted)

    def _skip_arithmetic(self) -> None:
        depth = 0
        while self.at < len(self.text):
            char = self.text[self.at]
            self.at += 1
            depth += (char == "(") - (char == ")")
            if char == ")" and depth == 0:
                return
        raise self.error()

    def _braced(self, *, quoted: bool) -> Part:
        start = self.at
        self.at += 2
        match = _BRACED.match(self.text, self.at)
        if match:
            self.at = match.end()
        operand = self._operand()
        if not match or (operand and not match[2]):
            return Part("unknown", self.text[start : self.at], quoted)
        return Part("parameter", match[1], quoted, match[2] or "", operand)

    def _operand(self) -> Word:
        """Read what follows the operator of ``${name:-word}``, and the closing brace."""
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise self.error()
        parts: list[Part] = []
        plain = re.compile(r"[^'\"\\$`}]+")
        while not self.text.startswith("}", self.at):
            if self.at >= len(self.text):
                raise self.error()
            if match := plain.match(self.text, self.at):
                parts.append(Part("text", match[0]))
                self.at = match.end()
            else:
                self._special(parts)
        self.at += 1
        self._depth -= 1
        return tuple(parts)
