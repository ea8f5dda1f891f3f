"""The distribution interface: which modules know Debian is written down, and no others do."""

from __future__ import annotations

import ast
import functools
import re
from typing import TYPE_CHECKING

import pytest

from pumice.distro.versions import version_satisfies
from pumice.formats.relations import Relation
from tests.support.docs import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = ROOT / "src" / "pumice"
PAGE = ROOT / "docs" / "explanation" / "distributions.md"
_FORMATS = (
    *("alternatives", "aptconf", "aptindex", "aptrelease", "aptsources", "copyright", "deb", "deb822"),
    *("dpkgstate", "relations"),
)
KNOWLEDGE = {f"pumice.formats.{name}" for name in _FORMATS} | {"from_debian", "to_debian"}
"""Formats that only Debian and its derivatives use, and the functions for names of architectures."""
DISTRIBUTION = ("distro/", "formats/", "packing/effects/")
"""The rooms that are meant to know Debian."""


@functools.cache
def used_names(path: Path) -> frozenset[str]:
    """Return the modules that a file imports, and the attributes that it uses."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute):
            names.add(node.attr)
    return frozenset(names)


def knows_debian(path: Path) -> bool:
    names = used_names(path)
    return bool(names & KNOWLEDGE) or any(name.startswith("pumice.distro.debian") for name in names)


def outside_the_distribution() -> list[Path]:
    paths = {path: path.relative_to(SOURCE).as_posix() for path in sorted(SOURCE.rglob("*.py"))}
    return [path for path, name in paths.items() if not name.startswith(DISTRIBUTION)]


def test_the_page_lists_exactly_the_modules_that_know_debian() -> None:
    listed_modules = set(re.findall(r"^\| `([a-z0-9_/]+\.py)` \|", PAGE.read_text(), re.MULTILINE))
    modules = {str(path.relative_to(SOURCE)) for path in outside_the_distribution() if knows_debian(path)}
    assert modules - listed_modules == set(), "use the interface of pumice.distro, or add a row to the page"
    assert listed_modules - modules == set(), "these modules no longer know Debian: remove their rows"


def test_versions_are_compared_through_the_interface() -> None:
    direct = [
        str(path.relative_to(SOURCE))
        for path in outside_the_distribution()
        if "pumice.distro.debian.version" in used_names(path)
    ]
    assert direct == []


@pytest.mark.parametrize(
    ("version", "operator", "limit", "is_satisfied"),
    [
        ("1", "", "", True),
        ("1", "=", "1", True),
        ("1.0", "=", "1.00", True),
        ("1", "<<", "1", False),
        ("1~", "<<", "1", True),
        ("1", "<=", "1", True),
        ("2", "<=", "1", False),
        ("1:0", ">>", "9", True),
        ("1", ">>", "1", False),
        ("1", ">=", "1", True),
        ("0", ">=", "1", False),
    ],
)
def test_version_ranges(version: str, operator: str, limit: str, is_satisfied: bool) -> None:
    relation = Relation("libc6", operator, limit)  # type: ignore[arg-type]  # parametrized as text
    assert version_satisfies(version, relation) is is_satisfied
