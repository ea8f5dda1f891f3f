from __future__ import annotations

import pytest

from pumice.cli.parsing import arguments, shared_options
from pumice.errors import UsageError


def make_probe() -> arguments.Parser:
    parser = arguments.make_parser("probe", "Probe things.")
    shared_options.add_offline_option(parser)
    shared_options.add_platform_options(parser)
    parser.add_argument("recipe")
    parser.add_argument("--depth", type=int)
    parser.add_argument("--kind", choices=["tree", "list"])
    parser.add_argument("-s", "--source", "--src", choices=["store"])
    parser.add_argument("-o", "--output")
    return parser


@pytest.mark.parametrize(
    ("given", "sentence", "hint"),
    [
        (["r", "--oflin"], "'pumice probe' has no option '--oflin'", "did you mean '--offline'?"),
        (["r", "--oflin=1"], "'pumice probe' has no option '--oflin'", "did you mean '--offline'?"),
        (["r", "--off"], "'pumice probe' has no option '--off'", "did you mean '--offline'?"),
        (["r", "-q"], "'pumice probe' has no option '-q'", "see 'pumice probe --help'"),
        (["r", "s"], "'s' is an unexpected argument", "usage: pumice probe [OPTION...] recipe"),
        ([], "recipe is missing", "usage: pumice probe [OPTION...] recipe"),
        (["r", "--progress", "jsn"], "--progress cannot be 'jsn'", "did you mean 'json'?"),
        (["r", "--kind", "x"], "--kind cannot be 'x'", "use one of tree, list"),
        (["r", "--source", "x"], "--source cannot be 'x'", "use one of store"),
        (["r", "--src=x"], "--src cannot be 'x'", "use one of store"),
        (["r", "-sx"], "-s cannot be 'x'", "use one of store"),
        (["r", "-o"], "--output needs a value", "write --output OUTPUT"),
        (["r", "--depth", "deep"], "--depth needs a number, not 'deep'", "write --depth DEPTH"),
        (["r", "--depth"], "--depth needs a value", "write --depth DEPTH"),
        (["r", "--kind"], "--kind needs a value", "use one of tree, list"),
        (["r", "--offline=true"], "--offline takes no value, not 'true'", "write it without a value"),
        (["r", "--offline=false"], "--offline takes no value, not 'false'", "leave it out"),
    ],
)
def test_complaints_are_sentences(given: list[str], sentence: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_probe().parse_args(given)
    assert (caught.value.message, caught.value.hint) == (sentence, hint)


def test_architectures_by_either_name_are_one_list() -> None:
    given = ["r", "--arch", "arm64", "--platform", "linux/386", "--platform", "linux/arm64/v8"]
    assert make_probe().parse_args(given).archs == ["arm64", "i386", "arm64"]


@pytest.mark.parametrize(
    ("given", "architectures"),
    [
        (["--platform", "linux/amd64,linux/arm64"], ["amd64", "arm64"]),
        (["--arch", "x86_64, aarch64", "--arch", "armv7l"], ["amd64", "arm64", "armhf"]),
        (["--arch", "x86-64", "--platform", "arm/v7"], ["amd64", "armhf"]),
        (["--arch", "i686"], ["i386"]),
    ],
)
def test_lists_and_other_names_of_architectures(given: list[str], architectures: list[str]) -> None:
    assert make_probe().parse_args(["r", *given]).archs == architectures


@pytest.mark.parametrize("option", ["--arch", "--platform"])
@pytest.mark.parametrize(
    ("name", "similar_name"),
    [
        ("x86_65", "amd64"),
        ("aarch46", "arm64"),
        ("armm64", "arm64"),
    ],
)
def test_an_unknown_architecture_gets_a_suggestion(option: str, name: str, similar_name: str) -> None:
    with pytest.raises(UsageError) as caught:
        make_probe().parse_args(["r", option, f"amd64,{name}"])
    assert (caught.value.message, caught.value.hint) == (
        f"unknown architecture {name!r}",
        f"did you mean {similar_name}?",
    )


def test_help_has_one_shape_whatever_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as stopped:
        make_probe().parse_args(["--help"])
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert text.startswith("usage: pumice probe [OPTION...] recipe\n")
    assert "\narguments:\n" in text
    assert max(len(line) for line in text.splitlines()) <= 80


@pytest.mark.parametrize("columns", ["", "0", "-5", "wide", "1", "999999999999"])
def test_an_odd_terminal_width_harms_nothing(columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as environment:  # pytest itself must not see it when it reports
        environment.setenv("COLUMNS", columns)
        assert "usage" in make_probe().format_help()
