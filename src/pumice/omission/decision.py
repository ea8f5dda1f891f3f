"""Which packages of a lock an image leaves out: a fixpoint over what its files use.

It starts with the packages that the recipe names and their dependencies outside of the table. A package that
a file of the image uses joins with its own dependencies, and only then do its own files count.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import msgspec

from pumice.omission.graph import Graph, make_graph
from pumice.omission.model import RECIPE, Decision, OmittedPackage, Use
from pumice.omission.providers import Providers
from pumice.omission.tables import expand_family, hidden_uses, is_unused_path
from pumice.omission.uses import FileUses, PackageUses, is_started_by_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pumice.packing.segments import Segment


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What a decision depends on, apart from the contents of packages.

    ``named`` are the packages that always stay: those that the recipe names, and with ``essential`` all
    essential ones. ``omittable`` and ``without`` are those of the lock.
    """

    named: tuple[str, ...]
    omittable: tuple[str, ...]
    without: tuple[str, ...] = ()
    essential: bool = False
    recommends: bool = False


def decide(
    question: Question,
    package_segments: Mapping[str, Segment],
    recipe_uses: PackageUses,
    read_uses: Callable[[str], PackageUses],
) -> Decision:
    """Return what the image with ``package_segments``, by package name, leaves out.

    ``read_uses`` returns what the files of a package use; it is called only for packages that stay, and
    only until all do.
    """
    fields = {name: segment.facts.fields for name, segment in package_segments.items()}
    graph = make_graph(fields, question.omittable, recommends=question.recommends)
    fixpoint = _Fixpoint(question, graph, package_segments)
    for name in _find_roots(question, fields):
        fixpoint.add(name)
    fixpoint.follow(RECIPE, recipe_uses)
    while fixpoint.unread and not fixpoint.is_complete():
        name = fixpoint.unread.pop()
        fixpoint.follow(name, read_uses(name))
    return fixpoint.decision()


def _find_roots(question: Question, fields: Mapping[str, Mapping[str, str]]) -> list[str]:
    essential = [name for name in fields if question.essential and fields[name].get("Essential") == "yes"]
    return sorted({*question.named, *essential} & fields.keys())


class _Fixpoint:
    """The packages that are in so far, and the files of them that something starts."""

    def __init__(self, question: Question, graph: Graph, segments: Mapping[str, Segment]) -> None:
        self._segments = segments
        self._without = frozenset(question.without) - frozenset(question.named)
        self._graph = graph
        self._present: set[str] = set()
        self._kept: dict[str, Use] = {}
        self._unused: dict[str, dict[str, Use]] = {}
        self._started: set[str] = set()
        self._waiting: dict[str, tuple[str, FileUses]] = {}
        self._providers = Providers(segments)
        self.unread: list[str] = []

    def add(self, name: str) -> None:
        """Add a package with its dependencies outside of the table."""
        pending = [name]
        while pending:
            package = pending.pop()
            if package in self._present or package in self._without:
                continue
            self._present.add(package)
            self.unread.append(package)
            pending.extend(self._graph.strong[package])

    def is_complete(self) -> bool:
        """Whether all packages are in, so that nothing that their files use can change the decision."""
        return len(self._present) == len(self._segments)

    def follow(self, user: str, uses: PackageUses) -> None:
        """Add the packages that the files of ``user`` use, and those that it uses in another way."""
        for tool, how in hidden_uses(user):
            if tool in self._segments:
                self._use(user, FileUses(""), tool, how)
        for file in uses.files:
            if file.link:
                if is_started_by_name(file.path):
                    self._use(user, file, self._providers.by_path.get(file.link), f"/{file.link}")
                    self._start(file.link)
            elif file.is_script and not self._is_started(user, file.path):
                self._waiting[file.path] = user, file
            else:
                self._follow_file(user, file)

    def decision(self) -> Decision:
        """Return the decision once nothing is unread."""
        for user, file in self._waiting.values():
            for package, thing in self._things(user, file):
                self._note_unused(package, user, file, thing)
        omitted = [
            OmittedPackage(
                name=name,
                version=self._segments[name].facts.version,
                needed_by=tuple(other for other in self._graph.dependents(name) if other in self._present),
                by_recipe=name in self._without,
                unused_by=tuple(self._unused.get(name, {}).values()),
            )
            for name in sorted(self._segments)
            if name not in self._present
        ]
        return Decision(omitted=tuple(omitted), kept=tuple(self._kept[name] for name in sorted(self._kept)))

    def _is_started(self, user: str, path: str) -> bool:
        return user == RECIPE or is_started_by_name(path) or path in self._started

    def _start(self, path: str) -> None:
        """Let the script at ``path`` count, because something starts it."""
        self._started.add(path)
        if path in self._waiting:
            self._follow_file(*self._waiting.pop(path))

    def _follow_file(self, user: str, file: FileUses) -> None:
        for package, thing in self._things(user, file):
            self._use(user, file, package, thing)
        for program in file.programs:
            self._start(self._providers.find_path(program))

    def _things(self, user: str, file: FileUses) -> Iterator[tuple[str, str]]:
        """Yield the packages that a file uses, and what it uses of them."""
        providers = self._providers
        for soname in (*file.libraries, *file.dlopen):
            if package := providers.by_soname.get(soname):
                yield package, soname
        if file.interpreter and (package := providers.find_program(file.interpreter)):
            yield package, f"/{file.interpreter}" if "/" in file.interpreter else file.interpreter
            if file.is_script:
                yield from self._interpreter_family(user, package, file.interpreter)
        for program in file.programs:
            package = providers.find_program(program)
            if package and (file.is_script or user == RECIPE or not is_unused_path(user, program)):
                yield package, f"/{program}" if "/" in program else program
        for module in file.modules:
            if package := providers.by_module.get(module):
                yield package, module

    def _interpreter_family(self, user: str, package: str, interpreter: str) -> Iterator[tuple[str, str]]:
        """Yield the packages with modules of an interpreter that the package of a script depends on."""
        family = posixpath.basename(interpreter)
        for other in expand_family(family, self._graph.weak.get(user, ())):
            if package in (*self._graph.strong[other], *self._graph.weak[other]):
                yield other, f"modules of {family}"

    def _use(self, user: str, file: FileUses, package: str | None, thing: str) -> None:
        if package is None or package in self._present:
            return
        if package in self._without:
            self._note_unused(package, user, file, thing)
            return
        self._kept[package] = Use(package=package, user=user, file=file.path, thing=thing)
        self.add(package)

    def _note_unused(self, package: str, user: str, file: FileUses, thing: str) -> None:
        use = Use(package=package, user=user, file=file.path, thing=thing)
        self._unused.setdefault(package, {}).setdefault(file.path, use)
