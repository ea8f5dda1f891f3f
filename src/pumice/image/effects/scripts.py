"""The commands in the maintainer scripts of the packages, as a fresh installation would run them."""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from pumice.errors import FormatError
from pumice.image.effects.interpret import Action, Value, follow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.formats.tar import Entry
    from pumice.image.tree import PackageFacts, Tree

_SCRIPTS = (("preinst", ("install",)), ("postinst", ("configure", "")))

_WORTH_READING = re.compile(
    rb"\b(?:update-alternatives|adduser|addgroup|useradd|groupadd|usermod|gpasswd|setcap|dpkg-statoverride"
    rb"|chown|chgrp|chmod|mkdir|install|ln|cp|touch|ucf|dpkg-divert|a2enmod|a2enconf|a2ensite|initdb|add-shell)\b"
)
"""Most scripts only speak to services; they need not be read at all."""

_SUCCEED = frozenset(
    ["mkdir", "chown", "chgrp", "chmod", "ln", "cp", "touch", "install", "echo", "printf", "adduser", "addgroup", "useradd", "groupadd", "usermod", "update-alternatives", "setcap", "rm", "rmdir", "mv", "cat", "umask", "exec", "a2enmod", "a2enconf", "a2ensite", "ucf", "ucfr", "db_version", "db_stop", "db_set", "db_input", "db_go", "db_title", "db_fset", "db_unregister", "db_subst", "db_capb", "db_purge"]
)
"""Commands that a script under ``set -e`` cannot go on without."""

_FILE_TESTS = frozenset(("-e", "-f", "-d", "-h", "-L", "-x", "-r", "-w", "-s"))
_PATH = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin")
_PRESENT = frozenset(("setcap", "update-alternatives", "dpkg-statoverride", "adduser"))
"""What these do is done without them: ``setcap`` in particular spares a setuid bit."""

_BENIGN = ("/usr/share/debconf/confmodule",)
_ATTRIBUTES: dict[str, Callable[[Entry], str]] = {
    "%a": lambda entry: f"{entry.mode:o}",
    "%u": lambda entry: str(entry.uid),
    "%g": lambda entry: str(entry.gid),
}
_DEFAULT = re.compile(r"^Default: *(.*)$", re.MULTILINE)


def actions(tree: Tree, architecture: str) -> tuple[dict[str, tuple[Action, ...]], tuple[str, ...]]:
    """Return the actions of each package's scripts, and the packages whose scripts are not understood."""
    found: dict[str, tuple[Action, ...]] = {}
    failed: list[str] = []
    known = _base_accounts(tree)
    for package in tree.packages:
        world = _World(tree, package, architecture, known)
        try:
            taken = [action for script, words in _SCRIPTS for action in _follow(world, script, words)]
        except FormatError:
            failed.append(package.name)
            continue
        if taken:
            found[package.name] = tuple(taken)
    return found, tuple(failed)


def _follow(world: _World, script: str, arguments: Sequence[str]) -> tuple[Action, ...]:
    package = world.package
    text = package.files.get(script, b"")
    if not _is_shell(text) or not _WORTH_READING.search(text):
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
    return follow(text, arguments, variables, world)


def _is_shell(text: bytes) -> bool:
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


class _World:
    """What one package's scripts find out about the image, before anything was configured."""

    def __init__(
        self, tree: Tree, package: PackageFacts, architecture: str, accounts: frozenset[tuple[str, str]]
    ) -> None:
        self.package = package
        self._tree = tree
        self._architecture = architecture
        self._accounts = accounts

    def test(self, flag: str, path: str) -> bool | None:
        if flag not in _FILE_TESTS:
            return None
        if not path.startswith("/"):
            return False if path == "" else None
        found = self._tree.resolve(path)
        if flag in ("-h", "-L"):
            node = self._tree.get(path.strip("/"))
            return node is not None and node.entry.kind == "symlink"
        if found is None:
            return False
        kind = self._tree.nodes[found].entry.kind if found else "dir"
        if flag == "-d":
            return kind == "dir"
        if flag == "-f":
            return kind in ("file", "hardlink")
        if flag == "-x" and kind == "file":
            return self._tree.nodes[found].entry.mode & 0o111 != 0
        if flag == "-s" and kind == "file":
            return self._tree.nodes[found].entry.size > 0
        return True

    def status(self, words: Sequence[Value]) -> bool | None:
        name = words[0] if words else None
        if name in _SUCCEED:
            return True
        if name == "getent" and len(words) > 2:
            return None if words[2] is None else (words[1] or "", words[2]) in self._accounts
        if name == "id":
            return None if words[-1] is None else ("passwd", words[-1]) in self._accounts
        if name in ("command", "which", "type") and words[-1] is not None:
            return self._program(words[-1]) != ""
        if name in ("dpkg-statoverride", "dpkg-divert"):
            return "--list" not in words
        if name == "mountpoint":
            return True
        if name == "dpkg" and "--compare-versions" in words:
            return _compare(words[words.index("--compare-versions") + 1 :])
        return None

    def output(self, words: Sequence[str]) -> Value:
        name, operands = words[0], [word for word in words[1:] if not word.startswith("-")]
        last = operands[-1] if operands else ""
        if name in ("command", "which", "type", "pathfind"):
            return self._program(last)
        if name == "dirname":
            return posixpath.dirname(last.rstrip("/")) or "/"
        if name == "basename":
            return posixpath.basename(operands[0].rstrip("/")).removesuffix(
                last if len(operands) > 1 else "\n"
            )
        if name == "echo":
            return " ".join(word for word in words[1:] if word != "-n")
        if name == "dpkg" and "--print-architecture" in words:
            return self._architecture
        if name == "dpkg-divert" and "--truename" in words:
            return last
        if name == "expr" and len(words) == 4 and words[2] in "+-" and all(map(str.isdecimal, words[1::2])):
            return str(int(words[1]) + int(words[3]) * (1 if words[2] == "+" else -1))
        if name == "stat" and len(words) > 3 and words[-2] in _ATTRIBUTES:
            node = self._tree.get(self._tree.resolve(last) or last.strip("/"))
            return _ATTRIBUTES[words[-2]](node.entry) if node else None
        return "" if name == "dpkg-statoverride" else None

    def source(self, path: str) -> bytes | None:
        if path in _BENIGN:
            return b""
        if self._tree.resolve(path) is None:
            return None
        return self._tree.read(path)

    def answer(self, question: str) -> Value:
        if b"db_set" in self.package.files.get("config", b""):
            return None
        templates = self.package.files.get("templates", b"").decode("utf-8", "replace")
        for paragraph in templates.split("\n\n"):
            if f"\n{paragraph}".find(f"\nTemplate: {question}\n") >= 0:
                match = _DEFAULT.search(paragraph)
                return match[1] if match else ""
        return None

    def _program(self, name: str) -> str:
        if name in _PRESENT:
            return f"/usr/sbin/{name}"
        if name.startswith("/"):
            return name if self._tree.resolve(name) is not None else ""
        found = (f"{folder}/{name}" for folder in _PATH if f"{folder}/{name}" in self._tree.nodes)
        path = next(found, None)
        return "" if path is None else f"/{path}"


def _compare(words: Sequence[Value]) -> bool | None:
    from pumice.distro.debian import version

    if len(words) < 3 or words[0] is None or words[1] is None or words[2] is None:
        return None
    one, operator, other = words[0], words[1], words[2]
    later = operator.endswith("-nl")
    if not one or not other:  # dpkg(1): an empty version is earlier than any, with -nl later
        order = (one != "") - (other != "")
        order = -order if later else order
    else:
        order = version.compare(one, other)
    return {
        "lt": order < 0,
        "<<": order < 0,
        "le": order <= 0,
        "<=": order <= 0,
        "eq": order == 0,
        "=": order == 0,
        "ne": order != 0,
        "ge": order >= 0,
        ">=": order >= 0,
        "gt": order > 0,
        ">>": order > 0,
    }.get(operator.removesuffix("-nl"))
