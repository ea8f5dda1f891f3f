"""The effect that does the work of ``update-alternatives --install`` in package scripts.

The choice with the highest priority wins. On a tie dpkg keeps the choice that was installed first;
to be independent of that order, the path decides here. A slave is linked only if its file exists.
"""

from __future__ import annotations

import posixpath
import re
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

ORIGIN = "effect:alternatives"
_LINK_DIRECTORY = "etc/alternatives"
_STATE_DIRECTORY = "var/lib/dpkg/alternatives"
_PRIORITY = re.compile("-?[0-9]{1,10}")


class Install(msgspec.Struct, frozen=True):
    """The operands of one ``--install``; slaves are (name, link, path)."""

    link: str
    name: str
    path: str
    priority: int
    slaves: tuple[tuple[str, str, str], ...] = ()


def link_alternatives(inputs: EffectInput) -> EffectResult:
    """Return the links and state files of all link groups."""
    installs: list[Install] = []
    skipped_actions: list[tuple[str, str]] = []
    for package, actions in inputs.actions.items():
        for action in actions:
            if (
                not action.words
                or action.words[0] != "update-alternatives"
                or "--install" not in action.words
            ):
                continue
            install = parse_install(action.words)
            if install is None:
                skipped_actions.append((package, "update-alternatives"))
            else:
                installs.append(install)
    installs += _read_table_installs(inputs.tree)
    overlay = OverlayTree(inputs.tree, ORIGIN)
    for group in _make_link_groups(installs, inputs.tree):
        _link_group(group, overlay)
        overlay.make_directory("/" + _STATE_DIRECTORY)
        overlay.put(file_entry(f"{_STATE_DIRECTORY}/{group.name}", format_.encode_link_group(group), ORIGIN))
    return EffectResult(
        generated=tuple(overlay.entries.values()), skipped_actions=tuple(dict.fromkeys(skipped_actions))
    )


def parse_install(words: Sequence[Value]) -> Install | None:
    """Return the operands of ``--install``; None if they are not all literal and valid."""
    literal_words = [word for word in words if word is not None]
    if len(literal_words) != len(words):
        return None
    position = literal_words.index("--install")
    if len(literal_words) < position + 5 or not _PRIORITY.fullmatch(literal_words[position + 4]):
        return None
    link, name, path, priority = literal_words[position + 1 : position + 5]
    slaves: list[tuple[str, str, str]] = []
    slave_words = literal_words[position + 5 :]
    while slave_words:
        if slave_words[0] != "--slave" or len(slave_words) < 4:
            return None
        slaves.append((slave_words[2], slave_words[1], slave_words[3]))
        slave_words = slave_words[4:]
    install = Install(link, name, path, int(priority), tuple(slaves))
    return install if _is_valid(install) else None


def _is_valid(install: Install) -> bool:
    names = (install.name, *(slave[0] for slave in install.slaves))
    paths = (install.link, install.path, *(path for slave in install.slaves for path in slave[1:]))
    if not all(name and not name.startswith(".") and "/" not in name for name in names):
        return False
    return all(path.startswith("/") and "\n" not in path for path in paths)


def _read_table_installs(tree: Tree) -> Iterable[Install]:
    installed = {package.name for package in tree.packages}
    for package, link, name, path, priority, *slave_fields in parse_table(read_data("alternatives.tsv")):
        if package in installed:
            slaves = tuple(zip(slave_fields[1::3], slave_fields[::3], slave_fields[2::3], strict=False))
            yield Install(link, name, path, int(priority), slaves)


def _make_link_groups(installs: Iterable[Install], tree: Tree) -> Iterable[LinkGroup]:
    installs_by_name: dict[str, dict[str, Install]] = {}
    for install in installs:
        if tree.resolve(install.path) is not None:  # scripts may register a path that is not in the image
            installs_by_name.setdefault(install.name, {})[install.path] = install
    for name in sorted(installs_by_name):
        choices = installs_by_name[name].values()
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


def _link_group(group: LinkGroup, overlay: OverlayTree) -> None:
    best = group.best()
    pairs = [(group.name, group.link, best.path)]
    pairs += [(name, group.slaves[name], path) for name, path in sorted(best.slaves.items())]
    overlay.make_directory("/" + _LINK_DIRECTORY)
    for name, link, path in pairs:
        if overlay.entry(path) is None:
            continue
        parent = posixpath.dirname(link)
        if name != group.name and not overlay.exists(parent):
            continue  # the directory was left out with the documentation
        overlay.make_directory(parent)
        if overlay.exists(link) and not overlay.is_symlink(link):
            continue  # update-alternatives never replaces a real file
        overlay.make_symlink(link, f"/{_LINK_DIRECTORY}/{name}", force=True)
        overlay.make_symlink(f"/{_LINK_DIRECTORY}/{name}", path, force=True)
