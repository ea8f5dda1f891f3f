"""``make docs``: render the Markdown pages as a small static site that works from a folder.

Usage: python tools/site.py FOLDER
"""

from __future__ import annotations

import html
import posixpath
import re
import shutil
import sys
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).resolve().parent.parent
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "examples/README.md", "bench/README.md")

STYLE = """
:root { color-scheme: light dark; --line: color-mix(in srgb, currentColor 18%, transparent); }
body { font: 17px/1.6 system-ui, sans-serif; max-width: 46rem; margin: 0 auto; padding: 1rem 1.25rem 4rem; }
nav { display: flex; gap: 1rem; padding-bottom: .75rem; border-bottom: 1px solid var(--line); }
h1, h2, h3 { line-height: 1.25; margin-top: 2rem; }
a { color: light-dark(#0b5fa5, #7cc0ff); }
code, pre { font: 14px/1.5 ui-monospace, monospace; }
code { background: var(--line); padding: .1em .3em; border-radius: 4px; }
pre { overflow-x: auto; padding: .75rem 1rem; border: 1px solid var(--line); border-radius: 8px; }
pre code { background: none; padding: 0; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { padding: .35rem .75rem; border-bottom: 1px solid var(--line); text-align: left; }
img { max-width: 100%; }
"""

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
<nav>{nav}</nav>
<main>
{body}</main>
</html>
"""


def main(folder: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    sources = [ROOT / name for name in PAGES if (ROOT / name).exists()]
    sources += sorted((ROOT / "docs").rglob("*.md"))
    renderer = MarkdownIt("commonmark", {"html": True}).enable("table")
    for source in sources:
        name = source.relative_to(ROOT).as_posix()
        target = folder / page_path(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(render(renderer, source.read_text(), name))
    for picture in sorted([*(ROOT / "docs").rglob("*.svg"), *(ROOT / "bench").rglob("*.svg")]):
        copy = folder / picture.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(picture, copy)
    print(f"{len(sources)} pages; begin with {folder / 'index.html'}")


def page_path(path: str) -> str:
    """Return the path of the page of a Markdown file: README.md becomes index.html."""
    return re.sub(r"(^|/)README\.md$", r"\1index.html", path).replace(".md", ".html")


def render(renderer: MarkdownIt, text: str, name: str) -> str:
    text = re.sub(r"^<!-- .*? -->\n", "", text, flags=re.MULTILINE)
    body = renderer.render(text)
    body = re.sub(
        r'href="(?!https?:|#)([^"#]+\.md)(#[^"]*)?"', lambda m: f'href="{page_path(m[1])}{m[2] or ""}"', body
    )
    body = re.sub(r"<(h[1-6])>(.*?)</\1>", lambda m: f'<{m[1]} id="{anchor(m[2])}">{m[2]}</{m[1]}>', body)
    first = re.search(r"^# (.+)$", text, re.MULTILINE)
    title = html.escape(first[1] if first else "Pumice")
    up = posixpath.relpath(".", posixpath.dirname(name) or ".")
    links = [
        ("index.html", "Pumice"),
        ("docs/index.html", "Documentation"),
        ("examples/index.html", "Examples"),
    ]
    nav = " ".join(f'<a href="{posixpath.join(up, target)}">{label}</a>' for target, label in links)
    return PAGE.format(title=title, style=STYLE, nav=nav, body=body)


def anchor(heading: str) -> str:
    """Return the anchor of a heading, like GitHub's."""
    words = html.unescape(re.sub(r"<[^>]+>", "", heading)).lower()
    return re.sub(r"[^\w -]", "", words).replace(" ", "-")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/site.py FOLDER")
    main(Path(sys.argv[1]))
