"""Why a package is in an image, what it costs there, and who else leans on it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec

from pumice.distro.preferences import united
from pumice.formats import relations
from pumice.resolve import minimal
from pumice.resolve.engine import Engine
from pumice.resolve.pool import ROOT, Pool
from pumice.resolve.problem import Overlay
from pumice.resolve.solver import root_needs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pumice.distro.universe import Universe
    from pumice.recipe.lock import LockedPackage
    from pumice.resolve.pool import Need
    from pumice.resolve.problem import Wants

Presence = Literal["installed", "base-data", "absent"]


class Step(msgspec.Struct, frozen=True):
    """One link: ``package`` is there because ``by`` says ``relation`` (``by`` empty: the recipe).

    ``kind`` is requested, essential, needed or recommended; ``where`` the place in the recipe.
    """

    package: str
    version: str
    kind: str
    by: str = ""
    relation: str = ""
    where: str = ""


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """All about one package of an image.

    ``chain`` leads from the recipe to it; ``needed_by`` are all that name it, each with what it
    says; ``alone`` what would go with it, itself included, and ``alone_size`` their installed KiB.
    For an absent package ``passed_over`` says who would have accepted it, and what was taken.
    """

    package: str
    architecture: str
    presence: Presence
    version: str = ""
    chain: tuple[Step, ...] = ()
    needed_by: tuple[tuple[str, str], ...] = ()
    alone: tuple[str, ...] = ()
    alone_size: int = 0
    passed_over: tuple[tuple[str, str, str], ...] = ()
    excluded: str = ""
    guessed: tuple[str, ...] = ()
    """Packages whose locked version the archives no longer have: told by the newest one."""


def explain(universe: Universe, wants: Wants, locked: Iterable[LockedPackage], name: str) -> Explanation:
    """Explain the package ``name`` in the set that a lock pins."""
    return _Graph(universe, wants, locked).explain(name)


class _Graph:
    """A locked set with the needs of its members."""

    def __init__(self, universe: Universe, wants: Wants, locked: Iterable[LockedPackage]) -> None:
        self._roles: dict[str, LockedPackage] = {package.name: package for package in locked}
        # What an older lock pins stays known, whatever its archive may be used for now.
        pinned = [package for package in self._roles.values() if package.role != "local"]
        pins = {package.name: package.version for package in pinned}
        archives = {package.name: united(package.archive) for package in pinned}
        wants = msgspec.structs.replace(wants, pins=pins, pin_archives=archives)
        if wants.local:
            universe = Overlay(universe, wants.local.values())
        self._pool = Pool(universe, wants, Engine())
        self._pool.set_root(root_needs(self._pool, wants.requests))
        self._of: dict[str, int] = {}
        self._guessed: list[str] = []
        for package in self._roles.values():
            if package.role != "base-data":
                self._take(package)
        self._chosen = frozenset(self._of.values())

    def explain(self, name: str) -> Explanation:
        architecture = self._pool.universe.architecture
        package = self._roles.get(name)
        if package is None:
            return Explanation(
                package=name,
                architecture=architecture,
                presence="absent",
                passed_over=tuple(self._passed_over(name)),
                excluded=self._excluded(name),
                guessed=tuple(self._guessed),
            )
        if name not in self._of:
            presence: Presence = "base-data" if package.role == "base-data" else "installed"
            return Explanation(
                package=name, architecture=architecture, presence=presence, version=package.version
            )
        variable = self._of[name]
        alone = self._alone(variable)
        return Explanation(
            package=name,
            architecture=architecture,
            presence="installed",
            version=package.version,
            chain=tuple(self._chain(variable)),
            needed_by=tuple(self._needed_by(variable)),
            alone=tuple(sorted(self._name(one) for one in alone)),
            alone_size=sum(self._pool.records[one].installed_size for one in alone),
            guessed=tuple(self._guessed),
        )

    def _take(self, package: LockedPackage) -> None:
        versions = self._pool.variables(package.name)
        records = self._pool.records
        exact = [one for one in versions if records[one].version == package.version]
        if not exact and versions:
            self._guessed.append(package.name)
        if versions:
            self._of[package.name] = (exact or list(versions))[0]

    def _name(self, variable: int) -> str:
        return self._pool.records[variable].name if variable != ROOT else ""

    def _chain(self, target: int) -> list[Step]:
        """Return the shortest way from the recipe; of equally short ones the first by name."""
        came: dict[int, tuple[int, Need]] = {}
        queue = [ROOT]
        for owner in queue:
            found = [(self._name(one), one, need) for need, ones in self._needs(owner) for one in ones]
            for _, one, need in sorted(found, key=lambda item: item[0]):
                if one not in came:
                    came[one] = owner, need
                    queue.append(one)
        steps: list[Step] = []
        while target in came:
            owner, need = came[target]
            steps.append(self._step(target, owner, need))
            target = owner
        return steps[::-1]

    def _needs(self, owner: int) -> Iterable[tuple[Need, list[int]]]:
        return minimal.supporters(self._pool, self._chosen, owner)

    def _step(self, target: int, owner: int, need: Need) -> Step:
        kinds: Mapping[str, str] = {"request": "requested", "recommends": "recommended", "depends": "needed"}
        origin = need.origin
        return Step(
            package=self._name(target),
            version=self._roles[self._name(target)].version,
            kind=kinds.get(origin.kind, origin.kind),
            by=self._name(owner),
            relation=relations.format_group(origin.group) if owner != ROOT else "",
            where=origin.request.where if origin.request else "",
        )

    def _needed_by(self, target: int) -> list[tuple[str, str]]:
        found = {
            (self._name(owner), relations.format_group(need.origin.group))
            for owner in self._chosen
            for need, ones in self._needs(owner)
            if target in ones and owner != target
        }
        return sorted(found)

    def _alone(self, target: int) -> frozenset[int]:
        """Return what nothing else leads to: the part that is there because of ``target`` only."""
        return self._chosen - minimal.reachable(self._pool, self._chosen, {target})

    def _passed_over(self, name: str) -> list[tuple[str, str, str]]:
        found = {
            (
                self._name(owner),
                relations.format_group(need.origin.group),
                ", ".join(sorted(map(self._name, ones))),
            )
            for owner in self._chosen
            for need, ones in self._needs(owner)
            if any(term.name == name for term in need.origin.group)
            or any(self._name(one) == name for one in need.candidates)
        }
        return sorted(found)

    def _excluded(self, name: str) -> str:
        for request in self._pool.wants.requests:
            if request.exclude and request.name == name:
                return request.where or "the recipe"
        return ""
