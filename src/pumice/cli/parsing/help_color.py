"""Colors of help: headings are bold, the names of commands, options and operands are cyan."""

from __future__ import annotations

from pumice.cli.display.streams import paint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

_BOLD, _CYAN = "1", "36"
_USAGE = "usage:"


def color_help(text: str, headings: Collection[str], names: Iterable[str]) -> str:
    """Return a help text in color; its characters stay the same.

    ``names`` begin the lines that explain them, indented by two spaces: ``-o, --output FILE``.
    """
    names = sorted(names, key=len, reverse=True)
    return "\n".join(_color_line(line, headings, names) for line in text.split("\n"))


def _color_line(line: str, headings: Collection[str], names: Iterable[str]) -> str:
    if line in headings:
        return paint(line, _BOLD)
    if line.startswith(_USAGE):
        return paint(_USAGE, _BOLD) + line.removeprefix(_USAGE)
    name = next((name for name in names if f"{line}  ".startswith(f"  {name}  ")), "")
    return f"  {_color_name(name)}{line[2 + len(name) :]}" if name else line


def _color_name(name: str) -> str:
    """Color an operand or a command, and of ``-o, --output FILE`` only the names of the option."""
    if not name.startswith("-"):
        return paint(name, _CYAN)
    parts = (part.partition(" ") for part in name.split(", "))
    return ", ".join(f"{paint(option, _CYAN)}{space}{value}" for option, space, value in parts)
