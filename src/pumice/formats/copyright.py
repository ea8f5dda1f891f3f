"""Copyright files of Debian packages: the machine-readable form (DEP-5, copyright-format/1.0) and prose.

A quarter of real files are prose, and many of the others have small errors. So reading never fails,
and the text is kept so that it can be quoted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

_FORMAT = re.compile(r"^Format(-Specification)?:[ \t]*\S", re.MULTILINE | re.IGNORECASE)
_FIELD = re.compile(r"([A-Za-z][A-Za-z-]{0,40})[ \t]*:[ \t]*(.*)")
_COMMON = re.compile(r"/usr/share/common-licenses/([A-Za-z0-9][A-Za-z0-9.+-]*)")
_LATER = re.compile(r"any\s+later\s+version|or\s+\(?\s*at\s+your\s+option|or\s+later", re.IGNORECASE)
_MAX_TEXT = 1 << 20
_MAX_PARAGRAPHS = 20_000
_HEAD = 4096


class License(msgspec.Struct, frozen=True):
    """One ``License`` field: the short name in its first line, and the text below it."""

    name: str
    text: str = ""


class Copyright(msgspec.Struct, frozen=True):
    """The content of a copyright file.

    ``files`` are the licenses of ``Files`` paragraphs in order, ``header`` that of the header paragraph,
    ``texts`` those of stand-alone paragraphs; all are empty for prose. ``common`` are the names in
    ``/usr/share/common-licenses`` that the text mentions. ``allows_later_versions`` is true if it permits
    later versions of a license.
    """

    machine_readable: bool
    files: tuple[License, ...]
    header: License | None
    texts: tuple[License, ...]
    common: tuple[str, ...]
    allows_later_versions: bool
    text: str


def read_copyright(data: bytes) -> Copyright:
    """Return the content of a copyright file, for any bytes. Only the first MiB is read."""
    text = data[:_MAX_TEXT].decode("utf-8", "replace").replace("\r\n", "\n")
    common = tuple(dict.fromkeys(name.rstrip(".") for name in _COMMON.findall(text)))
    allows_later_versions = _LATER.search(text) is not None
    if not _FORMAT.search(text[:_HEAD]):
        return Copyright(False, (), None, (), common, allows_later_versions, text)
    files: list[License] = []
    standalone_texts: list[License] = []
    header: License | None = None
    for number, fields in enumerate(_split_paragraphs(text)):
        license_field = _parse_license(fields.get("license", ""))
        if license_field is None:
            continue
        if number == 0 and "files" not in fields:
            header = license_field
        elif "files" in fields:
            files.append(license_field)
        else:
            standalone_texts.append(license_field)
    return Copyright(
        bool(files or header),
        tuple(files),
        header,
        tuple(standalone_texts),
        common,
        allows_later_versions,
        text,
    )


def _parse_license(value: str) -> License | None:
    name, _, text_lines = value.partition("\n")
    if not name.strip() and not text_lines.strip():
        return None
    lines = [line[1:] if line[:1] in (" ", "\t") else line for line in text_lines.split("\n")]
    text = "\n".join("" if line.strip() == "." else line.rstrip() for line in lines).strip("\n")
    return License(" ".join(name.split())[:200], text)


def _split_paragraphs(text: str) -> Iterator[dict[str, str]]:
    """Yield paragraphs as fields by lower-case names; malformed lines continue the field before them."""
    fields: dict[str, list[str]] = {}
    current_field = ""
    count = 0
    for line in text.split("\n"):
        if not line.strip():
            if fields:
                yield {name: "\n".join(lines) for name, lines in fields.items()}
                count += 1
            if count >= _MAX_PARAGRAPHS:
                return
            fields, current_field = {}, ""
        elif line[0] in " \t":
            if current_field:
                fields[current_field].append(line)
        elif match := _FIELD.fullmatch(line):
            current_field = match[1].lower()
            fields.setdefault(current_field, []).append(match[2])
        elif current_field:
            fields[current_field].append(" " + line)
    if fields:
        yield {name: "\n".join(lines) for name, lines in fields.items()}
