"""The command ``pumice licenses``: the list of licenses, and exit code 1 for forbidden ones."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.deb import Deb, text
from tests.support.world import BASE, World

DEP5 = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\n"


@pytest.fixture
def world(tmp_path: Path) -> World:
    tool = Deb(
        "hello",
        "1.0-1",
        fields={"Depends": "libodd"},
        files=[
            text("usr/bin/hello", "x", 0o755),
            text(
                "usr/share/doc/hello/copyright",
                DEP5 + "Files: *\nLicense: GPL-2+\n\nFiles: y\nLicense: Expat\n",
            ),
        ],
    )
    odd = Deb(
        "libodd",
        "1.0-1",
        files=[
            text("usr/lib/libodd/x", "x"),
            text("usr/share/doc/libodd/copyright", DEP5 + "Files: *\nLicense: Odd\n Do what is odd.\n"),
        ],
    )
    new_world = World(tmp_path, [*BASE, tool, odd])
    new_world.build()
    return new_world


def test_licenses_are_listed_with_their_packages(world: World) -> None:
    pumice_run = world.run("licenses", "example.com/hello")
    assert pumice_run.code == 0
    assert [line.split()[::2] for line in pumice_run.stdout.splitlines()[1:]] == [
        ["GPL-2.0-or-later", "hello"],
        [pumice_run.stdout.splitlines()[2].split()[0], "libodd"],
        ["MIT", "hello"],
    ]
    assert "Do what is odd." in world.run("licenses", "example.com/hello", "--texts").stdout
    assert "GPL-2.0-or-later AND MIT" in world.run("licenses", "example.com/hello", "--by-package").stdout


@pytest.mark.parametrize(
    ("rules", "code", "output"),
    [
        ("deny: [AGPL-*]", 0, ""),
        ("deny: [GPL-*]", 1, "forbidden: hello has the license GPL-2.0-or-later"),
        ("allow: [MIT, GPL-*]", 1, "forbidden: libodd has the license LicenseRef-Odd-"),
        ("denny: [GPL-*]", 3, "invalid policy"),
        ("[", 3, "policy.yaml:2:1: a value is missing here"),
    ],
)
def test_a_policy_decides_which_licenses_are_forbidden(
    world: World, rules: str, code: int, output: str
) -> None:
    (world.project / "policy.yaml").write_text(rules)
    pumice_run = world.run("licenses", "example.com/hello", "--policy", "policy.yaml")
    assert pumice_run.code == code, pumice_run.stderr
    assert output in pumice_run.stderr


def test_forbidden_licenses_are_printed_as_json(world: World) -> None:
    (world.project / "policy.yaml").write_text("deny: [MIT]")
    pumice_run = world.run("licenses", "example.com/hello", "--policy", "policy.yaml", "--format", "json")
    value = json.loads(pumice_run.stdout)
    assert pumice_run.code == 1
    assert value["forbidden"] == [
        {"package": "hello", "license": "MIT", "expression": "GPL-2.0-or-later AND MIT"}
    ]
    assert value["licenses"]["MIT"] == ["hello"]
    assert list(value["texts"].values()) == ["Do what is odd."]


def test_a_missing_policy_is_reported(world: World) -> None:
    pumice_run = world.run("licenses", "example.com/hello", "--policy", "none.yaml")
    assert (pumice_run.code, "cannot read the policy" in pumice_run.stderr) == (2, True)
