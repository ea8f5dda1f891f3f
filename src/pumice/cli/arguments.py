"""Command lines: argparse with Pumice's manners.

A parser from here raises UsageError with one sentence and a hint instead of printing usage and
exiting, never guesses abbreviated options, and prints help in one fixed shape, which the
reference pages embed.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from pumice.cli.output import PROGRESS_MODES
from pumice.errors import FormatError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are UsageErrors."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse, and refuse an option that does not exist with the nearest one that does."""
        found, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self._refuse(unknown[0])
        return found, unknown

    def print_help(self, file: Any = None) -> None:
        """Print the help; unlike argparse, do not swallow that it could not be written."""
        (sys.stdout if file is None else file).write(self.format_help())

    def error(self, message: str) -> NoReturn:
        """Raise argparse's complaint as a UsageError."""
        sentence, hint = _reworded(message)
        raise UsageError(sentence, hint=hint or f"see '{self.prog} --help'")

    def _refuse(self, word: str) -> NoReturn:
        from difflib import get_close_matches

        if not word.startswith("-") or word == "-":
            raise UsageError(f"'{word}' is one argument too many", hint=f"see '{self.prog} --help'")
        name = word.split("=", 1)[0]
        options = [text for action in self._actions for text in action.option_strings]
        close = get_close_matches(name, options, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"see '{self.prog} --help'"
        raise UsageError(f"'{self.prog}' has no option '{name}'", hint=hint)


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help that reads the same on every machine up to the width of the terminal."""

    def __init__(self, prog: str) -> None:
        columns = os.environ.get("COLUMNS", "")
        width = int(columns) if columns.isascii() and columns.isdigit() else _terminal_width()
        super().__init__(prog, max_help_position=28, width=max(40, min(width, 100)))

    def add_usage(self, usage: str | None, actions: Any, groups: Any, prefix: str | None = None) -> None:
        super().add_usage(usage, actions, groups, prefix or "usage: ")


def _terminal_width() -> int:
    try:
        return os.get_terminal_size().columns
    except OSError:
        return 100


def parser(verb: str, description: str, *, progress: bool = True, epilog: str = "") -> Parser:
    """Return the parser of ``pumice VERB`` with the options that every command has.

    ``progress=False`` leaves ``--progress`` out, for a command that never makes anyone wait.
    """
    made = Parser(
        prog=f"pumice {verb}",
        description=description,
        epilog=epilog or None,
        allow_abbrev=False,
        add_help=False,
        formatter_class=_Help,
    )
    made._positionals.title = "arguments"  # argparse has no public name for it
    made.add_argument("-h", "--help", action="help", help="show this help")
    if progress:
        made.add_argument(
            "--progress",
            choices=PROGRESS_MODES,
            default="auto",
            metavar="MODE",
            help="how to show progress on standard error: auto, plain, json or none",
        )
    return made


def format_option(made: argparse.ArgumentParser) -> None:
    """Add ``--format`` as ``format``: text or json."""
    made.add_argument(
        "--format",
        choices=("text", "json"),
        default="text",
        metavar="FORMAT",
        help="text (the default) or json",
    )


def admission_options(made: argparse.ArgumentParser, what: str) -> None:
    """Add the options that say which images may be run, or enter the store: ``what`` says that of one."""
    made.add_argument(
        "--insecure-options",
        choices=("image",),
        action="append",
        default=[],
        metavar="WHAT",
        help=f"image: {what} although nobody who is trusted has signed it",
    )
    made.add_argument(
        "--allow-older", action="store_true", help=f"{what} although a newer version was accepted before"
    )


def offline_option(made: argparse.ArgumentParser) -> None:
    """Add ``--offline`` as ``offline``."""
    made.add_argument("--offline", action="store_true", help="use what is in the store, and no network")


def bundle_option(made: argparse.ArgumentParser) -> None:
    """Add ``--bundle`` as ``bundle``: a folder that is there, else UsageError."""
    made.add_argument("--bundle", metavar="DIR", type=_bundle, help="take packages from this folder")


def _bundle(text: str) -> Path:
    if not os.path.isdir(text):  # noqa: PTH112 - pathlib's raises for names that are too long
        hint = "'pumice lock RECIPE --bundle DIR' makes one"
        raise UsageError(f"there is no bundle: {text!r} is no folder", hint=hint)
    return Path(text)


def arch_options(made: argparse.ArgumentParser) -> None:
    """Add ``--arch`` and ``--platform`` as the one list ``archs`` of Debian architecture names."""
    made.add_argument(
        "--arch",
        dest="archs",
        action="append",
        type=_architecture,
        default=[],
        metavar="ARCH",
        help="architecture by Debian's name, such as arm64; may be repeated",
    )
    made.add_argument(
        "--platform",
        dest="archs",
        action="append",
        type=_platform,
        metavar="PLATFORM",
        help="the same by its OCI name, such as linux/arm64; may be repeated",
    )


def _architecture(name: str) -> str:
    from pumice.formats import platforms

    try:
        platforms.from_debian(name)
    except FormatError as error:  # a word of the command line, not a document
        raise UsageError(error.message, hint=error.hint) from None
    return name


def _platform(name: str) -> str:
    from pumice.formats import platforms

    try:
        return platforms.to_debian(platforms.parse_platform(name))
    except FormatError as error:
        raise UsageError(error.message, hint=error.hint) from None


_COMPLAINT = re.compile(r"argument (?P<name>[^:]+): (?P<what>.*)", re.DOTALL)
_CHOICE = re.compile(r"invalid choice: (?P<word>.+?) \(choose from (?P<words>.*)\)", re.DOTALL)
_TYPED = re.compile(r"invalid (?P<kind>\S+) value: (?P<word>.*)", re.DOTALL)


def _reworded(message: str) -> tuple[str, str]:
    """Return argparse's complaint as a sentence and a hint (empty if there is none to give)."""
    if message.startswith("the following arguments are required: "):
        return f"{message.partition(': ')[2]} is missing", ""
    complaint = _COMPLAINT.fullmatch(message)
    if complaint is None:
        return message, ""
    name, what = complaint["name"].split("/")[-1], complaint["what"]
    if choice := _CHOICE.fullmatch(what):
        words = re.findall(r"[^\s',]+", choice["words"])
        return f"{name} cannot be {choice['word']}", _nearest(choice["word"].strip("'"), words)
    if typed := _TYPED.fullmatch(what):
        return f"{name} needs a number, not {typed['word']}", ""
    if what.startswith("expected "):
        return f"{name} needs {what.removeprefix('expected ').replace('one argument', 'a value')}", ""
    return f"{name}: {what}", ""


def _nearest(word: str, words: Sequence[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, words, n=1)
    return f"did you mean '{close[0]}'?" if close else f"use one of {', '.join(words)}"
