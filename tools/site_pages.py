"""The pages of the documentation site, as the site generator needs them.

The Markdown files are written for a reader of the repository: their links lead to files of the repository,
and comments before code blocks tell the tests what to do. Here both become what a site needs.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools import reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

PAGES = {
    "README.md": "index.md",
    "docs/README.md": "contents.md",
    "examples/README.md": "examples.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
"""Pages of the site whose files are not below docs, or have another name there."""

API_PAGE = "reference/api.md"
"""A page that only the site has, after the page that describes the Python API."""

_LINK = re.compile(r"(\]\()([^)\s#]+)(#[^)\s]*)?(\))")
_FENCE = re.compile(r"^(`{3,}|~{3,}).*?^\1$", re.MULTILINE | re.DOTALL)
_FILE_NOTE = re.compile(r"^<!-- file: (\S+) -->\n+```([a-z]*)$", re.MULTILINE)
_NOTE = re.compile(r"^<!-- [^\n]* -->\n", re.MULTILINE)
_HELP = re.compile(r"^<!-- help -->\n```text\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PHONE_COLUMNS = 42
"""How many characters of code fit on a screen that is 400 pixels wide."""
_SECTION = re.compile(r"^## ([^:\n]+)(?::[^\n]*)?$", re.MULTILINE)
_ENTRY = re.compile(r"\[([^\]]+)\]\(([^)#\s]+\.md)\)|^([A-Z][^\n:]*):$", re.MULTILINE)
_LANGUAGES = {".yaml": "yaml", ".yml": "yaml", ".py": "python", ".json": "json", ".toml": "toml", ".sh": "sh"}
_PICTURES = (".svg", ".png")


def read_pages(root: Path) -> dict[str, str]:
    """Return the text of each Markdown file of the site by its path in the repository."""
    names = [path.relative_to(root).as_posix() for path in sorted((root / "docs").rglob("*.md"))]
    return {name: (root / name).read_text(encoding="utf-8") for name in dict.fromkeys([*PAGES, *names])}


def page_of(name: str) -> str:
    """Return the path in the site of a file of the repository: a page, or a picture."""
    if name in PAGES:
        return PAGES[name]
    if name.endswith(_PICTURES) or name.startswith("docs/"):
        return name.removeprefix("docs/")
    return f"source/{name}.md"


def site_text(name: str, text: str) -> str:
    """Return the text of a Markdown file of the repository as the site needs it."""
    text = _HELP.sub(lambda match: _help_blocks(Path(name).stem, match[1]), text)
    text = _NOTE.sub("", _FILE_NOTE.sub(r'```\2 title="\1"', text))
    return _outside_fences(text, lambda part: _LINK.sub(lambda match: _site_link(name, match), part))


def _help_blocks(verb: str, text: str) -> str:
    """Return the help of a command for wide and for narrow screens; site.css shows one of them."""
    narrow_text = reference.help_text(verb, _PHONE_COLUMNS)
    return f"```{{.text .wide}}\n{text}```\n\n```{{.text .narrow}}\n{narrow_text}```"


def linked_files(texts: Mapping[str, str], root: Path) -> set[str]:
    """Return the files of the repository that the pages link to and that are not pages themselves."""
    names = {target for name, text in texts.items() for target in _targets(name, text)}
    return {name for name in names - texts.keys() if (root / name).is_file()}


def code_page(name: str, text: str) -> str:
    """Return a page that shows a file of the repository."""
    language = _LANGUAGES.get(Path(name).suffix, "text")
    return f"# {name}\n\n````{language}\n{text.rstrip()}\n````\n"


def navigation(texts: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the navigation: the sections and entries of the table of contents, and all decisions."""
    contents = texts["docs/README.md"]
    decisions = [page_of(name) for name in texts if name.startswith("docs/adr/")]
    headings = list(_SECTION.finditer(contents))
    ends = [*(heading.start() for heading in headings[1:]), len(contents)]
    sections = [
        {heading[1]: _entries(contents[heading.end() : end])}
        for heading, end in zip(headings, ends, strict=True)
    ]
    return [
        {"Home": "index.md"},
        *sections,
        {"Decisions": decisions},
        {
            "Project": [
                {"Examples": "examples.md"},
                {"All pages": "contents.md"},
                {"Contribute": "contributing.md"},
                {"Changes": "changelog.md"},
            ]
        },
    ]


def _entries(section: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    group = entries
    for title, path, heading in _ENTRY.findall(section):
        if path.startswith("adr/"):
            continue
        if heading:
            group = []
            entries.append({heading: group})
        else:
            group.append({title: path})
        if path == "reference/python.md":
            group.append({"Python docstrings": API_PAGE})
    return entries


def _targets(name: str, text: str) -> Iterator[str]:
    for part in _FENCE.sub("", text).splitlines():
        for match in _LINK.finditer(part):
            if target := _repository_path(name, match[2]):
                yield target


def _repository_path(name: str, link: str) -> str:
    """Return the path in the repository that a link leads to, or nothing for a link to elsewhere."""
    if re.match(r"[a-z]+:", link):
        return ""
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), link))


def _site_link(name: str, match: re.Match[str]) -> str:
    target = _repository_path(name, match[2])
    if not target:
        return match[0]
    link = posixpath.relpath(page_of(target), posixpath.dirname(page_of(name)) or ".")
    return f"{match[1]}{link}{match[3] or ''}{match[4]}"


def _outside_fences(text: str, change: Callable[[str], str]) -> str:
    parts, end = [], 0
    for fence in _FENCE.finditer(text):
        parts += [change(text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, change(text[end:])])
