"""Tests choose no port that another process can get before their server opens it."""

from __future__ import annotations

import ast

import pytest

from tests.project.test_architecture import tracked
from tests.support.docs import ROOT

_CHOOSING = {"bind", "create_server", "getsockname", "int", "listen", "setsockopt", "socket", "str"}


def _name(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def _only_chooses_a_port(block: ast.With) -> bool:
    """Return whether a block closes a socket without another use of it than its port."""
    opened = [_name(item.context_expr) for item in block.items if isinstance(item.context_expr, ast.Call)]
    calls = {_name(node) for part in block.body for node in ast.walk(part) if isinstance(node, ast.Call)}
    waits = any(isinstance(node, ast.Yield) for part in block.body for node in ast.walk(part))
    is_socket = not {"socket", "create_server"}.isdisjoint(opened)
    return is_socket and "getsockname" in calls and calls <= _CHOOSING and not waits


def _find(text: str) -> list[int]:
    return [
        node.lineno
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.With) and _only_chooses_a_port(node)
    ]


def test_ports_are_reserved() -> None:
    """Others get the port of a socket that is closed; `tests.support.ports` keeps it."""
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in tracked("tests/**/*.py")
        for line in _find(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("with socket.socket() as s:\n  s.bind(('', 0))\n  port = s.getsockname()[1]\n", [1]),
        ("with socket.create_server(('', 0)) as s:\n  return str(s.getsockname()[1])\n", [1]),
        ("with socket.create_server(('', 0)) as s:\n  yield s.getsockname()[1]\n", []),
        ("with socket.create_server(('', 0)) as s:\n  connect(s.getsockname())\n", []),
    ],
)
def test_a_port_that_is_only_chosen_is_found(text: str, lines: list[int]) -> None:
    assert _find(text) == lines
