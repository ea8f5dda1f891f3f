"""Every text that the program can print, in one golden file: a change of wording shows up in its diff.

The texts are read from the source, not from a run: f-string expressions become ``{}``, so renaming a
variable or moving a module changes nothing here. To accept new wording, run this file as a program.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "pumice"
GOLDEN = ROOT / "tests" / "golden" / "messages" / "texts.txt"


def _docstrings(tree: ast.AST) -> set[ast.AST]:
    """Return every bare string expression: docstrings, and the ones that describe constants."""
    return {node.value for node in ast.walk(tree) if isinstance(node, ast.Expr)}


def _text(node: ast.AST) -> str | None:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.JoinedStr):
        return "".join(
            part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else "{}"
            for part in node.values
        )
    return None


def texts() -> list[str]:
    """Return each text of at least two words once, sorted, with line breaks escaped."""
    collected = set()
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        parts = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        skipped = _docstrings(tree) | parts
        for node in ast.walk(tree):
            text = None if node in skipped else _text(node)
            if text and len(text.split()) > 1:
                collected.add(text.encode("unicode_escape").decode("ascii"))
    return sorted(collected)


def test_texts_equal_the_golden_file() -> None:
    assert texts() == GOLDEN.read_text(encoding="utf-8").splitlines()


if __name__ == "__main__":
    GOLDEN.write_text("\n".join(texts()) + "\n", encoding="utf-8")
