"""The programs that shell scripts run: ``dirname``, ``rm``, ``sed`` and the like."""

from __future__ import annotations

import posixpath
import re
from contextlib import suppress
from typing import TYPE_CHECKING

from pumice.checks.finding import Finding
from pumice.checks.known_programs import packages_by_program, shell_builtins
from pumice.checks.programs import Script
from pumice.checks.reach import commands
from pumice.errors import FormatError
from pumice.formats import shell, shelltree
from pumice.packing.tree import RECIPE_OWNER

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pumice.checks.model import CheckedImage
    from pumice.formats.shellwords import Word

_BASIC_PACKAGES = frozenset(
    ("coreutils", "sed", "grep", "mawk", "findutils", "hostname", "gzip", "diffutils")
)
_LOOKUPS = frozenset(("command", "which", "type", "hash", "[", "[[", "test"))
_SHELLS = frozenset(("sh", "bash", "dash", "ash"))
_DEFINES_MORE = re.compile(r"(?:^|[;&|({\s])(?:\.|source|alias|eval)\s", re.MULTILINE)
"""What can define functions that are not in the text."""


def check_shell_commands(image: CheckedImage) -> Iterator[Finding]:
    """Yield a finding for each shell script that runs programs which the image does not have.

    Scripts of packages have branches for many systems, so only basic tools count there. Everything counts in
    the recipe's own scripts, and in the text that a command passes to a shell.
    """
    for key, words in commands(image):
        text = _text_for_shell(words)
        if text:
            name = "the health check" if key == "run.health" else "the command"
            yield from _check_text(image, text, name, words[0], key, is_own=True)
    for file in image.reach.files.values():
        if isinstance(file.executable, Script) and file.executable.is_shell:
            node = image.tree.get(file.path)
            is_own = node is not None and node.owner == RECIPE_OWNER
            interpreter = file.executable.env_command or file.executable.interpreter
            text = image.read_text(file.path)
            yield from _check_text(
                image, text, f"/{file.path}", interpreter, file.key, is_own=is_own, path=file.path
            )


def _text_for_shell(words: tuple[str, ...]) -> str:
    """Return the script in a command such as ``sh -c SCRIPT``, empty if there is none."""
    if posixpath.basename(words[0]) not in _SHELLS:
        return ""
    for number, word in enumerate(words[1:], start=1):
        if not word.startswith("-"):
            return ""
        if not word.startswith("--") and "c" in word:
            return words[number + 1] if number + 1 < len(words) else ""
    return ""


def _check_text(
    image: CheckedImage, text: str, subject: str, shell_name: str, key: str, *, is_own: bool, path: str = ""
) -> Iterator[Finding]:
    """Yield a finding if a script runs programs that are not in the image."""
    shell_path = image.find_command(shell_name)
    has_applets = shell_path is not None and (image.real_path(shell_path) or "").endswith("/busybox")
    is_searched = not has_applets and "PATH=" not in text
    all_count = is_own and not _DEFINES_MORE.search(text)
    packages = packages_by_program()
    missing = [
        name
        for name in find_commands(text)
        if (all_count or packages.get(name) in _BASIC_PACKAGES or (is_own and name.startswith("/")))
        and (name.startswith("/") or (is_searched and "/" not in name))
        and image.find_command(name) is None
    ]
    if missing:
        needed = sorted({packages[name] for name in missing if name in packages})
        verb = "is" if len(missing) == 1 else "are"
        yield Finding(
            check="shell-command",
            message=f"{subject} runs {_join(missing)}, which {verb} not in the image",
            hint=f"add {_join(needed)} to 'packages'" if needed else "add the package that contains it",
            key=key,
            path=path,
        )


def _join(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def find_commands(text: str) -> list[str]:
    """Return the programs that a script runs without asking whether they exist; none if it is not POSIX."""
    commands = _read_commands(text) or []
    looked_up = {argument for name, arguments in commands if name in _LOOKUPS for argument in arguments}
    return [name for name in _list_programs(commands) if name not in looked_up]


def list_commands(text: str) -> list[str] | None:
    """Return all programs that a script runs; None if it is not POSIX."""
    commands = _read_commands(text)
    return None if commands is None else _list_programs(commands)


def _read_commands(text: str) -> list[tuple[str, tuple[str, ...]]] | None:
    try:
        return list(_simple_commands(shell.parse_script(text.encode("utf-8", "replace"))))
    except FormatError:
        return None


def _list_programs(commands: Iterable[tuple[str, tuple[str, ...]]]) -> list[str]:
    """Return the names of commands that are neither functions nor builtins of the shell."""
    names = dict.fromkeys(name for name, _ in commands)
    builtins = shell_builtins()
    return [
        name
        for name in names
        if name and not name.startswith("()") and name not in builtins and f"(){name}" not in names
    ]


def _simple_commands(commands: shelltree.Sequence) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the name and the literal arguments of each simple command; a function as ``()NAME``."""
    for command in _nested_commands(commands):
        if isinstance(command, shelltree.FunctionDefinition):
            yield f"(){command.name}", ()
        elif isinstance(command, shelltree.SimpleCommand):
            for word in (*command.words, *(value for _, value in command.assignments)):
                yield from _substituted_commands(word)
            if command.words:
                name, *arguments = (_literal(word) for word in command.words)
                if name in ("exec", "time") and arguments:
                    name, *arguments = arguments
                yield name, tuple(arguments)


def _substituted_commands(word: Word) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the commands in the ``$(…)`` of a word; other expansions begin with ``$``."""
    for part in word:
        if part.kind == "unknown" and not part.text.startswith("$"):
            with suppress(FormatError):
                yield from _simple_commands(shell.parse_script(part.text.encode("utf-8", "replace")))


def _nested_commands(commands: shelltree.Sequence) -> Iterator[shelltree.Command]:
    for item in commands:
        for pipeline in (item.first, *(pipeline for _, pipeline in item.operations)):
            for command in pipeline.commands:
                yield from _with_bodies(command)


def _with_bodies(command: shelltree.Command) -> Iterator[shelltree.Command]:
    """Yield a command and all commands in it."""
    yield command
    match command:
        case shelltree.Redirected() | shelltree.FunctionDefinition():
            yield from _with_bodies(
                command.command if isinstance(command, shelltree.Redirected) else command.body
            )
        case shelltree.If():
            for condition, body in command.branches:
                yield from _nested_commands((*condition, *body))
            yield from _nested_commands(command.else_body)
        case shelltree.Case():
            for _, body in command.branches:
                yield from _nested_commands(body)
        case shelltree.For() | shelltree.Group():
            yield from _nested_commands(command.body)
        case shelltree.Loop():
            yield from _nested_commands((*command.condition, *command.body))
        case shelltree.SimpleCommand():
            return


def _literal(word: Word) -> str:
    """Return the text of a word without expansions, empty for another word."""
    return "".join(part.text for part in word) if all(part.kind == "text" for part in word) else ""
