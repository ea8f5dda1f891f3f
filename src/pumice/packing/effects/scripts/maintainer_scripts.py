"""The commands in the maintainer scripts of the packages, as a fresh installation would run them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pumice.errors import FormatError
from pumice.packing.effects.scripts.action import ScriptAction
from pumice.packing.effects.scripts.environment import ScriptEnvironment
from pumice.packing.effects.scripts.interpreter import interpret_script
from pumice.recipe.lock import FORMAT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.packing.tree import Tree

_SCRIPTS = (("preinst", ("install",)), ("postinst", ("configure", "")))

_WORTH_READING = re.compile(
    rb"\b(?:update-alternatives|adduser|addgroup|useradd|groupadd|usermod|gpasswd|setcap|dpkg-statoverride"
    rb"|chown|chgrp|chmod|mkdir|install|ln|cp|touch|ucf|dpkg-divert|a2enmod|a2enconf|a2ensite|initdb|add-shell)\b"
    rb"|[^0-9&>]>>?[ \t]*[\"']?(?:\$|/(?!dev/))"
)
"""In format 1 other scripts are not read at all, and so the commands in them not reported by name."""

_SNIPPET = re.compile(
    rb"^# Automatically added by dh_(?:installinit|installsystemd|installsystemduser|systemd_enable"
    rb"|systemd_start|installdeb|installtmpfiles|installsysusers|python3|py3compile)\b.*?"
    rb"^# End automatically added section$",
    re.MULTILINE | re.DOTALL,
)
"""What debhelper adds for services, upgrades, and what other effects do: a third of all script text."""


def without_snippets(script: bytes) -> bytes:
    """Return ``script`` without the parts that no effect needs; line numbers stay."""
    return _SNIPPET.sub(lambda match: b"\n" * match[0].count(b"\n"), script)


def snippets(script: bytes) -> bytes:
    """Return the parts that `without_snippets` leaves out."""
    return b"\n".join(match[0] for match in _SNIPPET.finditer(script))


def collect_actions(
    tree: Tree, architecture: str, lock_format: int = FORMAT
) -> tuple[dict[str, tuple[ScriptAction, ...]], tuple[str, ...]]:
    """Return the actions of each package's scripts, and the packages whose scripts are not understood."""
    found: dict[str, tuple[ScriptAction, ...]] = {}
    failed: list[str] = []
    known = _base_accounts(tree)
    for package in tree.packages:
        world = ScriptEnvironment(tree, package, architecture, known, lock_format)
        try:
            taken = [
                action for script, words in _SCRIPTS for action in _follow(world, script, words, lock_format)
            ]
        except FormatError:
            failed.append(package.name)
            continue
        if taken:
            found[package.name] = tuple(taken)
    return found, tuple(failed)


def _follow(
    world: ScriptEnvironment, script: str, arguments: Sequence[str], lock_format: int
) -> tuple[ScriptAction, ...]:
    package = world.package
    text = without_snippets(package.files.get(script, b""))
    if not is_shell(text) or (lock_format < 2 and not _WORTH_READING.search(text)):
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
    return interpret_script(text, arguments, variables, world, lock_format)


def is_shell(text: bytes) -> bool:
    """Whether a script is one for a POSIX shell."""
    first = text[:64].partition(b"\n")[0]
    return first.startswith(b"#!") and re.search(rb"/(?:ba|da)?sh\b", first) is not None


def _base_accounts(tree: Tree) -> frozenset[tuple[str, str]]:
    found: set[tuple[str, str]] = set()
    for kind in ("passwd", "group"):
        path = f"usr/share/base-passwd/{kind}.master"
        if tree.get(path):
            lines = tree.read(path).decode("utf-8", "replace").splitlines()
            found |= {(kind, line.split(":")[0]) for line in lines}
    return frozenset(found)
