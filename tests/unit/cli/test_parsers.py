"""What holds for the parsers of all commands: help, completion and man pages are made from them."""

from __future__ import annotations

import argparse
import importlib

import pytest

from pumice.cli.main import COMMANDS


def _parser(verb: str) -> argparse.ArgumentParser:
    parser = importlib.import_module(COMMANDS[verb][0]).parser()
    assert isinstance(parser, argparse.ArgumentParser)
    return parser


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_command_exposes_the_parser_that_its_help_comes_from(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        importlib.import_module(COMMANDS[verb][0]).main(["--help"])
    assert capsys.readouterr().out == _parser(verb).format_help()
    assert _parser(verb).prog == f"pumice {verb}"
