"""Finds the actions in the maintainer scripts of packages in a fresh installation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pumice.errors import FormatError
from pumice.formats.lines import split_lines
from pumice.packing.effects.scripts.action import ScriptAction
from pumice.packing.effects.scripts.environment import ScriptEnvironment
from pumice.packing.effects.scripts.interpreter import interpret_script
from pumice.recipe.lock import FORMAT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.packing.tree import Tree

_SCRIPTS = (("preinst", ("install",)), ("postinst", ("configure", "")))

_FORMAT_1_COMMANDS = re.compile(
    rb"\b(?:update-alternatives|adduser|addgroup|useradd|groupadd|usermod|gpasswd|setcap|dpkg-statoverride"
    rb"|chown|chgrp|chmod|mkdir|install|ln|cp|touch|ucf|dpkg-divert|a2enmod|a2enconf|a2ensite|initdb|add-shell)\b"
    rb"|[^0-9&>]>>?[ \t]*[\"']?(?:\$|/(?!dev/))"
)
"""Format 1 interprets only scripts with one of these commands or a redirection."""

_SNIPPET = re.compile(
    rb"^# Automatically added by dh_(?:installinit|installsystemd|installsystemduser|systemd_enable"
    rb"|systemd_start|installdeb|installtmpfiles|installsysusers|python3|py3compile)\b.*?"
    rb"^# End automatically added section$",
    re.MULTILINE | re.DOTALL,
)
"""Snippets of debhelper for services, upgrades, and the work of other effects: a third of all text."""


def remove_debhelper_snippets(script: bytes) -> bytes:
    """Return ``script`` without debhelper's snippets that no effect needs, keeping line numbers."""
    return _SNIPPET.sub(lambda match: b"\n" * match[0].count(b"\n"), script)


def debhelper_snippets(script: bytes) -> bytes:
    """Return the snippets that `remove_debhelper_snippets` removes."""
    return b"\n".join(match[0] for match in _SNIPPET.finditer(script))


def collect_actions(
    tree: Tree, architecture: str, lock_format: int = FORMAT
) -> tuple[dict[str, tuple[ScriptAction, ...]], tuple[str, ...]]:
    """Return the actions by package, and the packages with a script that cannot be interpreted."""
    actions_by_package: dict[str, tuple[ScriptAction, ...]] = {}
    failed_packages: list[str] = []
    base_accounts = _read_base_accounts(tree)
    for package in tree.packages:
        environment = ScriptEnvironment(tree, package, architecture, base_accounts, lock_format)
        try:
            actions = [
                action
                for script, arguments in _SCRIPTS
                for action in _interpret(environment, script, arguments, lock_format)
            ]
        except FormatError:
            failed_packages.append(package.name)
            continue
        if actions:
            actions_by_package[package.name] = tuple(actions)
    return actions_by_package, tuple(failed_packages)


def _interpret(
    environment: ScriptEnvironment, script: str, arguments: Sequence[str], lock_format: int
) -> tuple[ScriptAction, ...]:
    package = environment.package
    text = remove_debhelper_snippets(package.files.get(script, b""))
    if not is_shell_script(text) or (lock_format < 2 and not _FORMAT_1_COMMANDS.search(text)):
        return ()
    variables = {
        "DPKG_MAINTSCRIPT_PACKAGE": package.name,
        "DPKG_MAINTSCRIPT_NAME": script,
        "DPKG_MAINTSCRIPT_ARCH": package.architecture,
        "DPKG_ROOT": "",
        "DPKG_ADMINDIR": "/var/lib/dpkg",
        "DEBIAN_FRONTEND": "noninteractive",
        "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/root",
    }
    return interpret_script(text, arguments, variables, environment, lock_format)


def is_shell_script(text: bytes) -> bool:
    """Whether the first line of a script names a POSIX shell."""
    first = text[:64].partition(b"\n")[0]
    return first.startswith(b"#!") and re.search(rb"/(?:ba|da)?sh\b", first) is not None


def _read_base_accounts(tree: Tree) -> frozenset[tuple[str, str]]:
    accounts: set[tuple[str, str]] = set()
    for kind in ("passwd", "group"):
        path = f"usr/share/base-passwd/{kind}.master"
        if tree.get(path):
            lines = split_lines(tree.read(path).decode("utf-8", "replace"))
            accounts |= {(kind, line.split(":")[0]) for line in lines}
    return frozenset(accounts)
