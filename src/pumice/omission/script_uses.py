"""What a script runs and loads: paths, names of commands, and modules of its language.

Here a word too many keeps a package that could go, and a word too few breaks a program. So commands that a
script only looks for count, and those of a script that is not POSIX are guessed from their position.
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING

import msgspec

from pumice.checks.shell_commands import list_commands
from pumice.packing.selection import merged_usr_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.checks.programs import Script

_PATH = re.compile(r"(?<![\w./$}~*-])(?:/[\w.+@-]+)+")
_MAX_PATHS = 2_000

# Repetitions are bounded, so that no text takes long.
_NAME = r"([A-Za-z0-9_][\w.+-]*|(?:/[\w.+@-]+)+)"
_COMMENT = re.compile(r"^[ \t]*#.*$", re.MULTILINE)
_COMMAND_POSITION = re.compile(
    r"(?:^|[;|&({`!]|\b(?:then|do|else|elif|if|while|until|time)\b)[ \t]{0,40}"
    r"(?:\w{1,40}=\S{0,200}[ \t]{1,8}){0,8}" + _NAME,
    re.MULTILINE,
)
_ARGUMENT_POSITION = re.compile(
    r"\b(?:command|which|type|hash|exec|eval|env|xargs|nice|nohup|setsid|sudo|time|timeout|chroot)\b"
    r"(?:[ \t]{1,8}(?:-u[ \t]{1,8}[^\s-]\S{0,40}|-(?!u[ \t])\S{1,80}|\w{1,40}=\S{0,200}|[0-9]{1,8})){0,8}"
    r"[ \t]{1,8}[\"']?" + _NAME
)
"""The program that another program runs or looks for, after options and variables."""

_CALLED_COMMAND = re.compile(
    r"\b(?:system|exec\w{0,8}|popen\w?|Popen|qx\w{0,8}|spawn\w{0,8}|open3?|subprocess\.\w{1,20}|check_\w{1,12}|"
    r"call|run\w{0,12}|(?:complex_)?doit|capture\w{0,12}|which|find_executable|can_run)[\s({\[]{0,8}"
    r"(?:[\w \t$*]{1,40},\s{0,8})?(?:['\"][-+|<>]{1,2}['\"],\s{0,8})?[bfru]?[\"'][|\s]{0,8}" + _NAME
)
"""The first word of a string that a Perl, Python or Ruby script passes to a function that runs programs."""
_BACKTICK_COMMAND = re.compile(r"`\s{0,8}" + _NAME + r"(?=[\s`])")

_PERL_MODULE = re.compile(r"^[ \t]*(?:use|require)[ \t]+([A-Z]\w*(?:::\w+)*)", re.MULTILINE)
_PYTHON_MODULE = re.compile(r"^[ \t]*(?:import|from)[ \t]+([A-Za-z_]\w*)", re.MULTILINE)
_RUBY_MODULE = re.compile(r"^[ \t]*require[ \t(]+[\"']([a-z]\w*(?:/\w+)*)[\"']", re.MULTILINE)


class ScriptUses(msgspec.Struct, frozen=True):
    """The programs of a script, as paths or names of commands, and its modules."""

    programs: tuple[str, ...] = ()
    modules: tuple[str, ...] = ()


def read_script_uses(text: str, script: Script) -> ScriptUses:
    """Return what the script with this text and first line runs and loads."""
    base = posixpath.basename(script.env_command or script.interpreter)
    programs = dict.fromkeys(find_paths(text))
    if script.is_shell:
        programs |= dict.fromkeys(map(normalize, find_shell_commands(text)))
    else:
        programs |= dict.fromkeys(map(normalize, _find_called_commands(text)))
    return ScriptUses(tuple(programs), find_modules(text, base))


def find_modules(text: str, interpreter: str) -> tuple[str, ...]:
    """Return the modules that a text loads, by the name of its interpreter; for Perl and Ruby, files."""
    modules: list[str] = []
    if interpreter.startswith("perl"):
        modules = [module.replace("::", "/") + ".pm" for module in _PERL_MODULE.findall(text)]
    elif interpreter.startswith("python"):
        modules = _PYTHON_MODULE.findall(text)
    elif interpreter.startswith("ruby"):
        modules = [f"{module}.rb" for module in _RUBY_MODULE.findall(text)]
    return tuple(dict.fromkeys(modules))


def find_shell_commands(text: str) -> list[str]:
    """Return the names and paths of programs that a shell script runs or looks for."""
    commands = list_commands(text)
    code = _COMMENT.sub("", text)
    guessed = () if commands is not None else _COMMAND_POSITION.findall(code)
    return list(dict.fromkeys((*(commands or ()), *guessed, *_ARGUMENT_POSITION.findall(code))))


def find_paths(text: str) -> Iterator[str]:
    """Yield the absolute paths in a text, as the tree has them; the first of very many."""
    return map(normalize, list(dict.fromkeys(_PATH.findall(text)))[:_MAX_PATHS])


def normalize(path: str) -> str:
    """Return an absolute path as the tree has it, and the name of a command as it is."""
    return merged_usr_path(path.lstrip("/")) if path.startswith("/") else path


def _find_called_commands(text: str) -> Iterator[str]:
    code = _COMMENT.sub("", text)
    yield from _CALLED_COMMAND.findall(code)
    yield from _BACKTICK_COMMAND.findall(code)
