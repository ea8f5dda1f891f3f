"""Text from outside on its way to a person: nothing in it may command a terminal or forge a line of a log.

Names, messages and documents come from recipes, images, archives, mirrors and registries. Escape sequences
move the cursor and retitle windows, C1 controls do the same in one character, and bidirectional controls
show other text than is there. All of that is written as ``\\uXXXX``, which JSON reads as the same text.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging


def printable(text: str) -> str:
    """Return ``text`` with everything escaped that is not printable; line breaks and tabs stay."""
    return text if text.isprintable() else _escape(text, "\n\t")


def printable_line(text: str) -> str:
    """Return ``text`` as `printable` does, and in one line."""
    return text if text.isprintable() else _escape(text, "")


def _escape(text: str, kept: str) -> str:
    found = {ord(c): _escaped(c) for c in set(text) if not c.isprintable() and c not in kept}
    return text.translate(found) if found else text


def _escaped(character: str) -> str:
    code = ord(character)
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def logger(name: str) -> logging.Logger:
    """Return a logger whose records are printable lines, whoever handles them."""
    import logging

    found = logging.getLogger(name)
    if _printable_record not in found.filters:
        found.addFilter(_printable_record)
    return found


def _printable_record(record: logging.LogRecord) -> bool:
    record.msg, record.args = printable_line(record.getMessage()), None
    if record.exc_info and record.exc_info[0] is not None:
        import traceback

        # What is here already is not formatted again. A traceback has lines, and the error's text is in it.
        record.exc_text = printable("".join(traceback.format_exception(*record.exc_info)).rstrip())
    return True
