"""The environment of a maintainer script: files, accounts, and results of commands.

It is that of a fresh installation, before any package is configured. A result is None if it is unknown.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

from pumice.errors import FormatError
from pumice.packing.effects.scripts import enabled_modules, host_directories, temporary_files
from pumice.packing.effects.scripts.scope import HOST_NAME, literal_value
from pumice.recipe.lock import FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.formats.tar import Entry
    from pumice.packing.effects.scripts.scope import Value
    from pumice.packing.tree import PackageFacts, Tree

_ALWAYS_SUCCEED = frozenset(
    [
        "mkdir",
        "chown",
        "chgrp",
        "chmod",
        "ln",
        "cp",
        "touch",
        "install",
        "echo",
        "printf",
        "adduser",
        "addgroup",
        "useradd",
        "groupadd",
        "usermod",
        "update-alternatives",
        "setcap",
        "rm",
        "rmdir",
        "mv",
        "cat",
        "umask",
        "exec",
        "a2enmod",
        "a2enconf",
        "a2ensite",
        "ucf",
        "ucfr",
        "db_version",
        "db_stop",
        "db_set",
        "db_input",
        "db_go",
        "db_title",
        "db_fset",
        "db_unregister",
        "db_subst",
        "db_capb",
        "db_purge",
    ]
)
"""Commands that are assumed to succeed: a script under ``set -e`` would fail without them."""

_FILE_TESTS: dict[str, Callable[[Entry], bool]] = {
    "-e": lambda _entry: True,
    "-f": lambda entry: entry.kind in ("file", "hardlink"),
    "-d": lambda _entry: False,
    "-h": lambda _entry: False,
    "-L": lambda _entry: False,
    "-r": lambda _entry: True,
    "-w": lambda _entry: True,
    "-x": lambda entry: entry.mode & 0o111 != 0,
    "-s": lambda entry: entry.size > 0 or entry.kind == "hardlink",
}
"""File tests of an entry that is not a directory."""
_PROGRAM_DIRECTORIES = ("usr/local/sbin", "usr/local/bin", "usr/sbin", "usr/bin")
_ASSUMED_PROGRAMS = frozenset(("setcap", "update-alternatives", "dpkg-statoverride", "adduser"))
"""Programs that scripts find although no package ships them, because effects do their work."""

_IGNORED_SOURCES = ("/usr/share/debconf/confmodule",)
_ATTRIBUTES: dict[str, Callable[[Entry], str]] = {
    "%a": lambda entry: f"{entry.mode:o}",
    "%u": lambda entry: str(entry.uid),
    "%g": lambda entry: str(entry.gid),
}
_TEMPLATE_DEFAULT = re.compile(r"^Default: *(.*)$", re.MULTILINE)


class ScriptEnvironment:
    """Environment of a package's scripts; ``accounts`` are pairs of ``passwd`` or ``group`` and a name."""

    def __init__(
        self,
        tree: Tree,
        package: PackageFacts,
        architecture: str,
        accounts: frozenset[tuple[str, str]],
        lock_format: int = FORMAT,
    ) -> None:
        self.package = package
        self.tree = tree
        self._format = lock_format
        self._architecture = architecture
        self._accounts = accounts
        self._temporary_file_count = 0

    def file_test(self, flag: str, path: str) -> bool | None:
        """Return the result of a file test such as ``test -e path``."""
        if flag not in _FILE_TESTS or (path and not path.startswith("/")):
            return None
        if temporary_files.temporary_paths([path]):
            return None
        resolved = self.tree.resolve(path) if path else None
        if flag in ("-h", "-L"):
            node = self.tree.get(path.strip("/"))
            return node is not None and node.entry.kind == "symlink"
        if resolved is None or (resolved in self.tree.implied and self.tree.get(resolved) is None):
            return False
        node = self.tree.get(resolved)
        if node is None or node.entry.kind == "dir":
            return flag != "-f"
        return _FILE_TESTS[flag](node.entry)

    def command_status(self, words: Sequence[Value]) -> bool | None:
        """Return whether a command succeeds."""
        name = words[0] if words else None
        if name in _ALWAYS_SUCCEED or (name in ("phpenmod", "lighty-enable-mod") and self._format >= 2):
            return True
        if name in ("dpkg-statoverride", "dpkg-divert"):
            return "--list" not in words
        query = _STATUS_QUERIES.get(name or "")
        literal_arguments = [word for word in map(literal_value, words[1:]) if word is not None]
        return query(self, literal_arguments) if query and len(literal_arguments) == len(words) - 1 else None

    def _has_account(self, words: list[str]) -> bool | None:
        return (words[0], words[1]) in self._accounts if len(words) == 2 else None

    def _has_user(self, words: list[str]) -> bool | None:
        return ("passwd", words[-1]) in self._accounts if words else None

    def _is_program_found(self, words: list[str]) -> bool | None:
        return self._find_program(words[-1]) != "" if words else None

    def _compare_dpkg_versions(self, words: list[str]) -> bool | None:
        return _compare_versions(words[1:]) if words[:1] == ["--compare-versions"] else None

    def command_output(self, words: Sequence[str]) -> Value:
        """Return the standard output of a command."""
        if words[0] == "phpquery":
            return _query_php(self, list(words)) if self._format >= 2 else None
        if temporary_files.creates_temporary_file(words):
            return self._name_temporary_file() if self._format >= 2 else None
        if host_directories.prints_host_name(words):
            return HOST_NAME if self._format >= 2 else None
        query = _OUTPUT_QUERIES.get(words[0])
        operands = [word for word in words[1:] if not word.startswith("-")]
        if words[0] == "dpkg" and "--print-architecture" in words:
            return self._architecture
        return query(self, list(words), operands) if query and operands else None

    def _name_temporary_file(self) -> str:
        self._temporary_file_count += 1
        return f"{temporary_files.DIRECTORY}/{self.package.name}.{self._temporary_file_count}"

    def _print_program_path(self, _words: list[str], operands: list[str]) -> Value:
        return self._find_program(operands[-1])

    def _print_attribute(self, _words: list[str], operands: list[str]) -> Value:
        format_ = next((word for word in operands if word in _ATTRIBUTES), None)
        path = operands[-1]
        node = self.tree.get(self.tree.resolve(path) or path.strip("/"))
        return _ATTRIBUTES[format_](node.entry) if format_ and node else None

    def read_sourced_file(self, path: str) -> bytes | None:
        """Return the content of a file that a script sources with ``.``."""
        if path in _IGNORED_SOURCES:
            return b""
        node = self.tree.get(self.tree.resolve(path) or "")
        if node is None or node.entry.kind not in ("file", "hardlink"):
            return None
        return self.tree.read(path)

    def debconf_default(self, question: str) -> Value:
        """Return the default of a debconf question; None if the package's config script may change it."""
        if b"db_set" in self.package.files.get("config", b""):
            return None
        templates = self.package.files.get("templates", b"").decode("utf-8", "replace")
        for paragraph in templates.split("\n\n"):
            if f"\n{paragraph}".find(f"\nTemplate: {question}\n") >= 0:
                match = _TEMPLATE_DEFAULT.search(paragraph)
                return match[1] if match else ""
        return None

    def _find_program(self, name: str) -> str:
        if name in _ASSUMED_PROGRAMS:
            return f"/usr/sbin/{name}"
        if name.startswith("/"):
            return name if self.tree.resolve(name) is not None else ""
        candidates = (
            f"{directory}/{name}"
            for directory in _PROGRAM_DIRECTORIES
            if f"{directory}/{name}" in self.tree.nodes
        )
        path = next(candidates, None)
        return "" if path is None else f"/{path}"


def _compare_versions(words: list[str]) -> bool | None:
    from pumice.distro.versions import compare_versions

    if len(words) != 3:
        return None
    version_a, operator, version_b = words
    is_empty_later = operator.endswith("-nl")
    if not version_a or not version_b:  # dpkg(1): an empty version is earlier than any other, with -nl later
        order = (version_a != "") - (version_b != "")
        order = -order if is_empty_later else order
    else:
        try:
            order = compare_versions(version_a, version_b)
        except FormatError:
            return None
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


def _evaluate_expr(_world: ScriptEnvironment, words: list[str], _operands: list[str]) -> Value:
    if len(words) != 4 or words[2] not in ("+", "-"):
        return None
    if not all(word.isdecimal() and len(word) < 18 for word in words[1::2]):
        return None
    return str(int(words[1]) + int(words[3]) * (1 if words[2] == "+" else -1))


def _query_php(environment: ScriptEnvironment, words: list[str]) -> Value:
    """Return the output of ``phpquery``; no module is registered before the first configuration."""
    version = words[words.index("-v") + 1] if "-v" in words[:-1] else ""
    if "-M" in words:
        return ""
    if "-V" in words:
        return " ".join(enabled_modules.php_versions(environment.tree))
    return (
        " ".join(enabled_modules.php_interfaces(environment.tree, version))
        if "-S" in words and version
        else None
    )


def _print_basename(_world: ScriptEnvironment, _words: list[str], operands: list[str]) -> Value:
    name = posixpath.basename(operands[0].rstrip("/"))
    return name.removesuffix(operands[1]) if len(operands) > 1 else name


_STATUS_QUERIES: dict[str, Callable[[ScriptEnvironment, list[str]], bool | None]] = {
    "getent": ScriptEnvironment._has_account,
    "id": ScriptEnvironment._has_user,
    "command": ScriptEnvironment._is_program_found,
    "which": ScriptEnvironment._is_program_found,
    "type": ScriptEnvironment._is_program_found,
    "mountpoint": lambda _world, _words: True,
    "dpkg": ScriptEnvironment._compare_dpkg_versions,
}
_OUTPUT_QUERIES: dict[str, Callable[[ScriptEnvironment, list[str], list[str]], Value]] = {
    "command": ScriptEnvironment._print_program_path,
    "which": ScriptEnvironment._print_program_path,
    "pathfind": ScriptEnvironment._print_program_path,
    "dirname": lambda _world, _words, operands: posixpath.dirname(operands[0].rstrip("/")) or "/",
    "basename": _print_basename,
    "echo": lambda _world, words, _operands: " ".join(word for word in words[1:] if word != "-n"),
    "dpkg-divert": lambda _world, words, operands: operands[-1] if "--truename" in words else None,
    "dpkg-statoverride": lambda _world, _words, _operands: "",
    "expr": _evaluate_expr,
    "stat": ScriptEnvironment._print_attribute,
}
