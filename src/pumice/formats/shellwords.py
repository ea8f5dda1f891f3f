"""Words of shell scripts: quotes and expansions (Shell Command Language, 2.2 and 2.6)."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

from pumice.errors import FormatError

TEXT = re.compile(r"[^\s'\"\\$`;&|<>()]+")
"""A run of characters that mean themselves."""

_MAX_DEPTH = 60
_BLANK = re.compile(r"(?:[ \t\r]|\\\n)+")
_DOUBLE_QUOTED_TEXT = re.compile(r"[^\"\\$`]+")
_OPERAND_TEXT = re.compile(r"[^'\"\\$`}]+")
_BACKQUOTED = re.compile(r"(?:[^`\\]|\\.)*`", re.DOTALL)
_PARAMETER = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*|[0-9@*#?$!-])")
_BRACED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*|[0-9]+|[@*#?$!-])(:?[-=+?]|%%?|##?)?", re.DOTALL)


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


class Words:
    """Reads words from a text; ``at`` is the next character, ``depth`` how deep things are nested."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    def error(self) -> FormatError:
        """Return the error for what stands at ``at``."""
        line = self.text.count("\n", 0, self.at) + 1
        return FormatError(f"the shell script is not understood at its line {line}")

    def deeper(self) -> None:
        """Note one more level of nesting; raises FormatError where there are too many."""
        self.depth += 1
        if self.depth > _MAX_DEPTH:
            raise self.error()

    def substitution(self) -> None:
        """Read the commands of ``$(...)`` up to and with the parenthesis."""
        raise NotImplementedError

    def blank(self) -> None:
        """Skip white space within a line, and a comment."""
        if match := _BLANK.match(self.text, self.at):
            self.at = match.end()
        if self.text.startswith("#", self.at):
            end = self.text.find("\n", self.at)
            self.at = len(self.text) if end < 0 else end

    def word(self, *, empty: bool = False) -> Word:
        """Read one word; an ``empty`` one is allowed after an assignment's sign."""
        parts: list[Part] = []
        start = self.at
        while self.at < len(self.text):
            match = TEXT.match(self.text, self.at)
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
            if match := _DOUBLE_QUOTED_TEXT.match(self.text, self.at):
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
            end = _BACKQUOTED.match(self.text, start + 1)
            if not end:
                raise self.error()
            self.at = end.end()
            return Part("unknown", self.text[start + 1 : self.at - 1].strip(), quoted)
        if self.text.startswith("$((", start):
            self._skip_arithmetic()
            return Part("unknown", self.text[start : self.at], quoted)
        if self.text.startswith("$(", start):
            self.at += 2
            self.substitution()
            return Part("unknown", self.text[start + 2 : self.at - 1].strip(), quoted)
        if self.text.startswith("${", start):
            return self._braced(quoted=quoted)
        match = _PARAMETER.match(self.text, start)
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
        self.deeper()
        parts: list[Part] = []
        while not self.text.startswith("}", self.at):
            if self.at >= len(self.text):
                raise self.error()
            if match := _OPERAND_TEXT.match(self.text, self.at):
                parts.append(Part("text", match[0]))
                self.at = match.end()
            else:
                self._special(parts)
        self.at += 1
        self.depth -= 1
        return tuple(parts)
