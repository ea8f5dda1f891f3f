"""Reads the meta tags in the head of an HTML page.

Pages are hostile: every step moves forward, so the time is linear in the size, and nothing is built but the
list of tags. As browsers do, it accepts missing quotes, entities, any case, and tags in any order. What is
in a comment, a script, a title or a template is text, and tags after the head do not count.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_HEAD = 1 << 19
"""Bytes of a page that are read; the head must end within them."""
MAX_TAGS = 1000
_ELEMENT = re.compile(r"</?([a-zA-Z][^\s/>]*)")
_ATTRIBUTE = re.compile(
    r"[\s/]*([^\s/>=]+|=[^\s/>=]*)(?:\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]*)))?", re.DOTALL
)
_TEXT_ELEMENTS = frozenset(
    {"script", "style", "title", "textarea", "template", "xmp", "iframe", "noembed", "noframes"}
)


class MetaTag(msgspec.Struct, frozen=True):
    """A ``<meta name=… content=…>``."""

    name: str
    content: str


class Head(msgspec.Struct, frozen=True):
    """The meta tags of a page. ``is_complete``: the end of the head was reached."""

    tags: tuple[MetaTag, ...] = ()
    is_complete: bool = True


def read_head(data: bytes) -> Head:
    """Return the meta tags in the head of a page; never raises."""
    text = data.decode("utf-8", "replace")
    tags: list[MetaTag] = []
    for element, attributes in _read_elements(text):
        if element in ("/head", "body", "frameset"):
            return Head(tuple(tags))
        if element == "meta" and "name" in attributes and len(tags) < MAX_TAGS:
            tags.append(MetaTag(attributes["name"].strip().lower(), attributes.get("content", "")))
    return Head(tuple(tags), is_complete=False)


def _read_elements(text: str) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each tag as its name in lower case, with a slash for an end tag, and its attributes."""
    position = text.find("<")
    while position >= 0:
        if text.startswith("<!--", position):
            # A browser ends an unfinished comment with the page, so nothing after it counts.
            end = text.find("-->", position + 2)
            position = text.find("<", end + 3) if end >= 0 else -1
            continue
        match = _ELEMENT.match(text, position)
        if match is None:
            end = text.find(">", position) if text[position + 1 : position + 2] in "!?/" else position
            position = text.find("<", end + 1) if end >= 0 else -1
            continue
        name = match[1].lower()
        is_end = text[position + 1] == "/"
        attributes, position = _read_attributes(text, match.end())
        if position < 0:  # a browser drops an unfinished tag
            return
        yield f"/{name}" if is_end else name, attributes
        if name in _TEXT_ELEMENTS and not is_end:
            ending = re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE | re.ASCII).search(text, position)
            position = ending.start() if ending else -1
        else:
            position = text.find("<", position)


def _read_attributes(text: str, position: int) -> tuple[dict[str, str], int]:
    """Return the attributes of a tag, the first of each name, and where it ends; -1 if it does not."""
    attributes: dict[str, str] = {}
    while match := _ATTRIBUTE.match(text, position):
        value = next((group for group in match.groups()[1:] if group is not None), "")
        attributes.setdefault(match[1].lower(), html.unescape(value))
        position = match.end()
    end = text.find(">", position)
    return attributes, end + 1 if end >= 0 else -1
