"""Explanations: why a package is in an image, what it costs, and which packages depend on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from pumice.distro.preferences import canonical_archive
from pumice.formats import relations
from pumice.resolve import minimization
from pumice.resolve.choice import IMPOSSIBLE, Chooser, is_cheaper
from pumice.resolve.engine import Engine
from pumice.resolve.pool import ROOT, Pool
from pumice.resolve.problem import LocalOverlay
from pumice.resolve.solver import root_dependencies

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pumice.distro.universe import Universe
    from pumice.recipe.lock import LockedPackage
    from pumice.resolve.pool import Dependency
    from pumice.resolve.problem import Requirements

Presence = Literal["installed", "base-data", "absent", "omitted"]
ChoiceReason = Literal["first", "provider", "cost", "shared"]


class Step(msgspec.Struct, frozen=True):
    """One link of a dependency chain: ``by`` depends on ``package`` through ``relation``.

    ``by`` is empty for a request of the recipe, and ``where`` its location there. ``kind`` is
    ``requested``, ``essential``, ``needed`` or ``recommended``.
    """

    package: str
    version: str
    kind: str
    by: str = ""
    relation: str = ""
    where: str = ""


class Dependent(msgspec.Struct, frozen=True):
    """A package that depends on the explained one, through ``relation``."""

    package: str
    relation: str


class Alternative(msgspec.Struct, frozen=True):
    """A package whose ``relation`` accepts the explained one, and what was ``chosen`` instead."""

    package: str
    relation: str
    chosen: str


class Option(msgspec.Struct, frozen=True):
    """A package that was considered for a relation, and the packages and bytes that it would add."""

    package: str
    added_packages: int
    added_size: int


class Choice(msgspec.Struct, frozen=True):
    """Why the explained package was chosen for the ``relation`` of ``package``: what it was compared with.

    ``options`` are in the order of the relation and include the explained package. ``reason`` is
    ``first`` (listed first), ``provider`` (of a virtual name that is listed first, by priority and cost),
    ``cost``, or ``shared`` if other packages or the lock decided it.
    """

    package: str
    relation: str
    reason: ChoiceReason
    options: tuple[Option, ...]


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """The explanation of one package of an image.

    ``chain`` leads from the recipe to the package. ``exclusive`` are the packages that would be removed
    with it, itself included, and ``exclusive_size`` is their installed size in bytes. ``choices`` are the
    relations for which it was chosen among several packages. ``accepted_by`` is for an absent package,
    and ``excluded`` the location that excludes it. ``approximated`` are packages whose locked version is
    no longer in the archives: they are explained by the newest version. ``omission`` says why the last
    build left the package out or kept it, and ``unused_by`` which files use it and do not count.
    """

    package: str
    architecture: str
    presence: Presence
    version: str = ""
    chain: tuple[Step, ...] = ()
    needed_by: tuple[Dependent, ...] = ()
    exclusive: tuple[str, ...] = ()
    exclusive_size: int = 0
    choices: tuple[Choice, ...] = ()
    accepted_by: tuple[Alternative, ...] = ()
    excluded: str = ""
    approximated: tuple[str, ...] = ()
    omission: str = ""
    unused_by: tuple[str, ...] = ()


def explain_package(
    universe: Universe, requirements: Requirements, locked: Iterable[LockedPackage], name: str
) -> Explanation:
    """Return the explanation of the package ``name`` in a locked package set."""
    return _Graph(universe, requirements, locked).explain(name)


class _Graph:
    """A locked package set with the dependencies of its members."""

    def __init__(
        self, universe: Universe, requirements: Requirements, locked: Iterable[LockedPackage]
    ) -> None:
        self._packages: dict[str, LockedPackage] = {package.name: package for package in locked}
        # Pinned packages remain candidates even if their archive may no longer provide them.
        pinned_packages = [package for package in self._packages.values() if package.role != "local"]
        pins = {package.name: package.version for package in pinned_packages}
        archives = {package.name: canonical_archive(package.archive) for package in pinned_packages}
        requirements = msgspec.structs.replace(requirements, pins=pins, pin_archives=archives)
        if requirements.local:
            universe = LocalOverlay(universe, requirements.local.values())
        self._pool = Pool(universe, requirements, Engine())
        self._pool.set_root(root_dependencies(self._pool, requirements.requests))
        self._variables: dict[str, int] = {}
        self._approximated: list[str] = []
        for package in self._packages.values():
            if package.role != "base-data":
                self._add_package(package)
        self._installed = frozenset(self._variables.values())

    def explain(self, name: str) -> Explanation:
        architecture = self._pool.universe.architecture
        package = self._packages.get(name)
        if package is None:
            return Explanation(
                package=name,
                architecture=architecture,
                presence="absent",
                accepted_by=tuple(self._find_accepting(name)),
                excluded=self._find_exclusion(name),
                approximated=tuple(self._approximated),
            )
        if name not in self._variables:
            presence: Presence = "base-data" if package.role == "base-data" else "installed"
            return Explanation(
                package=name, architecture=architecture, presence=presence, version=package.version
            )
        variable = self._variables[name]
        exclusive = self._find_exclusive(variable)
        return Explanation(
            package=name,
            architecture=architecture,
            presence="installed",
            version=package.version,
            chain=tuple(self._find_chain(variable)),
            needed_by=tuple(self._find_dependents(variable)),
            exclusive=tuple(sorted(self._get_name(package_variable) for package_variable in exclusive)),
            exclusive_size=sum(self._pool.records[variable].installed_size for variable in exclusive) * 1024,
            choices=tuple(self._find_choices(variable)),
            approximated=tuple(self._approximated),
        )

    def _add_package(self, package: LockedPackage) -> None:
        versions = self._pool.variables(package.name)
        records = self._pool.records
        exact_versions = [variable for variable in versions if records[variable].version == package.version]
        if not exact_versions and versions:
            self._approximated.append(package.name)
        if versions:
            self._variables[package.name] = (exact_versions or list(versions))[0]

    def _get_name(self, variable: int) -> str:
        return self._pool.records[variable].name if variable != ROOT else ""

    def _find_chain(self, target: int) -> list[Step]:
        """Return the shortest chain from the recipe to ``target``; among equals the first by name."""
        predecessors: dict[int, tuple[int, Dependency]] = {}
        queue = [ROOT]
        for owner in queue:
            links = [
                (self._get_name(package), package, need)
                for need, packages in self._list_satisfied_dependencies(owner)
                for package in packages
            ]
            for _, dependency_variable, dependency in sorted(links, key=lambda link: link[0]):
                if dependency_variable not in predecessors:
                    predecessors[dependency_variable] = owner, dependency
                    queue.append(dependency_variable)
        steps: list[Step] = []
        while target in predecessors:
            owner, dependency = predecessors[target]
            steps.append(self._make_step(target, owner, dependency))
            target = owner
        return steps[::-1]

    def _list_satisfied_dependencies(self, owner: int) -> Iterable[tuple[Dependency, list[int]]]:
        return minimization.satisfied_dependencies(self._pool, self._installed, owner)

    def _make_step(self, target: int, owner: int, dependency: Dependency) -> Step:
        kinds: Mapping[str, str] = {"request": "requested", "recommends": "recommended", "depends": "needed"}
        origin = dependency.origin
        return Step(
            package=self._get_name(target),
            version=self._packages[self._get_name(target)].version,
            kind=kinds.get(origin.kind, origin.kind),
            by=self._get_name(owner),
            relation=relations.format_group(origin.group) if owner != ROOT else "",
            where=origin.request.where if origin.request else "",
        )

    def _find_dependents(self, target: int) -> list[Dependent]:
        dependents = {
            (self._get_name(owner), relations.format_group(dependency.origin.group))
            for owner in self._installed
            for dependency, satisfying in self._list_satisfied_dependencies(owner)
            if target in satisfying and owner != target
        }
        return [Dependent(*dependent) for dependent in sorted(dependents)]

    def _find_exclusive(self, target: int) -> frozenset[int]:
        """Return the packages that are installed only because of ``target``, itself included."""
        return self._installed - minimization.find_reachable(self._pool, self._installed, {target})

    def _find_choices(self, target: int) -> list[Choice]:
        """Return why ``target`` was chosen for each relation that lists something else as well."""
        remaining_packages = minimization.find_reachable(self._pool, self._installed, {target})
        for variable in remaining_packages:
            self._pool.engine.assignment[variable] = 1
        chooser = Chooser(self._pool, frozenset())
        choices = [
            choice
            for owner in sorted(remaining_packages, key=self._get_name)
            for dependency, satisfying in self._list_satisfied_dependencies(owner)
            if satisfying == [target] and (choice := self._explain_choice(target, dependency, chooser))
        ]
        for variable in remaining_packages:
            self._pool.engine.assignment[variable] = 0
        return choices

    def _explain_choice(self, target: int, dependency: Dependency, chooser: Chooser) -> Choice | None:
        compared = chooser.compare(dependency) if dependency.has_alternatives else []
        costs = dict(compared)
        if len(compared) < 2 or target not in costs:
            return None
        first, first_cost = compared[0]
        reason: ChoiceReason = "shared"
        if first == target:
            is_listed = dependency.origin.group[0].name == self._get_name(target)
            reason = "first" if is_listed else "provider"
        elif is_cheaper(costs[target], first_cost):
            reason = "cost"
        return Choice(
            self._get_name(dependency.origin.owner),
            relations.format_group(dependency.origin.group),
            reason,
            tuple(
                Option(self._get_name(variable), packages, size * 1024)
                for variable, (packages, size) in compared
                if (packages, size) != IMPOSSIBLE
            ),
        )

    def _find_accepting(self, name: str) -> list[Alternative]:
        accepting_packages = {
            (
                self._get_name(owner),
                relations.format_group(dependency.origin.group),
                ", ".join(sorted(map(self._get_name, satisfying))),
            )
            for owner in self._installed
            for dependency, satisfying in self._list_satisfied_dependencies(owner)
            if any(term.name == name for term in dependency.origin.group)
            or any(self._get_name(candidate) == name for candidate in dependency.candidates)
        }
        return [Alternative(*alternative) for alternative in sorted(accepting_packages)]

    def _find_exclusion(self, name: str) -> str:
        for request in self._pool.requirements.requests:
            if request.exclude and request.name == name:
                return request.where or "the recipe"
        return ""
