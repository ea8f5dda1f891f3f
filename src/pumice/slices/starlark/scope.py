"""The variables and functions of a script."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from pumice.slices.starlark.budget import ScriptError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Scope:
    """The variables of a script, a call or a comprehension; names are looked up in the outer ones too.

    ``names`` are those that belong to a call, even before they are assigned.
    """

    MISSING = object()
    """What `find` returns for an unknown name."""

    def __init__(self, outer: Scope | None = None, names: frozenset[str] | set[str] = frozenset()) -> None:
        self.variables: dict[str, Any] = {}
        self._outer = outer
        self._names = names

    def find(self, name: str) -> Any:
        """Return the value of a variable, `MISSING` if there is none."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.variables:
                return scope.variables[name]
            if name in scope._names:
                raise ScriptError(f"{name!r} is used before it has a value")
            scope = scope._outer
        return self.MISSING

    def set(self, name: str, value: Any) -> None:
        """Set a variable of this scope."""
        self.variables[name] = value


class Function:
    """A function of a script, with the scope that it was defined in."""

    def __init__(
        self,
        names: tuple[str, ...],
        defaults: tuple[Any, ...],
        body: Sequence[ast.stmt] | ast.expr,
        scope: Scope,
        local_names: set[str],
    ) -> None:
        self._names = names
        self._defaults = defaults
        self._scope = scope
        self._local_names = local_names
        self.body = body

    def bind(self, values: list[Any], named: dict[str, Any]) -> Scope:
        """Return the scope of a call; raises ScriptError if the arguments do not fit."""
        if len(values) > len(self._names):
            raise ScriptError(f"the function takes {len(self._names)} arguments, not {len(values)}")
        scope = Scope(self._scope, self._local_names)
        scope.variables.update(zip(self._names, values, strict=False))
        for name, value in named.items():
            if name not in self._names or name in scope.variables:
                raise ScriptError(f"the function does not take the argument {name!r} here")
            scope.variables[name] = value
        optional = self._names[len(self._names) - len(self._defaults) :]
        for name, default in zip(optional, self._defaults, strict=True):
            scope.variables.setdefault(name, default)
        missing = [name for name in self._names if name not in scope.variables]
        if missing:
            raise ScriptError(f"the argument {missing[0]!r} is missing")
        return scope


def assigned_names(body: Sequence[ast.stmt] | ast.expr) -> set[str]:
    """Return the names that a function assigns, without those of functions and comprehensions in it."""
    names: set[str] = set()
    pending: list[ast.AST] = [] if isinstance(body, ast.expr) else list(body)
    while pending:
        node = pending.pop()
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
            continue
        if isinstance(node, ast.Lambda | ast.ListComp | ast.DictComp):
            continue
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        pending += ast.iter_child_nodes(node)
    return names
