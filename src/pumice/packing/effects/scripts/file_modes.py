"""File modes as chmod(1) takes them: octal (``0640``) and symbolic (``u+s,go-w``)."""

from __future__ import annotations

import re

_CLAUSE = re.compile(r"([ugoa]*)([=+-])([rwxXst]*)")
_PERMISSION_BITS = {"r": 4, "w": 2, "x": 1}
_CLASS_SHIFTS = {"u": 6, "g": 3, "o": 0}


def parse_mode(text: str, current_mode: int, *, is_directory: bool = False) -> int:
    """Return the mode that ``text`` gives to a file of ``current_mode``.

    As with GNU chmod, a short octal mode keeps the setuid and setgid bits of a directory.
    Raises ValueError for a malformed mode.
    """
    if text.isdecimal():
        mode = int(text, 8)
        if mode > 0o7777:
            raise ValueError(text)
        return mode | (current_mode & 0o6000 if is_directory and len(text) < 5 else 0)
    mode = current_mode
    for clause in text.split(","):
        match = _CLAUSE.fullmatch(clause)
        if not match:
            raise ValueError(text)
        mode = _apply_clause(mode, *match.groups(), is_directory=is_directory)
    return mode


def _apply_clause(mode: int, classes: str, operator: str, permissions: str, *, is_directory: bool) -> int:
    is_for_all = not classes or "a" in classes
    mask = bits = 0
    for letter, shift in _CLASS_SHIFTS.items():
        if not is_for_all and letter not in classes:
            continue
        mask |= 7 << shift
        for permission, bit in _PERMISSION_BITS.items():
            is_executable = permission == "x" and "X" in permissions and (is_directory or mode & 0o111)
            if permission in permissions or is_executable:
                bits |= bit << shift
    if "s" in permissions:
        bits |= 0o4000 if is_for_all or "u" in classes else 0
        bits |= 0o2000 if is_for_all or "g" in classes else 0
    if "t" in permissions:
        bits |= 0o1000
    if operator == "+":
        return mode | bits
    return mode & ~bits if operator == "-" else mode & ~mask | bits
