"""Tests wait with an end (`tests.support.waiting`), so that one failure does not hold up the others."""

from __future__ import annotations

import ast
import re

from tests.project.test_architecture import tracked
from tests.support.docs import ROOT

_READS = re.compile(r"(read|write)\(")  # a loop over a stream ends with it
_PAUSES = {"sleep", "sched_yield", "pause"}


def _only_waits(loop: ast.While) -> bool:
    """Return whether a loop does nothing until its condition changes."""

    def waits(statement: ast.stmt) -> bool:
        if isinstance(statement, ast.Pass):
            return True
        call = statement.value if isinstance(statement, ast.Expr) else None
        function = call.func if isinstance(call, ast.Call) else None
        return isinstance(function, ast.Attribute) and function.attr in _PAUSES

    return all(map(waits, loop.body)) and not _READS.search(ast.unparse(loop.test))


def _find(text: str) -> list[int]:
    return [
        node.lineno for node in ast.walk(ast.parse(text)) if isinstance(node, ast.While) and _only_waits(node)
    ]


def test_no_test_waits_without_an_end() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in tracked("tests/**/*.py")
        if path.suffix == ".py"
        for line in _find(path.read_text(encoding="utf-8"))
    ]
    assert found == []


def test_a_loop_that_only_waits_is_found() -> None:
    assert _find("while not ready():\n  pass\n") == [1]
    assert _find("while not ready():\n  time.sleep(1)\n") == [1]
    assert _find("while stream.read(1000):\n  pass\n") == []
    assert _find("while pending:\n  pending.pop()\n") == []
