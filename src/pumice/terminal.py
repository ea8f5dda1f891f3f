"""Texts for terminals and logs, which untrusted text must not control or forge.

Names, messages and documents come from recipes, images, archives, mirrors and registries. Escape sequences
move the cursor and set window titles, C1 controls do the same in one character, and bidirectional controls
display text that differs from the characters. All of these are written as ``\\uXXXX``, as in JSON.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    import logging


def printable(text: str) -> str:
    """Return ``text`` with all unprintable characters escaped except line breaks and tabs."""
    return text if text.isprintable() else _escape(text, "\n\t")


def printable_line(text: str) -> str:
    """Return ``text`` with all unprintable characters escaped, line breaks and tabs included."""
    return text if text.isprintable() else _escape(text, "")


def format_count(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, such as ``1 package`` or ``2 packages``."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def _escape(text: str, exceptions: str) -> str:
    escapes = {
        ord(character): _escape_character(character)
        for character in set(text)
        if not character.isprintable() and character not in exceptions
    }
    return text.translate(escapes) if escapes else text


def _escape_character(character: str) -> str:
    code = ord(character)
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


def get_logger(name: str) -> logging.Logger:
    """Return a logger whose records are escaped, whichever handler writes them."""
    import logging

    logger = logging.getLogger(name)
    if _escape_record not in logger.filters:
        logger.addFilter(_escape_record)
    return logger


def _escape_record(record: logging.LogRecord) -> bool:
    record.msg, record.args = printable_line(record.getMessage()), None
    if record.exc_info and record.exc_info[0] is not None:
        import traceback

        # Handlers reuse this text. A traceback has several lines, and contains the error's message.
        record.exc_text = printable("".join(traceback.format_exception(*record.exc_info)).rstrip())
    return True
