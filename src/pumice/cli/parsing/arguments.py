"""Parse command lines, with argparse.

A parser from here raises UsageError with one sentence and a hint instead of printing its usage and
exiting, rejects abbreviated options, and prints help in one fixed format, which the reference pages embed.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from pumice.cli.display.progress_modes import PROGRESS_MODES
from pumice.cli.display.streams import COLOR_MODES, find_color_mode, has_color, set_color_mode, unwrap
from pumice.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    OptionGroup = argparse._ActionsContainer  # a parser or one of its groups; argparse exports no name for it


_PATHS = frozenset(("DIR", "FILE", "NEW"))
_SIMILAR = 0.7
"""How similar an option must be to be suggested: a wrong suggestion is worse than none."""


class Parser(argparse.ArgumentParser):
    """A parser that raises UsageError."""

    examples: tuple[str, ...] = ()
    """Complete command lines, which end the help."""
    words: Sequence[str] = ()
    """The words that are being parsed: errors name the options as the user typed them."""

    def parse_known_args(  # type: ignore[override]  # typeshed has two overloads
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        """Parse arguments; raise UsageError for an unknown option, with the most similar one as hint."""
        words = _move_action_first(self, sys.argv[1:] if args is None else args)
        self.words = words
        known, unknown = super().parse_known_args(words, namespace)
        if unknown:
            self.reject(unknown[0])
        return known, unknown

    def parse_scattered(self, args: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
        """Parse arguments; return also the words that follow an option after all positionals are taken.

        argparse fills optional positionals before the first option, so ``A --option B`` leaves B.
        """
        self.words = args
        known, unknown = super().parse_known_args(args, None)
        for word in unknown:
            if word.startswith("-") and word != "-":
                self.reject(word)
        return known, unknown

    def format_help(self) -> str:
        """Return the help, for the width of the terminal."""
        from pumice.cli.parsing import help_format

        return self.format_help_for(help_format.terminal_width())

    def format_help_for(self, width: int, *, color: bool = False) -> str:
        """Return the help for a terminal with ``width`` columns."""
        from pumice.cli.parsing import help_format

        examples = self.examples or _list_first_examples(self)
        return help_format.format_help(self, width, examples, color=color)

    def print_help(self, file: Any = None) -> None:
        """Print the help, on a terminal in color; unlike argparse, raise OSError if it cannot be written."""
        from pumice.cli.parsing import help_format

        stream = unwrap(sys.stdout if file is None else file)
        if mode := find_color_mode(self.words):  # it may follow --help
            set_color_mode(mode)
        stream.write(self.format_help_for(help_format.terminal_width(), color=has_color(stream)))

    def _get_values(self, action: argparse.Action, arg_strings: list[str]) -> Any:
        # An empty path would be the working directory: "--root $UNSET" must not write there.
        if "" in arg_strings and _takes_path(action):
            raise argparse.ArgumentError(action, "expected a path, not ''")
        return super()._get_values(action, arg_strings)

    def error(self, message: str) -> NoReturn:
        """Raise the error of argparse as UsageError."""
        from pumice.cli.parsing import argparse_errors

        action = argparse_errors.find_action(message, self)
        if isinstance(action, _Refusal):  # its value is missing, but the option is the mistake
            raise _refuse(self, argparse_errors.rephrase(message, self.words)[0].split()[0], action)
        sentence, hint = argparse_errors.rephrase(message, self.words)
        if sentence == "ACTION is missing" and (actions := action_parsers(self)):
            hint = f"use one of {', '.join(actions.choices)}"
        raise UsageError(sentence, hint=hint or argparse_errors.suggest_value(sentence, action, self))

    def reject(self, argument: str) -> NoReturn:
        """Raise UsageError for an argument that is not expected."""
        from difflib import get_close_matches

        from pumice.cli.parsing import foreign, help_format

        command = self.prog.removeprefix("pumice ")
        if not argument.startswith("-") or argument == "-":
            hint = foreign.operand_hint(command, self.words) or f"usage: {help_format.usage(self)}"
            raise UsageError(f"{argument[:200]!r} is an unexpected argument", hint=hint)
        name = argument.split("=", 1)[0]
        if hint := foreign.option_hint(command, name):
            raise UsageError(f"'{self.prog}' has no option '{name}'", hint=hint)
        options = {
            text.lstrip("-"): text
            for action in self._actions
            if action.help != argparse.SUPPRESS
            for text in action.option_strings
        }
        # The dashes are the same in all options, and say nothing about how similar two are.
        word = name.lstrip("-")
        close = [option for option in options if word and option.startswith(word)]
        if len(word) == 1 and len(close) > 1:
            close = []  # one letter says too little
        close = close or get_close_matches(word, options, n=1, cutoff=_SIMILAR)
        hint = f"did you mean '{options[close[0]]}'?" if close else f"see '{self.prog} --help'"
        raise UsageError(f"'{self.prog}' has no option '{name}'", hint=hint)


def _takes_path(action: argparse.Action) -> bool:
    """Return whether the values of an option or operand are paths, by their type or the name in the help."""
    names = action.metavar.split("|") if isinstance(action.metavar, str) else ()
    return getattr(action.type, "__name__", "") == "Path" or not _PATHS.isdisjoint(names)


def _list_first_examples(parser: Parser) -> list[str]:
    """Return an example of each action of a command."""
    actions = action_parsers(parser)
    return (
        [example for action in actions.choices.values() for example in action.examples[:1]] if actions else []
    )


def make_parser(
    verb: str, description: str, *, progress: bool = True, epilog: str = "", examples: Sequence[str] = ()
) -> Parser:
    """Return the parser of ``pumice VERB`` with the options that every command has.

    ``progress=False`` omits ``--progress``, for a command that never takes long. ``examples`` are complete
    command lines.
    """
    parser = Parser(
        prog=f"pumice {verb}",
        description=description,
        epilog=epilog or None,
        allow_abbrev=False,
        add_help=False,
        formatter_class=_CheckFormatter,
    )
    _add_common_options(parser, progress=progress)
    parser.examples = tuple(examples)
    return parser


class _CheckFormatter(argparse.HelpFormatter):
    """What argparse checks the metavar of each new argument with: it does not look up the terminal."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=80)


def _add_common_options(parser: Parser, *, progress: bool) -> None:
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
    parser.add_argument(
        "--color",
        choices=COLOR_MODES,
        action=_ColorAction,
        metavar="WHEN",
        help="use color: auto, always or never (default: auto)",
    )


class _ColorAction(argparse.Action):
    """Sets ``NO_COLOR`` or ``FORCE_COLOR``, which also apply to libraries and to errors in later options."""

    def __call__(
        self, _parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, *_: Any
    ) -> None:
        setattr(namespace, self.dest, values)
        set_color_mode(values)


class ActionModule(Protocol):
    """The module of an action, such as that of ``pumice trust add``."""

    def add_parser(self, parser: Parser) -> None:
        """Add the action to the parser of its command."""


def make_action_parser(
    verb: str, description: str, actions: Iterable[ActionModule] = (), *, epilog: str = ""
) -> Parser:
    """Return the parser of a command with actions, such as ``pumice trust add``; see also `add_action`."""
    parser = make_parser(verb, description, progress=False, epilog=epilog)
    parser.add_subparsers(
        dest="action", metavar="ACTION", title="actions", required=True, prog=parser.prog, parser_class=Parser
    )
    for action in actions:
        action.add_parser(parser)
    return parser


def add_foreign_option(
    parser: argparse.ArgumentParser, *names: str, hint: str, takes_value: bool = True
) -> None:
    """Add an option of docker or podman that is refused; ``hint`` says what to do. The help omits it."""
    parser.add_argument(
        *names,
        action=_Refusal,
        nargs=None if takes_value else 0,
        metavar="TEXT",
        const=hint,
        default=argparse.SUPPRESS,
        help=argparse.SUPPRESS,
    )


class _Refusal(argparse.Action):
    """Raises UsageError; ``const`` is the hint."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,  # noqa: ARG002 - part of the interface of argparse
        values: str | Sequence[Any] | None,  # noqa: ARG002 - as above
        option_string: str | None = None,
    ) -> NoReturn:
        raise _refuse(parser, option_string or "", self)


def _refuse(parser: argparse.ArgumentParser, name: str, action: argparse.Action) -> UsageError:
    return UsageError(f"'{parser.prog}' has no option '{name}'", hint=action.const)


def add_action(
    parser: Parser,
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    *,
    description: str = "",
    epilog: str = "",
    examples: Sequence[str] = (),
    progress: bool = False,
) -> Parser:
    """Add an action to the parser of a command and return the action's own parser.

    `run_action` calls ``run`` with the parsed options. ``summary`` is the line in the list of actions, and
    the description of the action if there is no other.
    """
    actions = action_parsers(parser)
    if actions is None:
        raise TypeError("the parser is not one of make_action_parser")
    action_parser: Parser = actions.add_parser(
        name,
        help=summary,
        description=description or f"{summary[:1].upper()}{summary[1:]}.",
        epilog=epilog or None,
        allow_abbrev=False,
        add_help=False,
        formatter_class=_CheckFormatter,
    )
    _add_common_options(action_parser, progress=progress)
    action_parser.examples = tuple(examples)
    action_parser.set_defaults(run=run)
    return action_parser


def run_action(parser: Parser, arguments: Sequence[str]) -> int:
    """Parse the arguments of a command with actions and run the action; return its exit code."""
    options = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    return run(options)


def action_parsers(parser: argparse.ArgumentParser) -> argparse._SubParsersAction[Parser] | None:
    """Return the actions of a command, None if it has none; ``choices`` maps their names to parsers."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return action
    return None


def _move_action_first(parser: Parser, arguments: Sequence[str]) -> list[str]:
    """Return the arguments with the name of the action before its options, which argparse requires."""
    actions = action_parsers(parser)
    if actions is None:
        return list(arguments)
    flags = {
        text
        for each in (parser, *actions.choices.values())
        for option in each._actions
        if option.nargs == 0
        for text in option.option_strings
    }
    position = 0
    while position < len(arguments) and arguments[position].startswith("-"):
        word = arguments[position]
        position += 1 if word in flags or "=" in word else 2
    if position >= len(arguments) or arguments[0] in ("-h", "--help"):
        return list(arguments)
    return [arguments[position], *arguments[:position], *arguments[position + 1 :]]
