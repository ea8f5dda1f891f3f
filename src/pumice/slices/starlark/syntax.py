"""Reads a script as a syntax tree that contains only what the interpreter knows."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Callable
from typing import Any

from pumice.slices.starlark.budget import MAX_SOURCE, ScriptError

_MAX_NESTING = 60

STATEMENTS: tuple[type[ast.AST], ...] = (
    ast.FunctionDef, ast.Return, ast.Assign, ast.AugAssign, ast.Expr,
    ast.If, ast.For, ast.Break, ast.Continue, ast.Pass,
)  # fmt: skip
"""The statements of the language."""

EXPRESSIONS: tuple[type[ast.AST], ...] = (
    ast.Constant, ast.Name, ast.List, ast.Tuple, ast.Dict, ast.ListComp, ast.DictComp,
    ast.BinOp, ast.UnaryOp, ast.BoolOp, ast.Compare, ast.IfExp,
    ast.Call, ast.Attribute, ast.Subscript, ast.Slice, ast.Lambda,
)  # fmt: skip
"""The expressions of the language."""

_PARTS: tuple[type[ast.AST], ...] = (
    ast.Module, ast.arguments, ast.arg, ast.keyword, ast.comprehension, ast.Load, ast.Store,
    ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod, ast.BitOr, ast.BitAnd, ast.BitXor, ast.LShift,
    ast.RShift, ast.Not, ast.UAdd, ast.USub, ast.Invert, ast.And, ast.Or,
    ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.In, ast.NotIn,
)  # fmt: skip
_ALLOWED = frozenset((*STATEMENTS, *EXPRESSIONS, *_PARTS))

_NAMES = {
    "While": "'while'", "ClassDef": "'class'", "Import": "'import'", "ImportFrom": "'import'",
    "Try": "'try'", "With": "'with'", "Raise": "'raise'", "Delete": "'del'", "Global": "'global'",
    "Nonlocal": "'nonlocal'", "Assert": "'assert'", "Set": "a set", "SetComp": "a set",
    "GeneratorExp": "a generator", "JoinedStr": "an f-string", "Starred": "'*'", "Is": "'is'",
    "IsNot": "'is not'", "Pow": "'**'", "Div": "'/'", "MatMult": "'@'", "NamedExpr": "':='",
    "Await": "'await'", "Yield": "'yield'", "YieldFrom": "'yield'", "AsyncFunctionDef": "'async'",
    "Match": "'match'", "AnnAssign": "an annotation",
}  # fmt: skip


def parse_script(text: str) -> ast.Module:
    """Return the syntax tree of a script; raises ScriptError with the line."""
    if len(text) > MAX_SOURCE:
        raise ScriptError(f"the script is larger than {MAX_SOURCE >> 10} KiB", 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about escapes in strings
            tree = ast.parse(text)
    except SyntaxError as error:
        raise ScriptError(f"invalid syntax: {error.msg}", error.lineno or 0) from None
    except (RecursionError, MemoryError):
        raise ScriptError("the script is nested too deeply", 1) from None
    except ValueError as error:  # NUL, or a number with too many digits
        raise ScriptError(f"invalid syntax: {error}", 1) from None
    _check_tree(tree)
    return tree


def _check_tree(tree: ast.Module) -> None:
    pending: list[tuple[ast.AST, int, int]] = [(tree, 0, 1)]
    while pending:
        node, depth, line = pending.pop()
        line = getattr(node, "lineno", line)
        if depth > _MAX_NESTING:
            raise ScriptError("the script is nested too deeply", line)
        if type(node) not in _ALLOWED:
            name = type(node).__name__
            raise ScriptError(f"{_NAMES.get(name, name)} is not part of the language", line)
        _check_node(node, line)
        pending += [(child, depth + 1, line) for child in ast.iter_child_nodes(node)]


def _check_node(node: ast.AST, line: int) -> None:
    """Refuse what Python allows within these nodes, and Starlark does not."""
    check = _CHECKS.get(type(node))
    if check and check[0](node):
        raise ScriptError(check[1], line)
    if isinstance(node, ast.Constant) and node.value is not None and type(node.value) not in (bool, int, str):
        raise ScriptError(f"a {type(node.value).__name__} is not part of the language", line)


_CHECKS: dict[type[ast.AST], tuple[Callable[[Any], object], str]] = {
    ast.Compare: (lambda node: len(node.ops) > 1, "comparisons cannot be chained; write 'a < b and b < c'"),
    ast.Assign: (lambda node: len(node.targets) > 1, "assign to one target at a time"),
    ast.For: (lambda node: node.orelse, "a loop cannot have 'else'"),
    ast.FunctionDef: (
        lambda node: node.decorator_list or node.returns,
        "a function cannot have decorators or annotations",
    ),
    ast.arguments: (
        lambda node: node.posonlyargs or node.kwonlyargs or node.vararg or node.kwarg,
        "'*' and '/' are not supported in parameters",
    ),
    ast.arg: (lambda node: node.annotation, "annotations are not part of the language"),
    ast.keyword: (lambda node: node.arg is None, "'**' is not supported in calls"),
    ast.Dict: (lambda node: None in node.keys, "'**' is not supported in a dict"),
    ast.Attribute: (lambda node: not isinstance(node.ctx, ast.Load), "attributes cannot be assigned"),
    ast.Subscript: (
        lambda node: isinstance(node.slice, ast.Slice) and not isinstance(node.ctx, ast.Load),
        "slices cannot be assigned",
    ),
}
