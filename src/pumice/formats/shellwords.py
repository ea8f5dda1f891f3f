"""Words of shell scripts: quotes and expansions (Shell Command Language, 2.2 and 2.6)."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from pumice.errors import FormatError

TEXT = re.compile(r"[^\s'\"\\$`;&|<>()]+")
"""A sequence of literal characters."""

_MAX_DEPTH = 60
_BLANK = re.compile(r"(?:[ \t\r]|\\\n)+")
_DOUBLE_QUOTED_TEXT = re.compile(r"[^\"\\$`]+")
_OPERAND_TEXT = re.compile(r"[^'\"\\$`}]+")
_BACKQUOTED = re.compile(r"(?:[^`\\]|\\.)*`", re.DOTALL)
_PARAMETER = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-])")
_BRACED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-])(:?[-=+?]|%%?|##?)?", re.DOTALL)


class Part(msgspec.Struct, frozen=True):
    """A part of a word.

    ``text`` is literal text for the kind ``text``, a name for ``parameter``, and the source of a command
    or other expansion for ``unknown``. ``operator`` and ``operand`` are those of a parameter expansion
    such as ``${name:-word}``. A part that is not ``quoted`` is subject to field splitting.
    """

    kind: Literal["text", "parameter", "unknown"]
    text: str
    quoted: bool = False
    operator: str = ""
    operand: tuple[Part, ...] = ()


Word = tuple[Part, ...]


class WordReader:
    """Reads words from a text; ``position`` is the next character, ``depth`` the level of nesting."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.depth = 0

    def make_error(self) -> FormatError:
        """Return the syntax error for the current position."""
        line = self.text.count("\n", 0, self.position) + 1
        return FormatError(f"cannot parse line {line} of the shell script")

    def enter_nesting(self) -> None:
        """Enter one more level of nesting; raises FormatError if there are too many."""
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.make_error()

    def read_substitution(self) -> None:
        """Read the commands of ``$(...)`` and the closing parenthesis."""
        raise NotImplementedError

    def skip_blanks(self) -> None:
        """Skip blanks within a line and a comment."""
        if match := _BLANK.match(self.text, self.position):
            self.position = match.end()
        if self.text.startswith("#", self.position):
            end = self.text.find("\n", self.position)
            self.position = len(self.text) if end < 0 else end

    def read_word(self, *, empty: bool = False) -> Word:
        """Return one word, which may be empty if ``empty`` (after the sign of an assignment)."""
        parts: list[Part] = []
        start = self.position
        while self.position < len(self.text):
            match = TEXT.match(self.text, self.position)
            if match:
                parts.append(Part("text", match[0]))
                self.position = match.end()
            elif not self._read_special(parts):
                break
        if self.position == start and not empty:
            raise self.make_error()
        return tuple(parts)

    def _read_special(self, parts: list[Part]) -> bool:
        """Read one quoted or expanded part of a word; return False at the end of the word."""
        char = self.text[self.position]
        if char == "\\":
            escaped = self.text[self.position + 1 : self.position + 2]
            self.position = min(self.position + 2, len(self.text))
            if escaped not in ("", "\n"):
                parts.append(Part("text", escaped, quoted=True))
        elif char == "'":
            end = self.text.find("'", self.position + 1)
            if end < 0:
                raise self.make_error()
            parts.append(Part("text", self.text[self.position + 1 : end], quoted=True))
            self.position = end + 1
        elif char == '"':
            self._read_double_quoted(parts)
        elif char in "$`":
            parts.append(self._read_expansion(quoted=False))
        else:
            return False
        return True

    def _read_double_quoted(self, parts: list[Part]) -> None:
        self.position += 1
        parts.append(Part("text", "", quoted=True))
        while not self.text.startswith('"', self.position):
            if self.position >= len(self.text):
                raise self.make_error()
            if match := _DOUBLE_QUOTED_TEXT.match(self.text, self.position):
                parts.append(Part("text", match[0], quoted=True))
                self.position = match.end()
            elif self.text[self.position] == "\\":
                escaped = self.text[self.position + 1 : self.position + 2]
                self.position = min(self.position + 2, len(self.text))
                if escaped != "\n":
                    text = escaped if escaped and escaped in '$`"\\' else "\\" + escaped
                    parts.append(Part("text", text, quoted=True))
            else:
                parts.append(self._read_expansion(quoted=True))
        self.position += 1

    def _read_expansion(self, *, quoted: bool) -> Part:
        start = self.position
        if self.text[start] == "`":
            end = _BACKQUOTED.match(self.text, start + 1)
            if not end:
                raise self.make_error()
            self.position = end.end()
            return Part("unknown", self.text[start + 1 : self.position - 1].strip(), quoted)
        if self.text.startswith("$((", start):
            self._skip_arithmetic()
            return Part("unknown", self.text[start : self.position], quoted)
        if self.text.startswith("$(", start):
            self.position += 2
            self.read_substitution()
            return Part("unknown", self.text[start + 2 : self.position - 1].strip(), quoted)
        if self.text.startswith("${", start):
            return self._read_braced(quoted=quoted)
        match = _PARAMETER.match(self.text, start)
        if not match:
            self.position += 1
            return Part("text", "$", quoted=True)
        self.position = match.end()
        return Part("parameter", match[1], quoted)

    def _skip_arithmetic(self) -> None:
        depth = 0
        while self.position < len(self.text):
            char = self.text[self.position]
            self.position += 1
            depth += (char == "(") - (char == ")")
            if char == ")" and depth == 0:
                return
        raise self.make_error()

    def _read_braced(self, *, quoted: bool) -> Part:
        start = self.position
        self.position += 2
        match = _BRACED.match(self.text, self.position)
        if match:
            self.position = match.end()
        operand = self._read_operand()
        if not match or (operand and not match[2]):
            return Part("unknown", self.text[start : self.position], quoted)
        return Part("parameter", match[1], quoted, match[2] or "", operand)

    def _read_operand(self) -> Word:
        """Return the word after the operator of ``${name:-word}``, and read the closing brace."""
        self.enter_nesting()
        parts: list[Part] = []
        while not self.text.startswith("}", self.position):
            if self.position >= len(self.text):
                raise self.make_error()
            if match := _OPERAND_TEXT.match(self.text, self.position):
                parts.append(Part("text", match[0]))
                self.position = match.end()
            else:
                self._read_special(parts)
        self.position += 1
        self.depth -= 1
        return tuple(parts)
