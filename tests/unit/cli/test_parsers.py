"""What holds for the parsers of all commands: help, completion and man pages are made from them."""

from __future__ import annotations

import importlib
import shlex
from argparse import SUPPRESS, Action
from itertools import takewhile

import pytest

from pumice.cli.commands import COMMANDS
from pumice.cli.main import main
from pumice.cli.parsing import arguments, help_format
from pumice.cli.parsing.arguments import Parser, action_parsers
from pumice.cli.shell_completion import complete_values
from pumice.errors import UsageError
from tools.parser_tree import all_parsers, verb_parser

PARSERS = dict(all_parsers())
MOST_OPTIONS_IN_ONE_GROUP = 14


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_command_exposes_the_parser_that_its_help_comes_from(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        importlib.import_module(COMMANDS[verb][0]).main(["--help"])
    assert capsys.readouterr().out == verb_parser(verb).format_help()
    assert verb_parser(verb).prog == f"pumice {verb}"


@pytest.mark.parametrize("command", [name for name in PARSERS if " " in name])
def test_every_action_has_its_own_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    verb, action = command.split()
    texts = []
    for line in ([verb, action, "--help"], ["help", verb, action]):
        assert main(line) == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1] == PARSERS[command].format_help()
    assert texts[0].startswith(f"usage: pumice {command}")


@pytest.mark.parametrize("command", PARSERS)
def test_help_fits_80_columns_and_breaks_no_word(command: str) -> None:
    text = PARSERS[command].format_help_for(80)
    assert [line for line in text.splitlines() if len(line) > 80] == []
    # A word that a narrow terminal cannot hold is longer than the line, not broken.
    assert set(PARSERS[command].format_help_for(40).split()) == set(text.split())


def test_a_narrow_terminal_has_the_help_of_an_option_below_its_name() -> None:
    lines = PARSERS["build"].format_help_for(46).splitlines()
    assert lines[lines.index("  --report FILE") + 1] == "      write a report of the build, as JSON"


@pytest.mark.parametrize("command", PARSERS)
def test_every_command_and_its_actions_have_an_example(command: str) -> None:
    assert f"\nexamples:\n  pumice {command.split(maxsplit=1)[0]}" in PARSERS[command].format_help()


@pytest.mark.parametrize("command", PARSERS)
def test_options_are_written_in_the_same_way_in_all_commands(command: str) -> None:
    assert "be repeated" not in " ".join(PARSERS[command].format_help().split())
    for action in PARSERS[command]._actions:
        if action.option_strings and action.help != SUPPRESS:
            assert action.metavar or action.nargs == 0, f"{action.option_strings} has no name for its value"
            assert "--output" not in action.option_strings or "-o" in action.option_strings


@pytest.mark.parametrize("command", PARSERS)
def test_long_lists_of_options_are_in_groups(command: str) -> None:
    groups = PARSERS[command]._action_groups
    sizes = [sum(action.help != SUPPRESS for action in group._group_actions) for group in groups]
    assert max(sizes) <= MOST_OPTIONS_IN_ONE_GROUP


def example_arguments(example: str) -> list[str]:
    """Return the arguments of an example, without redirections."""
    return list(takewhile(lambda word: word not in (">", "|"), shlex.split(example)))


@pytest.mark.parametrize("command", PARSERS)
def test_help_ends_with_examples_that_parse(command: str) -> None:
    parser = PARSERS[command]
    examples = list(parser.examples)
    assert examples or action_parsers(parser), "pass examples= to the parser"
    for example in examples:
        assert example_arguments(example)[: 1 + len(command.split())] == ["pumice", *command.split()]
        parser.parse_args(example_arguments(example)[1 + len(command.split()) :])
    if examples:
        assert parser.format_help().endswith(
            "\n\nexamples:\n" + "".join(f"  {example}\n" for example in examples)
        )


@pytest.mark.parametrize("command", PARSERS)
def test_completion_knows_every_value(command: str) -> None:
    """A metavar says what a value is; ``complete_values`` lists those that only the user knows as well."""
    unknown = [
        metavar
        for action in PARSERS[command]._actions
        if action.nargs != 0 and not action.choices
        for metavar in [str(action.metavar or action.dest)]
        if not complete_values.has_completion(metavar)
    ]
    assert unknown == []


def actions_probe() -> Parser:
    parser = arguments.make_action_parser("probe", "Probe things.")
    add = arguments.add_action(parser, "add", lambda _: 0, "add a thing", examples=("pumice probe add x",))
    add.add_argument("name")
    add.add_argument("--depth", type=int)
    add.add_argument("--force", action="store_true")
    arguments.add_action(parser, "list", lambda _: 0, "list things", examples=("pumice probe list",))
    return parser


@pytest.mark.parametrize(
    "line",
    [
        "add x --depth 3 --force",
        "--depth 3 add --force x",
        "--force --depth=3 add x",
        "--depth 3 --force add x",
    ],
)
def test_options_may_precede_the_action(line: str) -> None:
    options = actions_probe().parse_args(line.split())
    assert (options.action, options.name, options.depth, options.force) == ("add", "x", 3, True)


@pytest.mark.parametrize(
    ("line", "sentence", "hint"),
    [
        ("", "ACTION is missing", "use one of add, list"),
        ("ad x", "unknown action 'ad'", "did you mean 'add'?"),
        ("add", "name is missing", "usage: pumice probe add [OPTION...] name"),
        ("add x --dept 3", "'pumice probe add' has no option '--dept'", "did you mean '--depth'?"),
        ("list --depth 3", "'pumice probe list' has no option '--depth'", "see 'pumice probe list --help'"),
        ("list x", "'x' is an unexpected argument", "usage: pumice probe list [OPTION...]"),
    ],
)
def test_errors_of_actions_are_sentences(line: str, sentence: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        actions_probe().parse_args(line.split())
    assert (caught.value.message, caught.value.hint) == (sentence, hint)


def test_missing_operands_are_listed_in_one_sentence() -> None:
    parser = Parser(prog="pumice probe")
    parser.add_argument("--type", required=True)
    parser.add_argument("--key", required=True)
    with pytest.raises(UsageError, match=r"^required: --type, --key\n"):
        parser.parse_args([])


@pytest.mark.parametrize(
    ("columns", "width"), [("", 80), ("0", 80), ("wide", 80), ("60", 60), ("1", 40), ("500", 100)]
)
def test_help_without_a_terminal_is_80_columns_wide(
    columns: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError

    with monkeypatch.context() as environment:  # pytest itself must not see it when it reports
        environment.setenv("COLUMNS", columns)
        environment.setattr("os.get_terminal_size", fail)
        assert help_format.terminal_width() == width


def _shown_options(command: str) -> list[Action]:
    actions = PARSERS[command]._actions
    return [action for action in actions if action.option_strings and action.help != SUPPRESS]


def _error_of(command: str, *words: str) -> UsageError:
    with pytest.raises(UsageError) as caught:
        verb_parser(command.split(maxsplit=1)[0]).parse_args([*command.split()[1:], *words])
    return caught.value


@pytest.mark.parametrize("command", PARSERS)
def test_a_missing_or_a_wrong_value_of_an_option_names_the_right_ones(command: str) -> None:
    if action_parsers(PARSERS[command]):
        return  # each action has its own parser
    for action in _shown_options(command):
        name = action.option_strings[-1]
        if action.nargs == 0:
            error = _error_of(command, f"{name.partition('=')[0]}=nope")
            assert "takes no value" in error.message or "use one of" in (error.hint or ""), name
            continue
        values = [str(choice) for choice in action.choices or ()]
        if action.nargs is None:
            error = _error_of(command, name)
            expected = values or getattr(action.type, "names", None) or [f"write {name} "]
            assert error.message == f"{name} needs a value"
            assert all(word in (error.hint or "") for word in expected), (name, error.hint)
        if values:
            hint = _error_of(command, name, "no-such-value").hint or ""
            assert all(value in hint for value in values), (name, hint)


@pytest.mark.parametrize("command", PARSERS)
def test_an_empty_path_is_not_the_working_directory(command: str) -> None:
    """As in ``--output "$UNSET"``."""
    parser = PARSERS[command]
    for action in parser._actions:
        is_path = isinstance(action.metavar, str) and {"DIR", "FILE"} & set(action.metavar.split("|"))
        if is_path and action.option_strings:
            with pytest.raises(UsageError, match="needs a path, not ''"):
                parser.parse_args([action.option_strings[0], ""])
