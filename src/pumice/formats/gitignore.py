"""Ignore patterns with the semantics of gitignore(5) and of git's own matcher.

Patterns and paths are bytes, as in git: ``?`` matches one byte. A pattern is compiled to a
nondeterministic automaton whose set of states is a bit mask, so matching takes at most the length of
the pattern times the length of the path.
"""

from __future__ import annotations

import re
import string
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

_SLASH = 0x2F
_SPECIAL = frozenset(b"*?[\\")
_ALL = frozenset(range(256))
_NOT_SLASH = _ALL - {_SLASH}
_ALPHA = frozenset(string.ascii_letters.encode())
_DIGIT = frozenset(string.digits.encode())
_PUNCT = frozenset(string.punctuation.encode())
_REPEATED_DIRECTORIES = re.compile(rb"\*\*+/")
_CLASSES = {
    b"alnum": _ALPHA | _DIGIT,
    b"alpha": _ALPHA,
    b"blank": frozenset(b" \t"),
    b"cntrl": frozenset([*range(32), 127]),
    b"digit": _DIGIT,
    b"graph": _ALPHA | _DIGIT | _PUNCT,
    b"lower": frozenset(string.ascii_lowercase.encode()),
    b"print": _ALPHA | _DIGIT | _PUNCT | {0x20},
    b"punct": _PUNCT,
    b"space": frozenset(b" \t\n\r"),
    b"upper": frozenset(string.ascii_uppercase.encode()),
    b"xdigit": frozenset(string.hexdigits.encode()),
}


class IgnorePatterns:
    """A list of patterns. The last one that matches decides; ``!`` includes a path again.

    The caller must not descend into an ignored directory. ``step_count`` are the bytes that automata have
    read, with which a caller can limit the time.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        rules = [_parse_rule(pattern.encode("utf-8", "surrogateescape")) for pattern in patterns]
        self._rules = tuple((index, rule) for index, rule in enumerate(rules) if rule is not None)[::-1]
        self.step_count = 0

    def matches(self, path: str, *, is_directory: bool) -> bool:
        """Return whether ``path``, relative to the directory of the patterns, is ignored."""
        return self.find_deciding_pattern(path, is_directory=is_directory)[1]

    def find_deciding_pattern(self, path: str, *, is_directory: bool) -> tuple[int, bool]:
        """Return the index of the pattern that decides about ``path``, and whether it ignores it.

        The index is -1 if no pattern matches.
        """
        path_bytes = path.encode("utf-8", "surrogateescape")
        name = path_bytes.rpartition(b"/")[2]
        for index, rule in self._rules:
            if rule.directories_only and not is_directory:
                continue
            text = name if rule.by_name else path_bytes
            if not text.startswith(rule.literal):
                continue
            if rule.automaton is not None:
                self.step_count += len(text)
            if _matches(rule, text):
                return index, not rule.negated
        return -1, False


def matches_nothing(pattern: str) -> bool:
    """Return whether no path matches ``pattern``, because it is a comment, empty or malformed."""
    return _parse_rule(pattern.encode("utf-8", "surrogateescape")) is None


class _Automaton(msgspec.Struct, frozen=True):
    """The automaton for the part of a pattern after its literal prefix. States are bits.

    By byte, ``transitions`` are the states that it leaves for the next one, and ``self_loops`` those that
    it stays in. The states ``repeated`` reach the next one without input; the states ``directories``, each
    the first of three for ``**/``, reach the next one and the third after them.
    """

    transitions: tuple[int, ...]
    self_loops: tuple[int, ...]
    repeated: int
    directories: int
    end: int


class _Rule(msgspec.Struct, frozen=True):
    negated: bool
    directories_only: bool
    by_name: bool
    literal: bytes
    automaton: _Automaton | None
    """None if the pattern is a literal, or one with a star at the start or everything below it."""
    suffix: bytes | None = None
    """For ``*literal``, which any number of bytes may precede."""
    is_prefix: bool = False
    """For ``literal/**``."""


def _parse_rule(line: bytes) -> _Rule | None:
    """Return the rule of one line; None for comments, empty lines and patterns that never match."""
    if line.startswith(b"#"):
        return None
    line = _strip_trailing_spaces(line)
    negated = line.startswith(b"!")
    body = line[1:] if negated else line
    directories_only = body.endswith(b"/")
    body = body[:-1] if directories_only else body
    by_name = b"/" not in body
    if not body:
        return None
    body = body.removeprefix(b"/")
    length = next((index for index, byte in enumerate(body) if byte in _SPECIAL), len(body))
    rest = body[length:]
    if rest == b"**" and body[:length].endswith(b"/"):
        return _Rule(negated, directories_only, by_name, body[:length], None, is_prefix=True)
    if by_name and length == 0 and rest.startswith(b"*") and _SPECIAL.isdisjoint(rest[1:]):
        return _Rule(negated, directories_only, by_name, b"", None, suffix=rest[1:])
    # As in git, the part after the literal prefix is matched separately: `a**/b` matches `ab`.
    automaton = None if not rest else _compile_pattern(rest)
    if length < len(body) and automaton is None:
        return None
    return _Rule(negated, directories_only, by_name, body[:length], automaton)


def _strip_trailing_spaces(line: bytes) -> bytes:
    stripped = line.rstrip(b" ")
    backslash_count = len(stripped) - len(stripped.rstrip(b"\\"))
    return stripped + b" " if backslash_count % 2 and stripped != line else stripped


def _matches(rule: _Rule, text: bytes) -> bool:
    """Return whether ``text``, which starts with the literal of ``rule``, matches it."""
    automaton = rule.automaton
    if automaton is None:
        if rule.suffix is not None:
            return text.endswith(rule.suffix)
        return rule.is_prefix or text == rule.literal
    state = _follow_without_input(1, automaton)
    for byte in text[len(rule.literal) :]:
        state = (state & automaton.transitions[byte]) << 1 | state & automaton.self_loops[byte]
        if not state:
            return False
        state = _follow_without_input(state, automaton)
    return bool(state & automaton.end)


def _follow_without_input(state: int, automaton: _Automaton) -> int:
    # No repeated state leads to another one or to a `**/`, so one step of each kind is enough.
    directories = state & automaton.directories
    state |= directories << 1 | directories << 3
    return state | (state & automaton.repeated) << 1


class _AutomatonBuilder:
    """Builds an automaton."""

    def __init__(self) -> None:
        self.transitions = [0] * 256
        self.self_loops = [0] * 256
        self.repeated = 0
        self.directories = 0
        self.state_bit = 1

    def add_byte(self, accepted: frozenset[int]) -> None:
        """Add a state that consumes one byte."""
        for byte in accepted:
            self.transitions[byte] |= self.state_bit
        self.state_bit <<= 1

    def add_repeated_bytes(self, accepted: frozenset[int]) -> None:
        """Add a state that consumes any number of bytes."""
        for byte in accepted:
            self.self_loops[byte] |= self.state_bit
        self.repeated |= self.state_bit
        self.state_bit <<= 1

    def add_directories(self) -> None:
        """Add the states for ``**/``: any number of directories, each with its slash."""
        # A separate start state: after a byte was consumed, the slash is required.
        self.directories |= self.state_bit
        self.state_bit <<= 1
        self.add_repeated_bytes(_ALL)
        self.add_byte(frozenset([_SLASH]))


def _compile_pattern(pattern: bytes) -> _Automaton | None:
    """Return the automaton of a pattern, None if it never matches."""
    builder = _AutomatonBuilder()
    position = 0
    while position < len(pattern):
        byte = pattern[position]
        if byte == 0x2A:
            position = _compile_stars(pattern, position, builder)
        elif byte == 0x3F:
            builder.add_byte(_NOT_SLASH)
            position += 1
        elif byte == 0x5B:
            bracket = _parse_bracket(pattern, position)
            if bracket is None:
                return None
            accepted, position = bracket
            builder.add_byte(accepted - {_SLASH})
        else:
            position += byte == 0x5C
            if position == len(pattern):
                return None  # as in git, a backslash at the end matches nothing
            builder.add_byte(frozenset([pattern[position]]))
            position += 1
    return _Automaton(
        tuple(builder.transitions),
        tuple(builder.self_loops),
        builder.repeated,
        builder.directories,
        builder.state_bit,
    )


def _compile_stars(pattern: bytes, start: int, builder: _AutomatonBuilder) -> int:
    """Add the states for the stars at ``start`` and return the position after them."""
    end = start
    while pattern[end : end + 1] == b"*":
        end += 1
    remainder = pattern[end:]
    is_deep = (
        end - start > 1
        and (start == 0 or pattern[start - 1] == _SLASH)
        and (not remainder or remainder.startswith((b"/", b"\\/")))
    )
    if not is_deep:
        builder.add_repeated_bytes(_NOT_SLASH)
    elif remainder.startswith(b"/"):
        builder.add_directories()
        end += 1
        while repeated := _REPEATED_DIRECTORIES.match(pattern, end):  # `**/**/` is the same as `**/`
            end = repeated.end()
    else:
        builder.add_repeated_bytes(_ALL)
    return end


def _parse_bracket(pattern: bytes, start: int) -> tuple[frozenset[int], int] | None:
    """Return the bytes that a ``[...]`` accepts and the position after it; None if it is not closed."""
    position = start + 1
    negated = pattern[position : position + 1] in (b"!", b"^")
    position += negated
    accepted: set[int] = set()
    range_start = -1  # the byte that a range could begin with
    is_first = True
    while True:
        byte = pattern[position : position + 1]
        if not byte:
            return None
        if byte == b"]" and not is_first:
            break
        is_first = False
        end = _find_class_end(pattern, position)
        if end:
            class_bytes = _CLASSES.get(pattern[position + 2 : end - 2])
            if class_bytes is None:
                return None
            accepted |= class_bytes
            range_start, position = -1, end
            continue
        next_byte = pattern[position + 1 : position + 2]
        if byte == b"-" and range_start >= 0 and next_byte not in (b"", b"]"):
            position += 2 if next_byte == b"\\" else 1
            if position >= len(pattern):
                return None
            accepted.update(range(range_start, pattern[position] + 1))
            range_start, position = -1, position + 1
            continue
        position += byte == b"\\"
        if position >= len(pattern):
            return None
        range_start = pattern[position]
        accepted.add(range_start)
        position += 1
    return (_ALL - accepted if negated else frozenset(accepted)), position + 1


def _find_class_end(pattern: bytes, start: int) -> int:
    """Return the position after a ``[:name:]``, 0 if there is none at ``start``."""
    end = pattern.find(b"]", start + 2)
    is_class = pattern.startswith(b"[:", start) and end > start + 2 and pattern[end - 1] == 0x3A
    return end + 1 if is_class else 0
