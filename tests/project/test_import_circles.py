"""No module imports itself through others, not even in a function or for a type checker.

Modules in a circle can only be understood together, and a circle hides a concept that has no name yet.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.docs import ROOT
from tests.support.imports import Kind, find_circle, import_graph, module_paths


@pytest.mark.parametrize(("root", "package"), [(ROOT / "src", "pumice"), (ROOT, "tests"), (ROOT, "bench")])
@pytest.mark.parametrize("kind", Kind)
def test_imports_have_no_circle(root: Path, package: str, kind: Kind) -> None:
    assert find_circle(import_graph(module_paths(root, package), kind)) == ()


@pytest.mark.parametrize(
    ("statements", "first_kind"),
    [
        ("import p.b", Kind.LOADED),
        ("from p import b", Kind.LOADED),
        ("from p.b import f", Kind.LOADED),
        ("if TYPE_CHECKING:\n    import os\nelse:\n    import p.b", Kind.LOADED),
        ("def f():\n    from p.b import f", Kind.DEFERRED),
        ("class C:\n    def f(self):\n        import p.b", Kind.DEFERRED),
        ("if TYPE_CHECKING:\n    from p.b import f", Kind.CHECKED),
    ],
)
def test_a_circle_is_found_however_it_is_written(tmp_path: Path, statements: str, first_kind: Kind) -> None:
    package = tmp_path / "p"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "a.py").write_text(statements + "\n")
    (package / "b.py").write_text("from p import a\n")
    modules = module_paths(tmp_path, "p")
    assert [kind for kind in Kind if find_circle(import_graph(modules, kind))] == list(Kind)[first_kind:]
