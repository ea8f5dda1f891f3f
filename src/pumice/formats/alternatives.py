"""The state files of update-alternatives(1), one for each link group (``/var/lib/dpkg/alternatives``)."""

from __future__ import annotations

import msgspec

from pumice.errors import FormatError


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """A file that can provide a link group; ``slaves`` maps names of slave links to files."""

    path: str
    priority: int
    slaves: dict[str, str] = {}


class LinkGroup(msgspec.Struct, frozen=True, kw_only=True):
    """A link group: its name, its master link, its slave links by name, and its choices."""

    name: str
    link: str
    slaves: dict[str, str] = {}
    choices: tuple[Choice, ...] = ()

    def best(self) -> Choice:
        """Return the choice with the highest priority; of several, the one whose path sorts first."""
        return min(self.choices, key=lambda choice: (-choice.priority, choice.path))


def encode_link_group(group: LinkGroup) -> bytes:
    """Return the state file of a group in automatic mode, as update-alternatives writes it."""
    names = sorted(group.slaves)
    lines = ["auto", group.link]
    for name in names:
        lines += [name, group.slaves[name]]
    lines.append("")
    for choice in sorted(group.choices, key=lambda choice: choice.path):
        lines += [choice.path, str(choice.priority), *(choice.slaves.get(name, "") for name in names)]
    lines.append("")
    if any("\n" in line for line in lines):
        raise FormatError(f"the alternative {group.name!r} has a line break in a path")
    return ("\n".join(lines) + "\n").encode()
