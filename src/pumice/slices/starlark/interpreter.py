"""Runs a script: statements and expressions on the syntax tree, every step of which is counted."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Any

from pumice.slices.starlark import functions, methods, operators
from pumice.slices.starlark.budget import Budget, ScriptError, check_integer
from pumice.slices.starlark.scope import Function, Scope, assigned_names
from pumice.slices.starlark.syntax import parse_script

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence


def run_script(
    text: str, objects: Mapping[str, Mapping[str, Callable[..., Any]]], budget: Budget | None = None
) -> dict[str, Any]:
    """Run a script and return its global variables.

    ``objects`` are names with methods, such as ``content`` with ``read``. Raises ScriptError with the line.
    """
    interpreter = _Interpreter(budget or Budget(), objects)
    return interpreter.run(parse_script(text))


class _Break(Exception):
    pass


class _Continue(Exception):
    pass


class _Return(Exception):
    def __init__(self, value: Any) -> None:
        super().__init__()
        self.value = value


class _Interpreter:
    def __init__(self, budget: Budget, objects: Mapping[str, Mapping[str, Callable[..., Any]]]) -> None:
        self._budget = budget
        self._objects = objects
        self._functions = functions.make_functions(budget, lambda value, items: self._call(value, items, {}))
        self._active: set[int] = set()
        """The functions that are running, which cannot be called again."""
        self._iterated: dict[int, int] = {}
        """How many loops run over a list or dict, which cannot change meanwhile."""
        self._line = 1

    def run(self, tree: ast.Module) -> dict[str, Any]:
        scope = Scope()
        try:
            self._run_block(tree.body, scope)
        except ScriptError as error:
            raise ScriptError(error.message, error.line or self._line) from None
        except (_Break, _Continue, _Return):
            raise ScriptError(
                "'break', 'continue' or 'return' outside of a loop or function", self._line
            ) from None
        except RecursionError:
            raise ScriptError("the script is nested too deeply", self._line) from None
        except (TypeError, ValueError, OverflowError):  # of a function or method of this language
            raise ScriptError("the call has arguments that the function does not take", self._line) from None
        return scope.variables

    # Statements

    def _run_block(self, statements: Sequence[ast.stmt], scope: Scope) -> None:
        for statement in statements:
            self._budget.step()
            self._line = statement.lineno
            self._budget.enter()
            getattr(self, f"_run_{type(statement).__name__}")(statement, scope)
            self._budget.leave()

    def _run_Expr(self, statement: ast.Expr, scope: Scope) -> None:
        self._evaluate(statement.value, scope)

    def _run_Pass(self, statement: ast.Pass, scope: Scope) -> None:
        pass

    def _run_Break(self, statement: ast.Break, scope: Scope) -> None:
        raise _Break

    def _run_Continue(self, statement: ast.Continue, scope: Scope) -> None:
        raise _Continue

    def _run_Return(self, statement: ast.Return, scope: Scope) -> None:
        raise _Return(None if statement.value is None else self._evaluate(statement.value, scope))

    def _run_Assign(self, statement: ast.Assign, scope: Scope) -> None:
        self._assign(statement.targets[0], self._evaluate(statement.value, scope), scope)

    def _run_AugAssign(self, statement: ast.AugAssign, scope: Scope) -> None:
        target = statement.target
        read = ast.copy_location(_as_load(target), target)
        old = self._evaluate(read, scope)
        value = self._evaluate(statement.value, scope)
        if isinstance(old, list) and isinstance(statement.op, ast.Add):
            self._check_unchanged(old)
            methods.find_method(old, "extend")
            self._call_method(old, "extend", [value], {})
            return
        self._assign(target, operators.BINARY[type(statement.op).__name__](old, value, self._budget), scope)

    def _run_If(self, statement: ast.If, scope: Scope) -> None:
        is_true = operators.is_true(self._evaluate(statement.test, scope))
        self._run_block(statement.body if is_true else statement.orelse, scope)

    def _run_For(self, statement: ast.For, scope: Scope) -> None:
        for item in self._iterate(self._evaluate(statement.iter, scope)):
            self._assign(statement.target, item, scope)
            depth = self._budget.depth
            try:
                self._run_block(statement.body, scope)
            except _Break:
                self._budget.depth = depth
                break
            except _Continue:
                self._budget.depth = depth

    def _run_FunctionDef(self, statement: ast.FunctionDef, scope: Scope) -> None:
        function = self._make_function(statement.args, statement.body, scope)
        scope.set(statement.name, function)

    def _make_function(
        self, parameters: ast.arguments, body: Sequence[ast.stmt] | ast.expr, scope: Scope
    ) -> Function:
        names = tuple(argument.arg for argument in parameters.args)
        defaults = tuple(self._evaluate(default, scope) for default in parameters.defaults)
        if len(set(names)) < len(names):
            raise ScriptError("a parameter is named twice")
        return Function(names, defaults, body, scope, assigned_names(body) | set(names))

    def _iterate(self, value: Any) -> Iterator[Any]:
        items = functions.items_of(value)
        self._iterated[id(value)] = self._iterated.get(id(value), 0) + 1
        try:
            for item in items:
                self._budget.step()
                yield item
        finally:
            self._iterated[id(value)] -= 1

    def _check_unchanged(self, value: Any) -> None:
        if self._iterated.get(id(value)):
            raise ScriptError(f"the {operators.type_name(value)} cannot change while a loop runs over it")

    def _assign(self, target: ast.expr, value: Any, scope: Scope) -> None:
        if isinstance(target, ast.Name):
            if target.id in self._objects:
                raise ScriptError(f"{target.id!r} cannot be assigned")
            scope.set(target.id, value)
        elif isinstance(target, ast.Tuple | ast.List):
            items = functions.items_of(value)
            if len(items) != len(target.elts):
                raise ScriptError(f"cannot unpack {len(items)} values into {len(target.elts)}")
            for part, item in zip(target.elts, list(items), strict=True):
                self._assign(part, item, scope)
        elif isinstance(target, ast.Subscript):
            self._assign_item(target, value, scope)
        else:
            raise ScriptError("cannot assign to this")

    def _assign_item(self, target: ast.Subscript, value: Any, scope: Scope) -> None:
        container = self._evaluate(target.value, scope)
        key = self._evaluate(target.slice, scope)
        self._check_unchanged(container)
        if isinstance(container, dict):
            self._budget.allocate(1)
            container[operators.check_key(key)] = value
        elif isinstance(container, list):
            container[operators.index_of(container, key)] = value
        else:
            raise ScriptError(f"the items of a {operators.type_name(container)} cannot change")

    # Expressions

    def _evaluate(self, node: ast.expr, scope: Scope) -> Any:
        self._budget.step()
        self._budget.enter()
        value = getattr(self, f"_evaluate_{type(node).__name__}")(node, scope)
        self._budget.leave()
        return value

    def _evaluate_Constant(self, node: ast.Constant, scope: Scope) -> Any:
        return check_integer(node.value) if type(node.value) is int else node.value

    def _evaluate_Name(self, node: ast.Name, scope: Scope) -> Any:
        value = scope.find(node.id)
        if value is not Scope.MISSING:
            return value
        if node.id in self._functions:
            return self._functions[node.id]
        if node.id in self._objects:
            raise ScriptError(f"call a method of {node.id!r}")
        raise ScriptError(f"{node.id!r} is not defined")

    def _evaluate_List(self, node: ast.List, scope: Scope) -> list[Any]:
        self._budget.allocate(len(node.elts))
        return [self._evaluate(item, scope) for item in node.elts]

    def _evaluate_Tuple(self, node: ast.Tuple, scope: Scope) -> tuple[Any, ...]:
        return tuple(self._evaluate_List(ast.List(node.elts), scope))

    def _evaluate_Dict(self, node: ast.Dict, scope: Scope) -> dict[Any, Any]:
        self._budget.allocate(len(node.keys))
        result: dict[Any, Any] = {}
        for key_node, value_node in zip(node.keys, node.values, strict=True):
            if key_node is None:
                raise ScriptError("'**' is not supported in a dict")
            key = operators.check_key(self._evaluate(key_node, scope))
            result[key] = self._evaluate(value_node, scope)
        return result

    def _evaluate_ListComp(self, node: ast.ListComp, scope: Scope) -> list[Any]:
        result: list[Any] = []
        for inner in self._comprehend(node.generators, scope):
            self._budget.allocate(1)
            result.append(self._evaluate(node.elt, inner))
        return result

    def _evaluate_DictComp(self, node: ast.DictComp, scope: Scope) -> dict[Any, Any]:
        result: dict[Any, Any] = {}
        for inner in self._comprehend(node.generators, scope):
            self._budget.allocate(1)
            key = operators.check_key(self._evaluate(node.key, inner))
            result[key] = self._evaluate(node.value, inner)
        return result

    def _comprehend(self, generators: Sequence[ast.comprehension], scope: Scope) -> Iterator[Scope]:
        inner = Scope(scope)
        first = self._evaluate(generators[0].iter, scope)

        def loop(number: int, items: Any) -> Iterator[Scope]:
            generator = generators[number]
            for item in self._iterate(items):
                self._assign(generator.target, item, inner)
                if not all(operators.is_true(self._evaluate(test, inner)) for test in generator.ifs):
                    continue
                if number + 1 == len(generators):
                    yield inner
                else:
                    yield from loop(number + 1, self._evaluate(generators[number + 1].iter, inner))

        return loop(0, first)

    def _evaluate_BinOp(self, node: ast.BinOp, scope: Scope) -> Any:
        left, right = self._evaluate(node.left, scope), self._evaluate(node.right, scope)
        return operators.BINARY[type(node.op).__name__](left, right, self._budget)

    def _evaluate_UnaryOp(self, node: ast.UnaryOp, scope: Scope) -> Any:
        value = self._evaluate(node.operand, scope)
        if isinstance(node.op, ast.Not):
            return not operators.is_true(value)
        if type(value) is not int:
            raise ScriptError(f"the operator needs a number, not {operators.type_name(value)}")
        if isinstance(node.op, ast.Invert):
            return ~value
        return -value if isinstance(node.op, ast.USub) else value

    def _evaluate_BoolOp(self, node: ast.BoolOp, scope: Scope) -> Any:
        stops_at = isinstance(node.op, ast.Or)
        value: Any = None
        for part in node.values:
            value = self._evaluate(part, scope)
            if operators.is_true(value) is stops_at:
                break
        return value

    def _evaluate_Compare(self, node: ast.Compare, scope: Scope) -> bool:
        left, right = self._evaluate(node.left, scope), self._evaluate(node.comparators[0], scope)
        match node.ops[0]:
            case ast.Eq():
                return operators.equal(left, right, self._budget)
            case ast.NotEq():
                return not operators.equal(left, right, self._budget)
            case ast.In():
                return operators.contains(right, left, self._budget)
            case ast.NotIn():
                return not operators.contains(right, left, self._budget)
        order = operators.compare(left, right, self._budget)
        match node.ops[0]:
            case ast.Lt():
                return order < 0
            case ast.LtE():
                return order <= 0
            case ast.Gt():
                return order > 0
        return order >= 0

    def _evaluate_IfExp(self, node: ast.IfExp, scope: Scope) -> Any:
        is_true = operators.is_true(self._evaluate(node.test, scope))
        return self._evaluate(node.body if is_true else node.orelse, scope)

    def _evaluate_Lambda(self, node: ast.Lambda, scope: Scope) -> Function:
        return self._make_function(node.args, node.body, scope)

    def _evaluate_Attribute(self, node: ast.Attribute, scope: Scope) -> Any:
        raise ScriptError(f"call the method {node.attr!r} where it is named")

    def _evaluate_Slice(self, node: ast.Slice, scope: Scope) -> slice:
        bounds = [
            None if part is None else self._evaluate(part, scope)
            for part in (node.lower, node.upper, node.step)
        ]
        if any(bound is not None and type(bound) is not int for bound in bounds) or bounds[2] == 0:
            raise ScriptError("the bounds of a slice must be numbers, and the step not 0")
        return slice(*bounds)

    def _evaluate_Subscript(self, node: ast.Subscript, scope: Scope) -> Any:
        container, key = self._evaluate(node.value, scope), self._evaluate(node.slice, scope)
        return operators.item_of(container, key, self._budget)

    def _evaluate_Call(self, node: ast.Call, scope: Scope) -> Any:
        line = node.lineno
        receiver: Any = None
        function: Any = None
        callee = node.func
        is_method = isinstance(callee, ast.Attribute)
        if isinstance(callee, ast.Attribute) and not self._is_object(callee.value):
            receiver = self._evaluate(callee.value, scope)
        elif not isinstance(callee, ast.Attribute):
            function = self._evaluate(callee, scope)
        values = [self._evaluate(value, scope) for value in node.args]
        named = {
            keyword.arg: self._evaluate(keyword.value, scope)
            for keyword in node.keywords
            if keyword.arg is not None
        }
        self._line = line
        if not is_method or not isinstance(callee, ast.Attribute):
            return self._call(function, values, named)
        if isinstance(callee.value, ast.Name) and self._is_object(callee.value):
            return self._call_object(callee.value.id, callee.attr, values, named)
        return self._call_method(receiver, callee.attr, values, named)

    def _is_object(self, node: ast.expr) -> bool:
        return isinstance(node, ast.Name) and node.id in self._objects

    def _call_object(self, name: str, method: str, values: list[Any], named: dict[str, Any]) -> Any:
        function = self._objects[name].get(method)
        if function is None:
            raise ScriptError(f"{name} has no method {method!r}")
        result = function(*values, **named)
        self._budget.allocate(len(result) if isinstance(result, str | list) else 0)
        return result

    def _call_method(self, value: Any, name: str, values: list[Any], named: dict[str, Any]) -> Any:
        method = methods.find_method(value, name)
        if method is None:
            raise ScriptError(f"a value of type {operators.type_name(value)} has no method {name!r}")
        if method[1]:
            self._check_unchanged(value)
        return method[0](self._budget, value, *values, **named)

    def _call(self, function: Any, values: list[Any], named: dict[str, Any]) -> Any:
        if not isinstance(function, Function):
            if function not in self._functions.values():
                raise ScriptError(f"a value of type {operators.type_name(function)} cannot be called")
            return function(*values, **named)
        if id(function.body) in self._active:
            raise ScriptError("a function cannot call itself")
        scope = function.bind(values, named)
        self._active.add(id(function.body))
        self._budget.enter()
        depth = self._budget.depth
        try:
            if isinstance(function.body, ast.expr):
                return self._evaluate(function.body, scope)
            self._run_block(function.body, scope)
        except _Return as result:
            self._budget.depth = depth
            return result.value
        finally:
            self._active.discard(id(function.body))
            self._budget.leave()
        return None


def _as_load(target: ast.expr) -> ast.expr:
    """Return the expression that reads the target of an assignment such as ``x += 1``."""
    if isinstance(target, ast.Name):
        return ast.Name(target.id, ast.Load())
    if isinstance(target, ast.Subscript):
        return ast.Subscript(target.value, target.slice, ast.Load())
    raise ScriptError("cannot assign to this")
