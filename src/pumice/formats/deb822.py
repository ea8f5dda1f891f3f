"""Paragraphs of ``Name: value`` fields (deb822(5)): control files, Release, ``.sources``.

Values keep their text: the first line without surrounding white space, continuation lines unchanged,
so that `format_paragraph` returns what dpkg wrote.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_FIELDS = 1000
"""Maximum number of fields in a paragraph; the largest real ones have about forty."""

Paragraph = dict[str, str]


def read_paragraphs(
    data: bytes, *, comments: bool = False, latin1: bool = False, where: str | None = None
) -> Iterator[Paragraph]:
    """Yield the paragraphs of ``data`` in order, each with its fields in order.

    ``comments`` skips lines that start with ``#`` (allowed in sources and debian/control, not in indexes).
    ``latin1`` decodes lines that are not UTF-8 as Latin-1, as in old packages; dpkg does not check the
    encoding. ``where`` is the file name for errors. Raises FormatError for malformed input, duplicate
    fields and too many fields.
    """
    fields: Paragraph = {}
    names: set[str] = set()
    current_field = ""
    for number, line in enumerate(_split_lines(data, where, latin1), 1):
        if comments and line.startswith("#"):
            continue
        if not line.strip(" \t"):
            if fields:
                yield fields
            fields, names, current_field = {}, set(), ""
        elif line[0] in " \t":
            if not current_field:
                raise FormatError(
                    "a continuation line has no field before it", where=_format_location(where, number)
                )
            fields[current_field] += "\n" + line
        else:
            current_field, value = _parse_field(line, _format_location(where, number))
            if current_field.lower() in names:
                raise FormatError(
                    f"the field {current_field[:100]} appears twice", where=_format_location(where, number)
                )
            if len(names) >= MAX_FIELDS:
                raise FormatError(
                    f"a paragraph has more than {MAX_FIELDS} fields", where=_format_location(where, number)
                )
            names.add(current_field.lower())
            fields[current_field] = value
    if fields:
        yield fields


def read_paragraph(data: bytes, *, latin1: bool = False, where: str | None = None) -> Paragraph:
    """Return the only paragraph of ``data``; raises FormatError if there is not exactly one."""
    paragraphs = read_paragraphs(data, latin1=latin1, where=where)
    paragraph = next(paragraphs, None)
    if paragraph is None:
        raise FormatError("expected a paragraph of fields, found none", where=where)
    if next(paragraphs, None) is not None:
        raise FormatError("expected one paragraph of fields, found more", where=where)
    return paragraph


def lowercase_names(fields: Mapping[str, str]) -> Paragraph:
    """Return ``fields`` by lower-case names, because field names are case-insensitive."""
    return {name.lower(): value for name, value in fields.items()}


def format_paragraph(fields: Mapping[str, str]) -> str:
    """Return the text of one paragraph with a final newline, as dpkg writes it."""
    return "".join(
        f"{name}:{value}\n" if value[:1] in {"", "\n"} else f"{name}: {value}\n"
        for name, value in fields.items()
    )


def _split_lines(data: bytes, where: str | None, latin1: bool) -> list[str]:
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        if latin1:
            text = "\n".join(map(_decode_line, data.split(b"\n")))
            return [line.removesuffix("\r") for line in text.split("\n")]
        raise FormatError(
            "the text is not UTF-8", where=_format_location(where, data.count(b"\n", 0, error.start) + 1)
        ) from None
    return [line.removesuffix("\r") for line in text.split("\n")]


def _decode_line(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        return line.decode("latin-1")


def _parse_field(line: str, where: str | None) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    # Debian Policy 5.1: printable ASCII without space and colon, not starting with # or -.
    if not colon or not name or name[0] in "#-" or not all("!" <= letter <= "~" for letter in name):
        raise FormatError("expected a line of the form Name: value", where=where)
    return name, value.strip(" \t")


def _format_location(where: str | None, line: int) -> str | None:
    return f"{where}:{line}" if where else None
