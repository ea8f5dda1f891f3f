"""``/etc/pam.d/common-*``, which pam-auth-update(8) puts together from the profiles of packages.

Without them nothing that asks PAM works: login, su, sudo, cron, sshd. The profiles that are on by
default are chosen, as when nobody is asked.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from pumice.packing.effects.model import EffectInput, EffectResult, file_entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pumice.packing.tree import Tree

BY = "effect:pam"
_PROFILES = "usr/share/pam-configs"
_TEMPLATES = "usr/share/pam"
_TYPES = {
    "account": "Account",
    "auth": "Auth",
    "password": "Password",
    "session": "Session",
    "session-noninteractive": "Session",
}
_FIELD = re.compile(r"(\S+):\s+(.*)")
_BLOCK = re.compile(r'here are (?:the|more) per-package modules \(the "(Primary|Additional)" block\)')
_LINE = re.compile(r"((?:\[[^]]+\]|\w+)\s+\S+)\s*(.*)")
_LAST = "# end of pam-auth-update config"
_NOBODY = "[default=1]\t\t\tpam_permit.so"
"""What keeps the stack intact where no profile has a primary block."""


class Profile(msgspec.Struct, frozen=True):
    """One package's modules: fields by name, several lines where they go on."""

    name: str
    fields: dict[str, str]

    @property
    def priority(self) -> int:
        """Higher ones come first."""
        text = self.fields.get("Priority", "0")
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def write_pam_stacks(given: EffectInput) -> EffectResult:
    """Return the five files of PAM's common stacks, if libpam-runtime's templates are there."""
    tree = given.tree
    profiles = _chosen(_read(tree))
    made = []
    for kind in _TYPES:
        template, path = f"{_TEMPLATES}/common-{kind}", f"etc/pam.d/common-{kind}"
        if template in tree.nodes and path not in tree.nodes:
            text = tree.read(template).decode("utf-8", "replace")
            made.append(file_entry(path, stack(text, profiles, kind).encode(), BY))
    return EffectResult(generated=tuple(made))


def _read(tree: Tree) -> Iterable[Profile]:
    for path in tree.children(_PROFILES):
        name = path.rpartition("/")[2]
        if not name.endswith("~") and tree.is_file(path):
            yield parse(name, tree.read(path).decode("utf-8", "replace"))


def parse(name: str, text: str) -> Profile:
    """Return a profile; lines that go on belong to the field before them."""
    fields: dict[str, str] = {}
    field = ""
    for line in text.splitlines():
        if match := _FIELD.fullmatch(line):
            field = match[1].removesuffix("-Final")
            fields[field] = match[2].strip()
        elif line.partition(":")[2] == "" and line.endswith(":") and line[:1] not in (" ", "\t"):
            field = line[:-1].removesuffix("-Final")
            fields[field] = ""
        elif line.strip() and field:
            fields[field] = f"{fields[field]}\n{line.strip()}".strip("\n")
    return Profile(name, fields)


def _chosen(profiles: Iterable[Profile]) -> list[Profile]:
    """Return the profiles that are on by default, best first, without those that a better one excludes."""
    ordered = sorted(profiles, key=lambda profile: (profile.priority, profile.name), reverse=True)
    chosen: list[Profile] = []
    for profile in ordered:
        enemies = set(profile.fields.get("Conflicts", "").split(", "))
        excluded = any(
            other.name in enemies or profile.name in other.fields.get("Conflicts", "").split(", ")
            for other in chosen
        )
        if profile.fields.get("Default") == "yes" and not excluded:
            chosen.append(profile)
    return chosen


def stack(template: str, profiles: Sequence[Profile], kind: str) -> str:
    """Return a common stack of ``kind`` (``auth``, ``session-noninteractive`` …) from its template."""
    out: list[str] = []
    skipping = False
    for line in template.splitlines():
        if skipping and not line.startswith(("# here's the fallback", _LAST)):
            continue
        skipping = False
        out.append(line)
        if match := _BLOCK.search(line):
            out += _block(profiles, kind, match[1])
            skipping = True
    return "\n".join(out) + "\n"


def _block(profiles: Sequence[Profile], kind: str, block: str) -> list[str]:
    name = _TYPES[kind]
    word = kind.partition("-")[0]
    lines: list[str] = []
    first = True
    for profile in profiles:
        fields = profile.fields
        if fields.get(f"{name}-Type") != block or (kind != word and "Session-Interactive-Only" in fields):
            continue
        text = (first and fields.get(f"{name}-Initial")) or fields.get(name, "")
        lines += [line for line in text.split("\n") if line]
        first = False
    if block == "Primary" and not lines:
        return [f"{word}\t{_NOBODY}"]
    # "end" is the number of lines left to jump over; the last block must not jump off the stack
    count = len(lines) - (block == "Additional")
    return [f"{word}\t{_filled(line, count - number)}" for number, line in enumerate(lines)]


def _filled(line: str, count: int) -> str:
    match = _LINE.match(line)
    if not match:
        return line
    return match[1].replace("end", str(count)) + " " + " ".join(match[2].split())
