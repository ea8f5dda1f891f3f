"""What a list of patterns ignores, as gitignore(5) has it and git's own matcher decides.

Patterns and paths are bytes, as in git: ``?`` is one byte. A pattern becomes a row of steps, and
all the places in that row where a match can be are kept as the bits of one number, so no pattern
takes more than its length times that of the path.
"""

from __future__ import annotations

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
    """A list of patterns, of which the last that matches decides; ``!`` takes things back in.

    What lies in an ignored folder is for the caller never to look at.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        rules = [_rule(pattern.encode("utf-8", "surrogateescape")) for pattern in patterns]
        self._rules = tuple(rule for rule in reversed(rules) if rule is not None)

    def __call__(self, path: str, *, is_directory: bool) -> bool:
        """Return whether ``path``, relative to where the patterns stand, is ignored."""
        whole = path.encode("utf-8", "surrogateescape")
        name = whole.rpartition(b"/")[2]
        for rule in self._rules:
            if rule.directories_only and not is_directory:
                continue
            if _matches(rule, name if rule.by_name else whole):
                return not rule.negated
        return False


class _Row(msgspec.Struct, frozen=True):
    """The steps of a pattern behind its literal beginning.

    ``moves`` maps a byte to the places from which it leads one place on, ``stays`` to those where it
    leads nowhere else; ``skips`` are (place, places that are reached from there by nothing at all).
    """

    moves: tuple[int, ...]
    stays: tuple[int, ...]
    skips: tuple[tuple[int, int], ...]
    end: int


class _Rule(msgspec.Struct, frozen=True):
    negated: bool
    directories_only: bool
    by_name: bool
    literal: bytes
    row: _Row | None
    """None: the pattern is its literal."""


def _rule(line: bytes) -> _Rule | None:
    """Read one pattern; None for a comment, an empty one, and one that can never match."""
    if line.startswith(b"#"):
        return None
    line = _without_trailing_spaces(line)
    negated = line.startswith(b"!")
    body = line[1:] if negated else line
    directories_only = body.endswith(b"/")
    body = body[:-1] if directories_only else body
    by_name = b"/" not in body
    if not body:
        return None
    body = body.removeprefix(b"/")
    length = next((place for place, byte in enumerate(body) if byte in _SPECIAL), len(body))
    # As in git, what follows the literal beginning is matched by itself: `a**/b` matches `ab`.
    row = None if length == len(body) else _row(body[length:])
    if length < len(body) and row is None:
        return None
    return _Rule(negated, directories_only, by_name, body[:length], row)


def _without_trailing_spaces(line: bytes) -> bytes:
    stripped = line.rstrip(b" ")
    backslashes = len(stripped) - len(stripped.rstrip(b"\\"))
    return stripped + b" " if backslashes % 2 and stripped != line else stripped


def _matches(rule: _Rule, text: bytes) -> bool:
    if rule.row is None:
        return text == rule.literal
    if not text.startswith(rule.literal):
        return False
    row = rule.row
    state = _closed(1, row)
    for byte in text[len(rule.literal) :]:
        state = (state & row.moves[byte]) << 1 | state & row.stays[byte]
        if not state:
            return False
        state = _closed(state, row)
    return bool(state & row.end)


def _closed(state: int, row: _Row) -> int:
    for place, others in row.skips:
        if state & place:
            state |= others
    return state


class _Builder:
    """A row in the making."""

    def __init__(self) -> None:
        self.moves = [0] * 256
        self.stays = [0] * 256
        self.skips: list[tuple[int, int]] = []
        self.place = 1

    def one_of(self, accepted: frozenset[int]) -> None:
        """Add a step that takes one byte."""
        for byte in accepted:
            self.moves[byte] |= self.place
        self.place <<= 1

    def any_of(self, accepted: frozenset[int]) -> None:
        """Add a step that takes any number of bytes."""
        for byte in accepted:
            self.stays[byte] |= self.place
        self.skips.append((self.place, self.place << 1))
        self.place <<= 1

    def folders(self) -> None:
        """Add what ``**/`` stands for: any folders, each with its slash, or none."""
        # A place of its own to begin at: there is no way round the slash once a byte was taken.
        self.skips.append((self.place, self.place << 1 | self.place << 3))
        self.place <<= 1
        self.any_of(_ALL)
        self.one_of(frozenset([_SLASH]))


def _row(pattern: bytes) -> _Row | None:
    """Return the steps of a pattern, None if it can never match."""
    made = _Builder()
    position = 0
    while position < len(pattern):
        byte = pattern[position]
        if byte == 0x2A:
            position = _stars(pattern, position, made)
        elif byte == 0x3F:
            made.one_of(_NOT_SLASH)
            position += 1
        elif byte == 0x5B:
            found = _bracket(pattern, position)
            if found is None:
                return None
            accepted, position = found
            made.one_of(accepted - {_SLASH})
        else:
            position += byte == 0x5C
            if position == len(pattern):
                return None  # git: a backslash at the end matches nothing
            made.one_of(frozenset([pattern[position]]))
            position += 1
    return _Row(tuple(made.moves), tuple(made.stays), tuple(made.skips), made.place)


def _stars(pattern: bytes, start: int, made: _Builder) -> int:
    """Add the steps of the stars at ``start`` and return the position behind them."""
    end = start
    while pattern[end : end + 1] == b"*":
        end += 1
    rest = pattern[end:]
    is_deep = (
        end - start > 1
        and (start == 0 or pattern[start - 1] == _SLASH)
        and (not rest or rest.startswith((b"/", b"\\/")))
    )
    if not is_deep:
        made.any_of(_NOT_SLASH)
    elif rest.startswith(b"/"):
        made.folders()
        end += 1
    else:
        made.any_of(_ALL)
    return end


def _bracket(pattern: bytes, start: int) -> tuple[frozenset[int], int] | None:
    """Return the bytes that a ``[...]`` accepts and the position behind it; None if it has no end."""
    position = start + 1
    negated = pattern[position : position + 1] in (b"!", b"^")
    position += negated
    accepted: set[int] = set()
    before = -1  # the byte that a range could begin with
    first = True
    while True:
        byte = pattern[position : position + 1]
        if not byte:
            return None
        if byte == b"]" and not first:
            break
        first = False
        end = _end_of_class(pattern, position)
        if end:
            named = _CLASSES.get(pattern[position + 2 : end - 2])
            if named is None:
                return None
            accepted |= named
            before, position = -1, end
            continue
        following = pattern[position + 1 : position + 2]
        if byte == b"-" and before >= 0 and following not in (b"", b"]"):
            position += 2 if following == b"\\" else 1
            if position >= len(pattern):
                return None
            accepted.update(range(before, pattern[position] + 1))
            before, position = -1, position + 1
            continue
        position += byte == b"\\"
        if position >= len(pattern):
            return None
        before = pattern[position]
        accepted.add(before)
        position += 1
    return (_ALL - accepted if negated else frozenset(accepted)), position + 1


def _end_of_class(pattern: bytes, start: int) -> int:
    """Return the position behind a ``[:name:]``, 0 if there is none at ``start``."""
    end = pattern.find(b"]", start + 2)
    is_class = pattern.startswith(b"[:", start) and end > start + 2 and pattern[end - 1] == 0x3A
    return end + 1 if is_class else 0
