"""``pumice check``."""

from __future__ import annotations

import json

import pytest

from pumice.cli.main import main
from pumice.formats import oci
from tests.support import handmade, locations
from tests.support.handmade import ImageContents, file, symlink

Out = pytest.CaptureFixture[str]


def run(capsys: Out, *arguments: str, code: int = 0) -> str:
    assert main(arguments) == code
    return capsys.readouterr().out


def write_image(command: tuple[str, ...]) -> None:
    layers = [
        [
            file("usr/bin/app", b"#!/bin/sh\nexec sed p\n", mode=0o755),
            file("usr/bin/dash", b"\x7fELF static", mode=0o755),
            symlink("bin", "usr/bin"),
            symlink("usr/bin/sh", "dash"),
        ]
    ]
    contents = ImageContents(layers, run=oci.RunConfig(entrypoint=command))
    locations.write(handmade.image(contents), "oci:app", version="1.0")


def test_findings_are_listed_with_hints(host: str, capsys: Out) -> None:
    write_image(("/bin/app",))
    expected = (
        "warning: /usr/bin/app runs sed, which is not in the image [shell-command]\n"
        "  hint: add sed to 'packages'\n"
    )
    assert run(capsys, "check", "oci:app") == expected
    assert run(capsys, "check", "oci:app") == expected  # from the cache
    assert run(capsys, "check", "oci:app", "--strict", code=1) == expected


def test_json_has_every_finding(host: str, capsys: Out) -> None:
    write_image(("/bin/gone",))
    assert json.loads(run(capsys, "check", "oci:app", "--json")) == [
        {
            "severity": "warning",
            "check": "command",
            "message": "the program '/bin/gone' does not exist",
            "hint": "add the package that contains it, or add the file under 'files'",
            "path": "/bin/gone",
            "key": "run.command",
            "platform": "linux/amd64",
        }
    ]


def test_an_image_without_problems(host: str, capsys: Out) -> None:
    write_image(("/bin/sh",))
    assert run(capsys, "check", "oci:app", "--strict") == "no problems found\n"
