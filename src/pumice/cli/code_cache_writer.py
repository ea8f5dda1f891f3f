"""Writing the code cache, after a quick start that had to import its modules as usual."""

from __future__ import annotations

import ast
import fcntl
import importlib
import marshal
import os
import sys
from contextlib import suppress
from importlib.machinery import PathFinder, SourceFileLoader
from typing import TYPE_CHECKING

from pumice.cli import code_cache

if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    from pumice.cli.code_cache import CachedModule

_PACKAGE = "pumice"


class Recorder:
    """Finds modules as Python does, and keeps their code in the order in which they are complete."""

    def __init__(self) -> None:
        self.modules: dict[str, CachedModule] = {}
        sys.meta_path.insert(0, self)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of a module of this package, with a loader that records it."""
        if name.partition(".")[0] != _PACKAGE:
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            spec.loader = _RecordingLoader(name, spec.loader.path, self.modules)
        return spec

    def save(self) -> None:
        """Write the cache, unless some module was imported before, so that its code is unknown."""
        for name in code_cache.GROUPS:
            importlib.import_module(name)
        path = code_cache.find_path()
        if path is not None and self.modules.keys() >= set(code_cache.GROUPS):
            try:
                self.modules = {name: _compile(module) for name, module in self.modules.items()}
            except (OSError, SyntaxError):  # a source was removed, or is just being edited
                return
            _install(path, _encode(self._make_groups()))

    def _make_groups(self) -> dict[str, list[CachedModule]]:
        groups: dict[str, list[CachedModule]] = {}
        # The packages of the others are imported before these are.
        common = self._list_imports(code_cache.GROUPS[0], *map(_package_of, code_cache.GROUPS))
        for last in code_cache.GROUPS:
            names = self._list_imports(last) - common if groups else common
            groups[last] = [module for name, module in self.modules.items() if name in names]
        return groups

    def _list_imports(self, *first: str) -> set[str]:
        """Return modules, and the recorded modules and packages that they import, also indirectly."""
        names: set[str] = set()
        pending = [*first]
        while pending:
            name = pending.pop()
            if name not in self.modules or name in names:
                continue
            names.add(name)
            words = self.modules[name][4].co_names  # those of "from NAME import WORD" are among them
            pending += [_package_of(name), *words]
            pending += [f"{package}.{word}" for package in words if package in self.modules for word in words]
        return names


def _package_of(name: str) -> str:
    return name.rpartition(".")[0]


class _RecordingLoader(SourceFileLoader):
    def __init__(self, fullname: str, path: str, modules: dict[str, CachedModule]) -> None:
        super().__init__(fullname, path)
        self._modules = modules

    def exec_module(self, module: ModuleType) -> None:
        """Execute a module and record it."""
        name = module.__name__
        stamp = code_cache.read_stamp(self.path)  # before the source is read, so that no change is missed
        code = self.get_code(name)
        if code is None:
            raise ImportError(f"{self.path} has no code", name=name)
        exec(code, module.__dict__)
        self._modules[name] = (name, self.path, self.is_package(name), stamp, code)


def _compile(module: CachedModule) -> CachedModule:
    """Return a module without what is for checkers of types only, so that no group has modules for that.

    Its stamp is that of the source that was executed, so the cache is not used if that was changed since.
    """
    name, path, is_package, stamp, _ = module
    with open(path, "rb") as file:
        tree = _WithoutTypes().visit(ast.parse(file.read(), path))
    return name, path, is_package, stamp, compile(tree, path, "exec", dont_inherit=True)


class _WithoutTypes(ast.NodeTransformer):
    def visit_If(self, node: ast.If) -> ast.AST | list[ast.stmt]:
        """Replace ``if TYPE_CHECKING`` by what else is done."""
        is_for_types = isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        return node.orelse if is_for_types else node


def _encode(groups: dict[str, list[CachedModule]]) -> bytes:
    contents = {last: marshal.dumps(modules) for last, modules in groups.items()}
    index: dict[str, tuple[int, int]] = {}
    offset = code_cache.HEADER_SIZE
    for last, content in contents.items():
        index[last] = (offset, len(content))
        offset += len(content)
    header = marshal.dumps((code_cache.make_identity(), index))
    return b"".join((header.ljust(code_cache.HEADER_SIZE, b"\0"), *contents.values()))


def _install(path: str, data: bytes) -> None:
    """Write a file in place of the one that has the name; do nothing where that is impossible.

    A process that is killed meanwhile leaves a scratch file, which the next one writes to. Its lock keeps
    others away.
    """
    scratch = f"{path}.new"
    with suppress(OSError):
        descriptor = os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        with open(descriptor, "wb") as file:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not os.path.samestat(os.fstat(descriptor), os.stat(scratch)):
                return  # another process has just installed it
            try:
                file.truncate()
                file.write(data)
                file.flush()
                os.fsync(descriptor)  # the content has no digest that could tell that a part is missing
                os.replace(scratch, path)
            except OSError:
                os.unlink(scratch)
