"""The effect that creates the directories that a service manager creates before it starts a server.

Containers have no service manager, so a server whose directory below ``/run`` or ``/var`` is missing
would fail. The directories come from tmpfiles.d(5), from the directory options of systemd units
(systemd.exec(5)), and from ``mkdir``, ``install -d``, ``chown`` and ``chmod`` with literal operands in
init scripts.
"""

from __future__ import annotations

import posixpath
import re
import shlex
from typing import TYPE_CHECKING

import msgspec

from pumice.formats.lines import split_lines
from pumice.packing.effects.account_ids import read_account_ids
from pumice.packing.effects.model import EffectInput, EffectResult
from pumice.packing.effects.overlay_tree import OverlayTree
from pumice.packing.effects.tmpfiles import configuration_files, parse_tmpfiles

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pumice.packing.tree import Tree

ORIGIN = "effect:service-directories"
_UNITS = "usr/lib/systemd/system"
_INIT_SCRIPTS = "etc/init.d"
_OPTIONS = {
    "RuntimeDirectory": "/run",
    "StateDirectory": "/var/lib",
    "CacheDirectory": "/var/cache",
    "LogsDirectory": "/var/log",
}
_PARENTS = ("/run/", "/var/lib/", "/var/cache/", "/var/log/")
"""Where services have their directories; in other places, such as ``/etc``, only scripts create any."""
_NOT_SERVERS = frozenset(("dbus", "libselinux1", "login", "passwd", "sudo", "systemd", "udev", "util-linux"))
"""Packages whose directories are for a machine with a service manager, or for no server."""
LOGIN_GROUP = ":"
_LITERAL = re.compile(r"[\w./:@+-]+")
_ASSIGNMENT = re.compile(r"\s*(?:export\s+)?([A-Za-z_]\w*)=([\"']?)([\w./$:{}-]*)\2\s*(?:#.*)?$")
_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_COMMAND = re.compile(
    r"(?:^|[;&|(]|\bthen\b|\bdo\b)\s*((?:/usr)?/?(?:bin/)?(?:mkdir|install|chown|chmod)\s[^;&|#()<>]*)"
)


class ServiceDirectory(msgspec.Struct, frozen=True, kw_only=True):
    """A directory to create, or with ``is_change`` to change if another row creates it.

    An owner, group or mode that is None is not changed; `LOGIN_GROUP` is the primary group of the user.
    """

    path: str
    is_change: bool = False
    user: str | None = None
    group: str | None = None
    mode: int | None = None


def create_service_directories(inputs: EffectInput) -> EffectResult:
    """Return the directories of services; those that exist keep their attributes."""
    if inputs.settings.format < 2:
        return EffectResult()
    overlay = OverlayTree(inputs.tree, ORIGIN)
    accounts = read_account_ids(inputs.tree)
    for directory in _directories(inputs.tree):
        if not directory.path.startswith(_PARENTS) or inputs.tree.is_directory(directory.path):
            continue
        user, group = directory.user, directory.group
        if (user and user not in accounts.users) or (
            group and group != LOGIN_GROUP and group not in accounts.groups
        ):
            continue
        uid, login_gid = accounts.users[user] if user else (None, None)
        gid = login_gid if group == LOGIN_GROUP else accounts.groups[group] if group else None
        if directory.is_change and not overlay.exists(directory.path):
            continue
        if overlay.make_directory(directory.path):
            overlay.change_attributes(directory.path, mode=directory.mode, uid=uid, gid=gid)
    return EffectResult(generated=tuple(overlay.entries.values()))


def _directories(tree: Tree) -> Iterator[ServiceDirectory]:
    """Yield what tmpfiles.d, units and init scripts want; later rows change what earlier ones created."""
    for package, text in configuration_files(tree):
        if package not in _NOT_SERVERS:
            for line in parse_tmpfiles(text):
                if line.kind in ("d", "D") and line.path.startswith(("/run/", "/var/run/")):
                    yield ServiceDirectory(
                        path=_without_var_run(line.path),
                        user=line.user or None,
                        group=line.group or None,
                        mode=0o755 if line.mode is None else line.mode,
                    )
    for text in _texts(tree, _UNITS, ".service"):
        yield from unit_directories(text)
    for text in _texts(tree, _INIT_SCRIPTS, ""):
        yield from init_script_directories(text)


def _texts(tree: Tree, directory: str, ending: str) -> Iterator[str]:
    for path in tree.children(directory):
        node = tree.get(path)
        is_template = "@" in posixpath.basename(path)
        if node is None or node.entry.kind != "file" or node.owner in _NOT_SERVERS:
            continue
        if path.endswith(ending) and not is_template:
            yield tree.read(path).decode("utf-8", "replace")


def _without_var_run(path: str) -> str:
    return path.removeprefix("/var") if path.startswith("/var/run/") else path


def unit_directories(text: str) -> Iterator[ServiceDirectory]:
    """Yield the directories of a unit file's ``RuntimeDirectory=`` and its relatives."""
    options = _service_options(text)
    if options.get("DynamicUser", "") in ("yes", "true", "1"):
        return  # its user does not exist in an image
    for option, parent in _OPTIONS.items():
        mode = options.get(f"{option}Mode", "0755")
        for name in options.get(option, "").split():
            path = name.partition(":")[0]
            if _LITERAL.fullmatch(path) and ".." not in path:
                yield ServiceDirectory(
                    path=f"{parent}/{path}",
                    user=options.get("User") or None,
                    group=options.get("Group") or (LOGIN_GROUP if options.get("User") else None),
                    mode=int(mode, 8) if re.fullmatch("[0-7]{3,4}", mode) else 0o755,
                )
    for option in ("ExecStartPre", "PermissionsStartOnly"):
        for command in options.get(option, "").split("\n"):
            yield from _command_directories(command.lstrip("-+!@"))


def _service_options(text: str) -> dict[str, str]:
    """Return the options of the section ``[Service]``; lines of ``ExecStartPre`` are joined."""
    options: dict[str, str] = {}
    section = ""
    for line in split_lines(text.replace("\\\n", " ")):
        if line.startswith("["):
            section = line.strip()
        elif section == "[Service]" and "=" in line and not line.startswith(("#", ";")):
            name, _, value = (part.strip() for part in line.partition("="))
            options[name] = (
                f"{options[name]}\n{value}" if name == "ExecStartPre" and name in options else value
            )
    return options


def init_script_directories(text: str) -> Iterator[ServiceDirectory]:
    """Yield the directories that an init script creates or changes by commands with literal operands."""
    variables: dict[str, str] = {}
    for line in split_lines(text.replace("\\\n", " ")):
        assignment = _ASSIGNMENT.fullmatch(line)
        if assignment:
            value = _expand(assignment[3], variables)
            if value is not None:
                variables.setdefault(assignment[1], value)
        for command in _COMMAND.findall(line):
            expanded = _expand(command, variables)
            if expanded is not None:
                yield from _command_directories(expanded)


def _expand(text: str, variables: Mapping[str, str]) -> str | None:
    """Return ``text`` with its variables replaced; None if one is not known or a command is in it."""
    if any((match[1] or match[2]) not in variables for match in _VARIABLE.finditer(text)):
        return None
    expanded = _VARIABLE.sub(lambda match: variables[match[1] or match[2]], text)
    return None if "$" in expanded or "`" in expanded else expanded


def _command_directories(command: str) -> Iterator[ServiceDirectory]:
    """Yield what ``mkdir``, ``install -d``, ``chown`` or ``chmod`` does to directories of services."""
    try:
        words = shlex.split(command)
    except ValueError:
        return
    if not words:
        return
    program = posixpath.basename(words[0])
    values, operands = _split_options(words[1:])
    if program == "mkdir" or (program == "install" and "d" in values):
        for path in operands:
            yield from _directory(path, values.get("o", ""), values.get("g", ""), values.get("m", ""))
    elif program == "chown" and len(operands) > 1:
        user, colon, group = operands[0].replace(".", ":", 1).partition(":")
        for path in operands[1:]:
            yield from _directory(
                path, user, group or (LOGIN_GROUP if colon and user else ""), "", is_change=True
            )
    elif program == "chmod" and len(operands) > 1:
        for path in operands[1:]:
            yield from _directory(path, "", "", operands[0], is_change=True)


def _split_options(words: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Return the options of a command by letter, and its operands; ``-o``, ``-g`` and ``-m`` take a value."""
    values: dict[str, str] = {}
    operands: list[str] = []
    pending = ""
    long_options = {"--owner": "o", "--group": "g", "--mode": "m", "--directory": "d"}
    for word in words:
        if pending:
            values[pending], pending = word, ""
        elif word.startswith("--"):
            name, _, value = word.partition("=")
            values[long_options.get(name, name)] = value
        elif word.startswith("-") and len(word) > 1:
            values |= dict.fromkeys(list(word[1:]), "")
            pending = word[-1] if word[-1] in "ogm" else ""
        else:
            operands.append(word)
    return values, operands


def _directory(
    path: str, user: str, group: str, mode: str, *, is_change: bool = False
) -> Iterator[ServiceDirectory]:
    normal = _without_var_run(posixpath.normpath(path.rstrip("/") or "/"))
    if normal.startswith(_PARENTS) and _LITERAL.fullmatch(normal):
        yield ServiceDirectory(
            path=normal,
            is_change=is_change,
            user=user or None,
            group=group or None,
            mode=int(mode, 8) if re.fullmatch("[0-7]{3,4}", mode) else None,
        )
