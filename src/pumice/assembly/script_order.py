"""The order in which dpkg configures packages: what a package depends on comes first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.formats import relations

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pumice.packing.tree import PackageFacts

_FIRST = ("base-passwd", "base-files", "dpkg", "libc6", "libc-bin", "debconf", "perl-base")
"""What scripts rely on without a dependency, in the order in which debootstrap configures it."""


def order_packages(packages: Iterable[PackageFacts]) -> list[PackageFacts]:
    """Return packages in the order of their configuration (Debian Policy 6.5 and 7.2).

    Essential packages come before all others. A cycle of dependencies is cut where it is entered; packages
    are visited by name, so that the order is always the same.
    """
    by_name = {package.name: package for package in packages}
    providers: dict[str, list[str]] = {}
    for name in sorted(by_name):
        for relation in relations.parse_flat_relations(by_name[name].fields.get("Provides", "")):
            providers.setdefault(relation.name, []).append(name)
    essential = sorted(name for name in by_name if by_name[name].fields.get("Essential") == "yes")
    ordered: dict[str, PackageFacts] = {}
    visited: set[str] = set()
    for start in (*_FIRST, *essential, *sorted(by_name)):
        _visit(start, by_name, providers, visited, ordered)
    return list(ordered.values())


def _visit(
    start: str,
    by_name: dict[str, PackageFacts],
    providers: dict[str, list[str]],
    visited: set[str],
    ordered: dict[str, PackageFacts],
) -> None:
    """Add a package after what it depends on; without recursion, because chains can be long."""
    pending: list[tuple[str, bool]] = [(start, False)]
    while pending:
        name, is_expanded = pending.pop()
        if is_expanded:
            ordered[name] = by_name[name]
        elif name in by_name and name not in visited:
            visited.add(name)
            pending.append((name, True))
            pending += [(other, False) for other in reversed(_dependencies(by_name[name], providers))]


def _dependencies(package: PackageFacts, providers: dict[str, list[str]]) -> Sequence[str]:
    names: dict[str, None] = {}
    for field in ("Pre-Depends", "Depends"):
        for group in relations.parse_relations(package.fields.get(field, "")):
            for relation in group:
                names |= dict.fromkeys([relation.name, *providers.get(relation.name, ())])
    return list(names)
