"""The basic tools that reached shell scripts run: ``dirname``, ``rm``, ``sed`` and the like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.checks.finding import Finding
from pumice.checks.known_programs import packages_by_program
from pumice.checks.programs import Script
from pumice.errors import FormatError
from pumice.formats import shell, shelltree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pumice.checks.model import CheckedImage
    from pumice.formats.shellwords import Word

_BASIC_PACKAGES = frozenset(
    ("coreutils", "sed", "grep", "mawk", "findutils", "hostname", "gzip", "diffutils")
)
_BUILTINS = frozenset(("echo", "printf", "test", "true", "false", "pwd"))
_LOOKUPS = frozenset(("command", "which", "type", "hash"))


def check_shell_commands(image: CheckedImage) -> Iterator[Finding]:
    """Yield a finding for each shell script that runs basic tools which the image does not have."""
    packages = packages_by_program()
    for file in image.reach.files.values():
        if not isinstance(file.executable, Script) or not file.executable.is_shell:
            continue
        missing = [
            name
            for name in find_commands(image.read_text(file.path))
            if packages.get(name) in _BASIC_PACKAGES and image.find_command(name) is None
        ]
        if missing:
            needed = sorted({packages[name] for name in missing})
            verb = "is" if len(missing) == 1 else "are"
            yield Finding(
                check="shell-command",
                message=f"/{file.path} runs {_join(missing)}, which {verb} not in the image",
                hint=f"add {_join(needed)} to 'packages'",
                key=file.key,
                path=file.path,
            )


def _join(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last


def find_commands(text: str) -> list[str]:
    """Return the commands that a script runs without asking whether they exist; none if it is not POSIX."""
    try:
        script = shell.parse_script(text.encode("utf-8", "replace"))
    except FormatError:
        return []
    commands = list(_simple_commands(script))
    functions = {name for name, _ in commands if name.startswith("()")}
    looked_up = {argument for name, arguments in commands if name in _LOOKUPS for argument in arguments}
    names = dict.fromkeys(name for name, _ in commands)
    return [
        name
        for name in names
        if name and name not in _BUILTINS and name not in looked_up and f"(){name}" not in functions
    ]


def _simple_commands(commands: shelltree.Sequence) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield the name and the literal arguments of each simple command; a function as ``()NAME``."""
    for command in _nested_commands(commands):
        if isinstance(command, shelltree.FunctionDefinition):
            yield f"(){command.name}", ()
        elif isinstance(command, shelltree.SimpleCommand) and command.words:
            name, *arguments = (_literal(word) for word in command.words)
            if name == "exec" and arguments:
                name, *arguments = arguments
            yield name, tuple(arguments)


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
