"""Tests wait with an end (`tests.support.waiting`), and Pumice waits with an end for other programs."""

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


_CALLS = {f"subprocess.{name}" for name in ("run", "call", "check_call", "check_output")}


def _find_calls_without_limit(text: str) -> list[int]:
    return [
        node.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Call)
        and (ast.unparse(node.func) in _CALLS or ast.unparse(node.func).endswith(".communicate"))
        and "timeout" not in {keyword.arg for keyword in node.keywords}
    ]


def test_pumice_waits_for_no_program_without_a_limit() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in tracked("src/**/*.py")
        for line in _find_calls_without_limit(path.read_text(encoding="utf-8"))
    ]
    assert found == []  # write timeout=None with the reason where a person is waited for


def test_a_call_without_a_limit_is_found() -> None:
    assert _find_calls_without_limit("subprocess.run(['ip'], check=False)") == [1]
    assert _find_calls_without_limit("process.communicate()") == [1]
    assert _find_calls_without_limit("subprocess.run(['ip'], timeout=3)") == []


_PAUSING = {
    "tests/support/waiting.py",
    "tests/support/mirror.py",  # a slow server
    "tests/support/another_day/sitecustomize.py",  # replaces time.sleep
}


def _find_pauses(text: str) -> list[int]:
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    pauses = ("time.sleep(", "select.select([], [], []")
    return [call.lineno for call in calls if ast.unparse(call).startswith(pauses)]


def test_only_what_waits_for_a_condition_pauses() -> None:
    """Loops that pause end too early on a busy machine, or too late."""
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in tracked("tests/**/*.py")
        if str(path.relative_to(ROOT)) not in _PAUSING
        for line in _find_pauses(path.read_text(encoding="utf-8"))
    ]
    assert found == []
    assert _find_pauses("time.sleep(1)\nselect.select([], [], [], 1)\nselect.select([x], [], [])\n") == [1, 2]


def test_a_loop_that_only_waits_is_found() -> None:
    assert _find("while not ready():\n  pass\n") == [1]
    assert _find("while not ready():\n  time.sleep(1)\n") == [1]
    assert _find("while stream.read(1000):\n  pass\n") == []
    assert _find("while pending:\n  pending.pop()\n") == []
