"""Alternatives: what ``update-alternatives --install`` in package scripts leaves behind.

The choice of highest priority wins; dpkg keeps the one that came first on a tie, which depends on
the order of installation, so here the path decides. Slaves are linked only where their file exists.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

import msgspec

from pumice.formats import alternatives as format_
from pumice.formats.alternatives import Choice, LinkGroup
from pumice.packing.effects.model import EffectInput, EffectResult, file_entry, parse_table, read_data
from pumice.packing.effects.overlay_tree import OverlayTree

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pumice.packing.effects.scripts.scope import Value
    from pumice.packing.tree import Tree

BY = "effect:alternatives"
_FOLDER = "etc/alternatives"
_STATE = "var/lib/dpkg/alternatives"


class Install(msgspec.Struct, frozen=True):
    """One ``--install``: slaves are (name, link, file)."""

    link: str
    name: str
    path: str
    priority: int
    slaves: tuple[tuple[str, str, str], ...] = ()


def link_alternatives(given: EffectInput) -> EffectResult:
    """Return the links and state files of all link groups."""
    installs: list[Install] = []
    report: list[tuple[str, str]] = []
    for package, actions in given.actions.items():
        for action in actions:
            if (
                not action.words
                or action.words[0] != "update-alternatives"
                or "--install" not in action.words
            ):
                continue
            install = parse(action.words)
            if install is None:
                report.append((package, "update-alternatives"))
            else:
                installs.append(install)
    installs += _from_table(given.tree)
    canvas = OverlayTree(given.tree, BY)
    for group in _groups(installs, given.tree):
        _link(group, canvas)
        canvas.make_directory("/" + _STATE)
        canvas.put(file_entry(f"{_STATE}/{group.name}", format_.encode_link_group(group), BY))
    return EffectResult(
        generated=tuple(canvas.entries.values()), skipped_actions=tuple(dict.fromkeys(report))
    )


def parse(words: Sequence[Value]) -> Install | None:
    """Return what a command line of update-alternatives(1) installs; None if it is not literal."""
    known = [word for word in words if word is not None]
    if len(known) != len(words):
        return None
    at = known.index("--install")
    if len(known) < at + 5 or not known[at + 4].lstrip("-").isdecimal():
        return None
    link, name, path, priority = known[at + 1 : at + 5]
    slaves: list[tuple[str, str, str]] = []
    rest = known[at + 5 :]
    while rest:
        if rest[0] != "--slave" or len(rest) < 4:
            return None
        slaves.append((rest[2], rest[1], rest[3]))
        rest = rest[4:]
    install = Install(link, name, path, int(priority), tuple(slaves))
    return install if _sound(install) else None


def _sound(install: Install) -> bool:
    names = (install.name, *(slave[0] for slave in install.slaves))
    paths = (install.link, install.path, *(path for slave in install.slaves for path in slave[1:]))
    if not all(name and not name.startswith(".") and "/" not in name for name in names):
        return False
    return all(path.startswith("/") and "\n" not in path for path in paths)


def _from_table(tree: Tree) -> Iterable[Install]:
    installed = {package.name for package in tree.packages}
    for package, link, name, path, priority, *rest in parse_table(read_data("alternatives.tsv")):
        if package in installed:
            slaves = tuple(zip(rest[1::3], rest[::3], rest[2::3], strict=False))
            yield Install(link, name, path, int(priority), slaves)


def _groups(installs: Iterable[Install], tree: Tree) -> Iterable[LinkGroup]:
    found: dict[str, dict[str, Install]] = {}
    for install in installs:
        if tree.resolve(install.path) is not None:  # scripts register targets that are not there, too
            found.setdefault(install.name, {})[install.path] = install
    for name in sorted(found):
        choices = found[name].values()
        slaves = {slave: link for install in choices for slave, link, _ in install.slaves}
        yield LinkGroup(
            name=name,
            link=next(iter(choices)).link,
            slaves=slaves,
            choices=tuple(
                Choice(
                    path=install.path,
                    priority=install.priority,
                    slaves={slave: path for slave, _, path in install.slaves},
                )
                for install in choices
            ),
        )


def _link(group: LinkGroup, canvas: OverlayTree) -> None:
    best = group.best()
    pairs = [(group.name, group.link, best.path)]
    pairs += [(name, group.slaves[name], path) for name, path in sorted(best.slaves.items())]
    canvas.make_directory("/" + _FOLDER)
    for name, link, path in pairs:
        if canvas.entry(path) is None:
            continue
        parent = posixpath.dirname(link)
        if name != group.name and not canvas.exists(parent):
            continue  # its folder went with the documentation
        canvas.make_directory(parent)
        if canvas.exists(link) and not canvas.is_symlink(link):
            continue  # update-alternatives never replaces a real file
        canvas.make_symlink(link, f"/{_FOLDER}/{name}", force=True)
        canvas.make_symlink(f"/{_FOLDER}/{name}", path, force=True)
