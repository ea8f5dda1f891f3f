"""Writes texts as scalars of YAML, which are quoted only where they need it."""

from __future__ import annotations

import re

# Strings that every YAML reader takes for strings without quotes.
_UNQUOTED = re.compile(r"[A-Za-z/][A-Za-z0-9_./@+-]*( [A-Za-z0-9_./@+-]+)*")
_UNQUOTED_IN_LIST = re.compile(r"-{0,2}[A-Za-z/][A-Za-z0-9_./@+-]*")
_YAML_WORDS = frozenset(("true", "false", "yes", "no", "on", "off", "y", "n", "null"))
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\xad\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")


def quote_text(text: str, *, in_flow: bool = False) -> str:
    """Return ``text`` as YAML; ``in_flow``: as an item of a list in brackets."""
    unquoted = _UNQUOTED_IN_LIST if in_flow else _UNQUOTED
    if unquoted.fullmatch(text) and text.lower() not in _YAML_WORDS:
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    return f'"{escape_unprintable(escaped)}"'


def escape_unprintable(text: str) -> str:
    """Return ``text`` with characters that no terminal shows as escapes of YAML."""
    return _UNPRINTABLE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
