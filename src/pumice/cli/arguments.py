"""Parse command lines, with argparse.

A parser from here raises UsageError with one sentence and a hint instead of printing its usage and
exiting, rejects abbreviated options, and prints help in one fixed format, which the reference pages embed.
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
    """A parser that raises UsageError."""

    def parse_known_args(  # type: ignore[override]  # typeshed has two overloads
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse arguments; raise UsageError for an unknown option, with the most similar one as hint."""
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.reject(unknown[0])
        return known, unknown

    def parse_scattered(self, args: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """Parse arguments; return also the words that follow an option after all positionals are taken.

        argparse fills optional positionals before the first option, so ``A --option B`` leaves B.
        """
        known, unknown = super().parse_known_args(args, None)
        for word in unknown:
            if word.startswith("-") and word != "-":
                self.reject(word)
        return known, unknown

    def print_help(self, file: Any = None) -> None:
        """Print the help; unlike argparse, raise OSError if it cannot be written."""
        (sys.stdout if file is None else file).write(self.format_help())

    def error(self, message: str) -> NoReturn:
        """Raise the error of argparse as UsageError."""
        sentence, hint = _rephrase(message)
        raise UsageError(sentence, hint=hint or f"see '{self.prog} --help'")

    def reject(self, argument: str) -> NoReturn:
        """Raise UsageError for an argument that is not expected."""
        from difflib import get_close_matches

        if not argument.startswith("-") or argument == "-":
            raise UsageError(f"'{argument}' is an unexpected argument", hint=f"see '{self.prog} --help'")
        name = argument.split("=", 1)[0]
        options = [text for action in self._actions for text in action.option_strings]
        close = get_close_matches(name, options, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"see '{self.prog} --help'"
        raise UsageError(f"'{self.prog}' has no option '{name}'", hint=hint)


class _Help(argparse.RawDescriptionHelpFormatter):
    """Help that is the same on every machine, except for the width of the terminal."""

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


def make_parser(verb: str, description: str, *, progress: bool = True, epilog: str = "") -> Parser:
    """Return the parser of ``pumice VERB`` with the options that every command has.

    ``progress=False`` omits ``--progress``, for a command that never takes long.
    """
    parser = Parser(
        prog=f"pumice {verb}",
        description=description,
        epilog=epilog or None,
        allow_abbrev=False,
        add_help=False,
        formatter_class=_Help,
    )
    parser._positionals.title = "arguments"  # argparse has no public API for this
    parser.add_argument("-h", "--help", action="help", help="print this help and exit")
    if progress:
        parser.add_argument(
            "--progress",
            choices=PROGRESS_MODES,
            default="auto",
            metavar="MODE",
            help="progress on standard error: auto, plain, json or none (default: auto)",
        )
    return parser


def add_format_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--format`` as ``format``: text or json."""
    parser.add_argument(
        "--format",
        choices=("text", "json"),
        default="text",
        metavar="FORMAT",
        help="text or json (default: text)",
    )


def add_admission_options(parser: argparse.ArgumentParser, action: str) -> None:
    """Add the options that waive admission checks; ``action`` is what the command does with the image."""
    parser.add_argument(
        "--insecure-options",
        choices=("image",),
        action="append",
        default=[],
        metavar="WHAT",
        help=f"skip a check; image: {action} even if no trusted key has signed it",
    )
    parser.add_argument(
        "--allow-older", action="store_true", help=f"{action} even if a newer version was accepted before"
    )


def add_offline_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--offline`` as ``offline``."""
    parser.add_argument("--offline", action="store_true", help="do not use the network, only the store")


def add_bundle_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--bundle`` as ``bundle``: an existing directory, else UsageError."""
    parser.add_argument(
        "--bundle", metavar="DIR", type=_bundle_directory, help="read packages from the bundle in DIR"
    )


def _bundle_directory(text: str) -> Path:
    if not os.path.isdir(text):  # noqa: PTH112 - pathlib raises for names that are too long
        hint = "create it with 'pumice lock RECIPE --bundle DIR'"
        raise UsageError(f"cannot read the bundle {text!r}: not a directory", hint=hint)
    return Path(text)


def add_platform_options(parser: argparse.ArgumentParser) -> None:
    """Add ``--arch`` and ``--platform`` as the one list ``archs`` of Debian architecture names."""
    parser.add_argument(
        "--arch",
        dest="archs",
        action="extend",
        type=_parse_architectures,
        default=[],
        metavar="ARCH",
        help="architecture, such as arm64 or aarch64 (repeatable, or a list separated by commas)",
    )
    parser.add_argument(
        "--platform",
        dest="archs",
        action="extend",
        type=_parse_architectures,
        metavar="PLATFORM",
        help="OCI platform, such as linux/arm64 (repeatable, or a list separated by commas)",
    )


def add_recipe_argument_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--arg`` as ``recipe_arguments``, a list of names and values for `pumice.recipe.load`."""
    parser.add_argument(
        "--arg",
        dest="recipe_arguments",
        action="append",
        type=_recipe_argument,
        default=[],
        metavar="NAME=VALUE",
        help="set an argument that the recipe declares under 'args' (repeatable)",
    )


def _recipe_argument(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise UsageError(f"--arg needs NAME=VALUE, not {text[:80]!r}", hint="for example: --arg VERSION=1.2")
    return name, value


def _parse_architectures(text: str) -> list[str]:
    from pumice.formats import platforms

    try:
        return [platforms.parse_architecture(name.strip()) for name in text.split(",")]
    except FormatError as error:  # it comes from the command line, not from a document
        raise UsageError(error.message, hint=error.hint) from None


def add_quiet_option(parser: argparse.ArgumentParser) -> None:
    """Add ``-q`` as ``--progress none``."""
    parser.add_argument(
        "-q",
        "--quiet",
        dest="progress",
        action="store_const",
        const="none",
        help="print the result only: the same as --progress none",
    )


_COMPLAINT = re.compile(r"argument (?P<name>[^:]+): (?P<what>.*)", re.DOTALL)
_CHOICE = re.compile(r"invalid choice: (?P<word>.+?) \(choose from (?P<words>.*)\)", re.DOTALL)
_TYPED = re.compile(r"invalid (?P<kind>\S+) value: (?P<word>.*)", re.DOTALL)


def _rephrase(message: str) -> tuple[str, str]:
    """Return an argparse error as a sentence and a hint, which may be empty."""
    if message.startswith("the following arguments are required: "):
        return f"{message.partition(': ')[2]} is missing", ""
    complaint = _COMPLAINT.fullmatch(message)
    if complaint is None:
        return message, ""
    name, complaint_text = complaint["name"].split("/")[-1], complaint["what"]
    if choice := _CHOICE.fullmatch(complaint_text):
        choices = re.findall(r"[^\s',]+", choice["words"])
        return f"{name} cannot be {choice['word']}", _suggest(choice["word"].strip("'"), choices)
    if typed := _TYPED.fullmatch(complaint_text):
        return f"{name} needs a number, not {typed['word']}", ""
    if complaint_text.startswith("expected "):
        return (
            f"{name} needs {complaint_text.removeprefix('expected ').replace('one argument', 'a value')}",
            "",
        )
    return f"{name}: {complaint_text}", ""


def _suggest(word: str, choices: Sequence[str]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, choices, n=1)
    return f"did you mean '{close[0]}'?" if close else f"use one of {', '.join(choices)}"
