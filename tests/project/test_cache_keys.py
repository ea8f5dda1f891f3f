"""The table of modules that affect a cached value agrees with the imports of the code that computes it."""

from __future__ import annotations

import ast
from functools import cache
from typing import TYPE_CHECKING

import pytest

from pumice.cache_keys import MODULES
from tests.support.docs import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pumice.cache_keys import Kind

SOURCES = ROOT / "src"

MAKERS: dict[Kind, tuple[str, ...]] = {
    "segment": ("pumice.packing.package_cutter",),
    "layer": ("pumice.packing.compose",),
    "effects": (
        *("pumice.packing.effects", "pumice.packing.merge", "pumice.packing.link_targets"),
        *("pumice.assembly.effect_cache", "pumice.assembly.draft_tree", "pumice.assembly.recipe_files"),
    ),
    "bytecode": ("pumice.assembly.bytecode_cache",),
    "generate": ("pumice.assembly.generate_cache",),
    "image": ("pumice.assembly.pipeline",),
    "uses": ("pumice.omission.uses",),
    "omission": ("pumice.assembly.omission", "pumice.omission.decision"),
    "evidence": ("pumice.assembly.evidence_writer",),
    "findings": ("pumice.checks.image_check",),
    "layer-scan": ("pumice.image.layer_scan",),
    "license": ("pumice.evidence.license_expressions",),
    "package-index": ("pumice.formats.aptindex",),
    "slices": ("pumice.slices.release",),
    "aci": ("pumice.image.aci_reader",),
    "signatures": ("pumice.trust.image_signing",),
}

SHAPELESS = (
    *("pumice.cache_keys", "pumice.clock", "pumice.errors", "pumice.files", "pumice.ownership"),
    *("pumice.decoding", "pumice.installation"),
    "pumice.os_errors",
    "pumice.progress",
    "pumice.terminal",
    *("pumice.assembly.cache", "pumice.fetch", "pumice.store", "pumice.trust", "pumice.version"),
    "pumice.recipe.lock",  # the default format; the format of the lock is part of each key
    "pumice.runtime.metadata",  # builds run programs without it
    "pumice.runtime.app_container.stored_images",  # and not those of stored images
    "pumice.packing.layer_plan",  # the assignment of packages to layers is not cached
)
"""What is imported and decides no byte; the version is in the keys of the documents that name it."""


def _file(module: str) -> Path | None:
    path = SOURCES / module.replace(".", "/")
    for candidate in (path.with_suffix(".py"), path / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None


@cache
def _imports(module: str) -> frozenset[str]:
    path = _file(module)
    assert path
    return frozenset(_imported(ast.parse(path.read_text())))


def _imported(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
        return
    if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("pumice"):
        for name in node.names:
            module = f"{node.module}.{name.name}"
            yield module if _file(module) else node.module
    for child in ast.iter_child_nodes(node):
        yield from _imported(child)


def _closure(modules: tuple[str, ...]) -> set[str]:
    shapeless = tuple(name for name in SHAPELESS if not any(module.startswith(name) for module in modules))
    visited: set[str] = set()
    pending = list(modules)
    while pending:
        module = pending.pop()
        if module in visited or module == "pumice" or module.startswith(shapeless):
            continue
        visited.add(module)
        pending += _imports(module)
    return visited


@pytest.mark.parametrize("kind", sorted(MODULES))
def test_every_module_that_affects_a_cached_value_is_part_of_its_key(kind: Kind) -> None:
    missing = []
    for module in sorted(_closure(MAKERS[kind])):
        path = _file(module)
        assert path
        name = path.relative_to(SOURCES / "pumice").as_posix()
        if name not in MODULES[kind] and f"{name.rpartition('/')[0]}/" not in MODULES[kind]:
            missing.append(name)
    assert missing == []


@pytest.mark.parametrize("kind", sorted(MODULES))
def test_the_table_names_only_existing_modules(kind: Kind) -> None:
    assert [name for name in MODULES[kind] if not (SOURCES / "pumice" / name).exists()] == []
