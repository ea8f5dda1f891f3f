"""Command lines that a run plan can stand for."""

from __future__ import annotations

import pytest

from pumice.cli.run import parser
from pumice.runtime.quick.command_line import _FLAGS, _OPTIONS, read_command


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        ("box:1", ()),
        ("example.com/apps/box:1.0 sh -c true", ("sh", "-c", "true")),
        ("--network host --stage1=runc -it -e A=b box:1 -x", ("-x",)),
        ("-p 80:80 --publish=127.0.0.1:1:2/udp box:1", ()),
        ("--env=A= --user 1000:100 box:1 a -- b", ("a", "--", "b")),
    ],
)
def test_words_are_split_at_the_image(line: str, arguments: tuple[str, ...]) -> None:
    words = line.split()
    command = read_command(words)
    assert command is not None
    assert command.arguments == arguments
    assert (*command.options, command.reference, *command.arguments) == tuple(words)
    assert command.fixed_arguments + command.further_arguments == arguments


def test_sources_of_mounts_are_collected() -> None:
    command = read_command(["-v", "./data:/a", "--volume=/srv:/b:ro", "box:1"])
    assert command is not None
    assert command.sources == ("./data", "/srv")


@pytest.mark.parametrize(
    "line",
    [
        *(
            "",
            "--rm",
            "-e",
            "box",
            "box@sha256:ab",
            "oci:box:1",
            "box:1 -- x",
        ),
        *("-e NAME box:1", "-e=A=b box:1", "-eA=b box:1", "--env -x box:1", "--rm=true box:1"),
        *(
            "-v ./data:/a:U box:1",
            "-v data:/a box:1",
            "-v /a box:1",
            "-v :/a box:1",
            "-d box:1",
            "--name web box:1",
            "--progress json box:1",
        ),
        *(
            "--env-file f box:1",
            "--device /dev/null box:1",
            "--security-opt seccomp=f box:1",
            "--publish-all box:1",
        ),
        *(
            "--allow-unsigned box:1",
            "--insecure-options=image box:1",
            "--allow-older box:1",
            "--as x:1 box:1",
        ),
        *("--verify full box:1", "--ulimit nofile=1 box:1", "--platform linux/arm64 box:1", "-- box:1"),
    ],
)
def test_anything_unusual_takes_the_usual_way(line: str) -> None:
    assert read_command(line.split()) is None


def test_options_are_those_of_the_parser_with_the_same_number_of_values() -> None:
    actions = {name: action for action in parser()._actions for name in action.option_strings}
    assert {name for name in _FLAGS if name not in ("-it", "-ti")} <= {
        name for name, action in actions.items() if action.nargs == 0
    }
    assert {name for name, action in actions.items() if action.nargs is None} >= _OPTIONS
