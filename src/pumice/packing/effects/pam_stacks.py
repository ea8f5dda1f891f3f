"""The effect that does the work of pam-auth-update(8): ``/etc/pam.d/common-*``.

Programs that use PAM (login, su, sudo, cron, sshd) need these files. The profiles that are enabled
by default are selected, as in a noninteractive installation.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from pumice.formats.lines import split_lines
from pumice.packing.effects.model import EffectInput, EffectResult, file_entry

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pumice.packing.tree import Tree

ORIGIN = "effect:pam"
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
_EMPTY_PRIMARY_BLOCK = "[default=1]\t\t\tpam_permit.so"
"""The line that keeps the stack valid if no profile has a primary block."""


class Profile(msgspec.Struct, frozen=True):
    """The PAM modules of a package, as fields by name; a value may have several lines."""

    name: str
    fields: dict[str, str]

    @property
    def priority(self) -> int:
        """The priority; profiles with a higher one come first."""
        text = self.fields.get("Priority", "0")
        return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0


def write_pam_stacks(inputs: EffectInput) -> EffectResult:
    """Return the five common stacks, if libpam-runtime's templates are in the image."""
    tree = inputs.tree
    profiles = _select_profiles(_read_profiles(tree))
    files = []
    for kind in _TYPES:
        template, path = f"{_TEMPLATES}/common-{kind}", f"etc/pam.d/common-{kind}"
        if template in tree.nodes and path not in tree.nodes:
            text = tree.read(template).decode("utf-8", "replace")
            files.append(file_entry(path, build_stack(text, profiles, kind).encode(), ORIGIN))
    return EffectResult(generated=tuple(files))


def _read_profiles(tree: Tree) -> Iterable[Profile]:
    for path in tree.children(_PROFILES):
        name = path.rpartition("/")[2]
        if not name.endswith("~") and tree.is_file(path):
            yield parse_profile(name, tree.read(path).decode("utf-8", "replace"))


def parse_profile(name: str, text: str) -> Profile:
    """Parse a profile; an indented line continues the field above it."""
    fields: dict[str, str] = {}
    field = ""
    for line in split_lines(text):
        if match := _FIELD.fullmatch(line):
            field = match[1].removesuffix("-Final")
            fields[field] = match[2].strip()
        elif line.partition(":")[2] == "" and line.endswith(":") and line[:1] not in (" ", "\t"):
            field = line[:-1].removesuffix("-Final")
            fields[field] = ""
        elif line.strip() and field:
            fields[field] = f"{fields[field]}\n{line.strip()}".strip("\n")
    return Profile(name, fields)


def _select_profiles(profiles: Iterable[Profile]) -> list[Profile]:
    """Return the profiles enabled by default, by falling priority, without those that conflict."""
    sorted_profiles = sorted(profiles, key=lambda profile: (profile.priority, profile.name), reverse=True)
    selected_profiles: list[Profile] = []
    for profile in sorted_profiles:
        conflicts = set(profile.fields.get("Conflicts", "").split(", "))
        is_excluded = any(
            selected_profile.name in conflicts
            or profile.name in selected_profile.fields.get("Conflicts", "").split(", ")
            for selected_profile in selected_profiles
        )
        if profile.fields.get("Default") == "yes" and not is_excluded:
            selected_profiles.append(profile)
    return selected_profiles


def build_stack(template: str, profiles: Sequence[Profile], stack_name: str) -> str:
    """Return the stack ``stack_name`` (``auth``, ``session-noninteractive`` …) from its template."""
    lines: list[str] = []
    is_skipping = False
    for line in split_lines(template):
        if is_skipping and not line.startswith(("# here's the fallback", _LAST)):
            continue
        is_skipping = False
        lines.append(line)
        if match := _BLOCK.search(line):
            lines += _format_block_lines(profiles, stack_name, match[1])
            is_skipping = True
    return "\n".join(lines) + "\n"


def _format_block_lines(profiles: Sequence[Profile], stack_name: str, block: str) -> list[str]:
    field_prefix = _TYPES[stack_name]
    pam_type = stack_name.partition("-")[0]
    lines: list[str] = []
    is_first = True
    for profile in profiles:
        fields = profile.fields
        if fields.get(f"{field_prefix}-Type") != block or (
            stack_name != pam_type and "Session-Interactive-Only" in fields
        ):
            continue
        text = (is_first and fields.get(f"{field_prefix}-Initial")) or fields.get(field_prefix, "")
        lines += [line for line in text.split("\n") if line]
        is_first = False
    if block == "Primary" and not lines:
        return [f"{pam_type}\t{_EMPTY_PRIMARY_BLOCK}"]
    # "end" stands for the number of modules to skip; the last block must not jump past the stack
    count = len(lines) - (block == "Additional")
    return [f"{pam_type}\t{_resolve_jumps(line, count - number)}" for number, line in enumerate(lines)]


def _resolve_jumps(line: str, count: int) -> str:
    match = _LINE.match(line)
    if not match:
        return line
    return match[1].replace("end", str(count)) + " " + " ".join(match[2].split())
