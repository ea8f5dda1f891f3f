"""The documentation site: what becomes of pages, links and the table of contents, and the site as a whole."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.support.docs import ROOT
from tools import site, site_pages


@pytest.fixture(scope="module")
def built_site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    subprocess.run(
        [sys.executable, str(ROOT / "tools" / "site.py"), str(folder)],
        check=True,
        capture_output=True,
        timeout=600,
    )
    return folder


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("README.md", "[d](docs/README.md)", "[d](contents.md)"),
        ("README.md", "[r](docs/reference/recipe.md#args)", "[r](reference/recipe.md#args)"),
        ("README.md", "[l](LICENSE)", "[l](source/LICENSE.md)"),
        ("README.md", "![bars](bench/results/latest.svg)", "![bars](bench/results/latest.svg)"),
        ("docs/how-to/a.md", "[e](../../examples/README.md)", "[e](../examples.md)"),
        ("docs/how-to/a.md", "[e](../../examples/x/recipe.yaml)", "[e](../source/examples/x/recipe.yaml.md)"),
        (
            "docs/how-to/a.md",
            "[w](https://example.com/README.md) [a](#here)",
            "[w](https://example.com/README.md) [a](#here)",
        ),
        ("docs/how-to/a.md", "```sh\n[no](link.md)\n```\n[b](b.md)", "```sh\n[no](link.md)\n```\n[b](b.md)"),
        (
            "docs/how-to/a.md",
            "<!-- file: a.yaml -->\n```yaml\na: 1\n```",
            '```yaml title="a.yaml"\na: 1\n```',
        ),
        ("docs/how-to/a.md", "<!-- needs: curl -->\n\ntext", "\ntext"),
    ],
)
def test_a_page_becomes_a_page_of_the_site(name: str, text: str, expected: str) -> None:
    assert site_pages.site_text(name, text) == expected


def test_help_is_there_for_wide_and_for_narrow_screens() -> None:
    page = (ROOT / "docs" / "reference" / "version.md").read_text()
    text = site_pages.site_text("docs/reference/version.md", page)
    wide, narrow = re.findall(r"^```\{\.text \.(?:wide|narrow)\}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert wide in page
    assert wide.split() == narrow.split()
    assert max(map(len, narrow.splitlines())) <= 42 < max(map(len, wide.splitlines()))


def test_the_navigation_has_each_page_once() -> None:
    texts = site_pages.read_pages(ROOT)
    pages = re.findall(r"[\w./-]+\.md", json.dumps(site_pages.navigation(texts)))
    documented_twice = "reference/lock.md"  # the command and its file are one page
    assert sorted({*pages} - {site_pages.API_PAGE}) == sorted(map(site_pages.page_of, texts))
    assert [page for page in set(pages) if pages.count(page) > 1] == [documented_twice]


def test_each_page_has_the_structure_that_a_reader_of_the_repository_sees(built_site: Path) -> None:
    renderer = MarkdownIt("commonmark", {"html": True}).enable("table")
    differences = []
    for name, text in site_pages.read_pages(ROOT).items():
        page = next(built_site.glob("*/index.html")).parent / site_pages.page_of(name)
        article = re.search(r"<article.*?</article>", page.with_suffix(".html").read_text(), re.DOTALL)
        assert article is not None
        expected = renderer.render(site_pages.site_text(name, text))
        for tag in ("h2", "h3", "li", "ol", "ul", "table", "tr", "pre", "blockquote", "img"):
            counts = [len(re.findall(f"<{tag}[ >]", part)) for part in (expected, article[0])]
            if counts[0] != counts[1]:
                differences.append((name, tag, *counts))
    assert differences == []


def test_a_page_loads_nothing_from_other_hosts(built_site: Path) -> None:
    loaded = {
        source
        for page in built_site.rglob("*.html")
        for source in re.findall(
            r"<(?:script|img|link|iframe)[^>]* (?:src|href)=\"([^\"]+)\"", page.read_text()
        )
    }
    assert {source for source in loaded if re.match(r"(https?:)?//", source)} == set()


def test_a_broken_link_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "index.md").write_text("# Page\n\n[there](nothing.md)\n")
    (tmp_path / "mkdocs.yml").write_text("site_name: Test\n")
    with pytest.raises(SystemExit, match=r"(?s)\[there\]\(nothing\.md\).*cannot build the site"):
        site.generate(tmp_path)


def test_the_first_page_leads_to_the_newest_version(tmp_path: Path) -> None:
    for version in ("0.9.0", "0.10.0"):
        site.write(tmp_path / version / "index.html", "")
    site.list_versions(tmp_path)
    assert "url=0.10.0/index.html" in (tmp_path / "index.html").read_text()
    entries = json.loads((tmp_path / "versions.json").read_text())
    assert [(entry["version"], entry["aliases"]) for entry in entries] == [
        ("0.10.0", ["latest"]),
        ("0.9.0", []),
    ]
