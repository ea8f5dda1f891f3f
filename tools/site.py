"""``make docs``: build the documentation site.

The site is in FOLDER/VERSION, so that a server can keep the sites of several versions; FOLDER/index.html
leads to the newest. A broken link or anchor is an error.

Usage: python tools/site.py FOLDER
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # as a program, only tools/ is on the path

import pumice
from pumice.version import __version__
from tools import site_pages

ROOT = Path(__file__).resolve().parent.parent
REDIRECT = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url={version}/index.html">
<title>Pumice</title>
<a href="{version}/index.html">The documentation of Pumice {version}</a>
</html>
"""


def main(folder: Path) -> None:
    """Build the site of this version below the folder, and list the versions there."""
    with tempfile.TemporaryDirectory() as workplace:
        count = write_sources(Path(workplace))
        generate(Path(workplace))
        target = folder / __version__
        shutil.rmtree(target, ignore_errors=True)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.move(Path(workplace) / "site", target)
    list_versions(folder)
    print(f"{count} pages; to read and search them: python3 -m http.server --directory {folder}")


def write_sources(workplace: Path) -> int:
    """Write the settings and the pages that the generator reads; return the number of pages."""
    docs = workplace / "docs"
    texts = site_pages.read_pages(ROOT)
    for name, text in texts.items():
        write(docs / site_pages.page_of(name), front_matter(name) + site_pages.site_text(name, text))
    for name in sorted(site_pages.linked_files(texts, ROOT)):
        target = docs / site_pages.page_of(name)
        if target.suffix == ".md":
            write(target, site_pages.code_page(name, (ROOT / name).read_text(encoding="utf-8")))
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
    write(docs / site_pages.API_PAGE, api_page())
    write(docs / "assets" / "site.css", (ROOT / "tools" / "site.css").read_text())
    settings = (ROOT / "tools" / "site.yml").read_text()
    nav = yaml.safe_dump({"nav": site_pages.navigation(texts)}, sort_keys=False)
    write(workplace / "mkdocs.yml", settings + nav)
    return len(texts)


def front_matter(name: str) -> str:
    """Return the settings of a page: the first one has no sidebar, because it would be empty."""
    return "---\nhide: [navigation]\n---\n\n" if name == "README.md" else ""


def api_page() -> str:
    """Return a page that shows the docstrings of the Python API, in the order of ``pumice.__all__``."""
    objects = [
        f"::: {module}.{attribute}\n" if attribute else f"::: {module}\n"
        for module, attribute in (pumice._SOURCES[name] for name in pumice.__all__ if name in pumice._SOURCES)
    ]
    return "\n".join(["# The Python API, from its docstrings\n", *objects])


def generate(workplace: Path) -> None:
    """Run the site generator, which fails on a broken link.

    Raises:
        SystemExit: the generator found a fault; it has printed it.
    """
    command = [sys.executable, "-m", "zensical", "build", "--strict", "--config-file", "mkdocs.yml"]
    process = subprocess.run(
        command, cwd=workplace, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    if process.returncode:
        messages = re.sub(r"\x1b\[[0-9;]*m", "", process.stdout)
        sys.exit(messages.partition("Traceback")[0] + "cannot build the site: see the messages above")


def list_versions(folder: Path) -> None:
    """Write what the version selector reads, and a page that leads to the newest version."""
    versions = sorted(
        (path.parent.name for path in folder.glob("*/index.html")), key=_version_key, reverse=True
    )
    entries = [
        {"version": version, "title": version, "aliases": ["latest"] if version == versions[0] else []}
        for version in versions
    ]
    write(folder / "versions.json", json.dumps(entries, indent=2) + "\n")
    write(folder / "index.html", REDIRECT.format(version=versions[0]))


def _version_key(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


def write(path: Path, text: str) -> None:
    """Write a file and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/site.py FOLDER")
    main(Path(sys.argv[1]))
