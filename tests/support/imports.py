"""The imports between the modules of a source tree, and the circles among them."""

from __future__ import annotations

import ast
import enum
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from tests.support import sources


class Kind(enum.IntEnum):
    """When an import happens. A graph of one kind has those of the kinds before it, too."""

    LOADED = 0
    """When the module is loaded."""
    DEFERRED = 1
    """When a function is called."""
    CHECKED = 2
    """Never: only type checkers read it."""


def module_paths(root: Path, package: str) -> dict[str, Path]:
    """Return the files of a package below ``root`` by the names of their modules."""
    paths = {}
    for path in (root / package).rglob("*.py"):
        parts = path.relative_to(root).with_suffix("").parts
        paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return paths


def import_graph(modules: Mapping[str, Path], kind: Kind) -> dict[str, set[str]]:
    """Return the modules that each module imports, by imports of ``kind`` and those before it."""
    return {
        name: {
            imported
            for candidates, when in _list_imports(path)
            for imported in (next((each for each in candidates if each in modules), name),)
            if when <= kind and imported != name
        }
        for name, path in modules.items()
    }


@cache
def _list_imports(path: Path) -> list[tuple[tuple[str, ...], Kind]]:
    return list(_imports(sources.tree(path), Kind.LOADED))


def _imports(node: ast.AST, kind: Kind) -> Iterator[tuple[tuple[str, ...], Kind]]:
    """Yield the imports below a node: the module that each is, or that it is an attribute of.

    Relative imports do not occur: ruff rejects them.
    """
    if isinstance(node, ast.Import):
        yield from (((alias.name,), kind) for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        yield from (((f"{node.module}.{alias.name}", str(node.module)), kind) for alias in node.names)
    elif not isinstance(node, ast.expr):
        checked: list[ast.stmt] = []
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            checked = node.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            kind = max(kind, Kind.DEFERRED)
        for child in ast.iter_child_nodes(node):
            yield from _imports(child, Kind.CHECKED if child in checked else kind)


def find_circle(graph: Mapping[str, set[str]]) -> Sequence[str]:
    """Return the modules of a circle, each imported by the next and the first one again last; or nothing."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle: Sequence[str] = error.args[1]
        return circle
    return ()
