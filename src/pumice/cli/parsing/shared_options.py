"""Options that several commands have, each with one meaning."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pumice import files
from pumice.errors import FormatError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from pumice.cli.parsing.arguments import OptionGroup


def add_admission_options(parser: OptionGroup, action: str, *, pronoun: str = "it") -> None:
    """Add the options that waive admission checks.

    ``action`` is what the command does with the image or images, and ``pronoun`` stands for these.
    """
    parser.add_argument(
        "--allow-unsigned",
        dest="insecure_options",
        action="append_const",
        const="image",
        default=[],
        help=f"{action} even if no trusted key has signed {pronoun}",
    )
    parser.add_argument(
        "--insecure-options",
        choices=("image",),
        action="append",
        default=[],
        metavar="WHAT",
        help="image: the same as --allow-unsigned, as in rkt",
    )
    parser.add_argument(
        "--allow-older", action="store_true", help=f"{action} even if a newer version was accepted before"
    )


def add_offline_option(parser: OptionGroup) -> None:
    """Add ``--offline`` as ``offline``."""
    parser.add_argument("--offline", action="store_true", help="do not use the network, only the store")


def add_bundle_option(parser: OptionGroup) -> None:
    """Add ``--bundle`` as ``bundle``: an existing directory, else UsageError."""
    parser.add_argument(
        "--bundle", metavar="DIR", type=_bundle_directory, help="read packages from the bundle in DIR"
    )


def _bundle_directory(text: str) -> Path:
    if not files.is_directory(text):
        hint = "create it with 'pumice lock RECIPE --bundle DIR'"
        raise UsageError(f"cannot read the bundle {text!r}: not a directory", hint=hint)
    return Path(text)


def add_platform_options(parser: OptionGroup) -> None:
    """Add ``--arch`` and ``--platform`` as the one list ``archs`` of Debian architecture names."""
    parser.add_argument(
        "--arch",
        dest="archs",
        action="extend",
        type=_parse_architectures,
        default=[],
        metavar="ARCH",
        help="architecture, such as arm64 or aarch64 (default: those of the recipe; repeatable, or a list "
        "separated by commas)",
    )
    parser.add_argument(
        "--platform",
        dest="archs",
        action="extend",
        type=_parse_architectures,
        metavar="PLATFORM",
        help="OCI platform, such as linux/arm64: another form of --arch (repeatable, or a list separated by "
        "commas)",
    )


def add_filter_option(
    parser: OptionGroup, parse: Callable[[str], tuple[str, str]], help_text: str, *, short: bool = True
) -> None:
    """Add ``--filter`` (``-f`` if ``short``) as ``filter``, a list of names and values."""
    parser.add_argument(
        *(("-f",) if short else ()),
        "--filter",
        action="append",
        default=[],
        type=parse,
        metavar="NAME=VALUE",
        help=f"{help_text} (repeatable)",
    )


def add_recipe_argument_option(parser: OptionGroup) -> None:
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
    return [parse_architecture(name.strip()) for name in text.split(",")]


def parse_architecture(text: str) -> str:
    """Return Debian's name of an architecture of the command line; raises UsageError."""
    from pumice.formats import platforms

    try:
        return platforms.parse_architecture(text)
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
