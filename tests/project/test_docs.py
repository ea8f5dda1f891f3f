"""The documentation is complete, its links are valid, and its examples work."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from pumice import errors
from pumice.cli.commands import COMMANDS
from tests.support import docs, peers, sources
from tests.support.docs import ROOT
from tools import reference

PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")])
REFERENCE = ROOT / "docs" / "reference"


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```$|`[^`\n]+`", "", text, flags=re.MULTILINE | re.DOTALL)


def anchor(heading: str) -> str:
    """Return the anchor of a heading, as GitHub makes it."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return {anchor(match[1].replace("`", "")) for match in re.finditer(r"^#+ (.+)$", text, re.MULTILINE)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_have_existing_targets(page: Path) -> None:
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text())):
        if target.startswith(("https://", "http://")):
            continue
        path, _, fragment = target.partition("#")
        linked_path = (page.parent / path).resolve() if path else page
        if not linked_path.exists() or (
            fragment and linked_path.suffix == ".md" and fragment not in anchors(linked_path)
        ):
            broken.append(target)
    assert broken == []


def test_every_decision_is_in_the_list_of_decisions() -> None:
    decisions = (ROOT / "docs" / "adr" / "0001-record-decisions.md").read_text()
    pages = {page.name for page in (ROOT / "docs" / "adr").glob("*.md")} - {"0001-record-decisions.md"}
    assert {name for name in pages if f"({name})" not in decisions} == set()


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_verb_has_its_page_and_its_test(verb: str) -> None:
    assert (REFERENCE / f"{verb}.md").is_file()
    assert (ROOT / "tests" / "e2e" / f"test_{verb.replace('-', '_')}.py").is_file()


@pytest.mark.parametrize("verb", COMMANDS)
def test_the_page_of_a_verb_shows_its_help(verb: str) -> None:
    text = (REFERENCE / f"{verb}.md").read_text()
    assert reference.BLOCK.search(text), "the page has no '<!-- help -->' block"
    assert text == reference.update_help(verb), "run: python tools/reference.py"


def test_every_exit_code_is_documented() -> None:
    text = (REFERENCE / "exit-codes.md").read_text()
    rows = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    kinds = {
        kind.exit_code
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.PumiceError)
    }
    assert kinds | {0, 70, 130} <= rows


def test_every_variable_of_the_environment_is_documented() -> None:
    text = (REFERENCE / "environment.md").read_text()
    read = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in sources.nodes(path):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                read |= set(
                    re.findall(
                        r"^(?:PUMICE_[A-Z0-9_]+|XDG_[A-Z_]+|SOURCE_DATE_EPOCH|NO_COLOR|FORCE_COLOR)$",
                        node.value,
                    )
                )
    assert {name for name in read if f"`{name}`" not in text} == set()


@pytest.mark.parametrize(
    "recipe", sorted((ROOT / "examples").glob("*/recipe.yaml")), ids=lambda path: path.parent.name
)
def test_examples_are_short_and_listed(recipe: Path) -> None:
    assert len(recipe.read_text().splitlines()) <= 25
    assert f"]({recipe.parent.name}/recipe.yaml)" in (ROOT / "examples" / "README.md").read_text()


@pytest.mark.mirror
@pytest.mark.parametrize("page", docs.pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_the_commands_of_pages_print_what_the_pages_show(page: Path, tmp_path: Path) -> None:
    for program in docs.needs(page.read_text()):
        peers.need(program)
    assert "\n\n".join(docs.run(page, tmp_path)) == ""


def test_the_readme_shows_the_recipe_that_the_demo_builds() -> None:
    recipe = (ROOT / "examples" / "hello-python" / "recipe.yaml").read_text()
    recipe_block = next(
        block for block in docs.blocks((ROOT / "README.md").read_text()) if block.kind == "yaml"
    )
    assert recipe_block.text in recipe


def test_the_messages_of_the_troubleshooting_page_exist() -> None:
    page = (ROOT / "docs" / "how-to" / "troubleshoot.md").read_text()
    quoted = re.findall(
        r'"([^"\n]+)"', "\n".join(line.split("|")[1] for line in page.splitlines() if "|" in line)
    )
    texts = (ROOT / "tests" / "golden" / "messages" / "texts.txt").read_text()
    assert len(quoted) > 20
    assert [message for message in quoted if message not in texts] == []
