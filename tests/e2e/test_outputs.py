"""What a command could not write in the end is refused first, before it fetches, builds or runs anything."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from pumice.cli.main import main

RECIPE = """\
name: example.com/a
version: "1"
from: {debian: bookworm, mirrors: ["file:/nowhere"]}
packages: [hello]
run: {command: [/usr/bin/hello]}
tests: [{command: [/usr/bin/hello]}]
"""
AWAY = "docker://127.0.0.1:1/x:1"
"""An image in a registry that cannot be reached."""
CUT = "--mirror file:/nowhere --ignore unmaintained"

FILES = [
    "aci render absent.aci aci:OUTPUT",
    "build recipe.yaml --digest-file OUTPUT",
    "build recipe.yaml --report OUTPUT",
    "build recipe.yaml -o aci:OUTPUT",
    "build recipe.yaml -o docker-archive:OUTPUT",
    "build recipe.yaml -o oci-archive:OUTPUT",
    "build recipe.yaml -o tar:OUTPUT",
    f"convert {AWAY} aci:OUTPUT",
    f"copy {AWAY} docker-archive:OUTPUT",
    f"copy {AWAY} oci-archive:OUTPUT",
    f"copy {AWAY} tar:OUTPUT",
    f"export {AWAY} -o OUTPUT",
    f"prepare --cidfile OUTPUT {AWAY}",
    f"run --cidfile OUTPUT {AWAY}",
    f"save {AWAY} -o OUTPUT",
    "slim recipe.yaml -o OUTPUT",
    "test recipe.yaml --junit OUTPUT",
]
"""Commands that write a file."""
DIRECTORIES = [
    "build recipe.yaml -o dir:OUTPUT",
    "build recipe.yaml -o oci:OUTPUT",
    f"copy {AWAY} dir:OUTPUT",
    f"copy {AWAY} oci:OUTPUT",
    f"cut openssl_bins {CUT} --root OUTPUT",
    "lock recipe.yaml --bundle OUTPUT",
    f"publish {AWAY} --appc OUTPUT --url https://example.com",
    f"publish {AWAY} --oci OUTPUT",
    "slice draft openssl --mirror file:/nowhere -o OUTPUT",
]
"""Commands that fill a directory."""
MAKE_PARENTS = ("lock", "slice draft")
IN_PLACE = ("cut", "lock", "publish", "slice draft")
"""Commands that add to a directory which is not empty."""

WRONG_FILES = {
    "folder": "a directory exists where a file would be written",
    "nowhere/output": "the parent directory does not exist",
    "file/output": "a file exists where a directory is needed",
}
"""Outputs of commands that write a file, and why they cannot."""
WRONG_DIRECTORIES = {
    "file": "a file exists where a directory is needed",
    "file/output": "a file exists where a directory is needed",
    "nowhere/output": "the parent directory does not exist",
    "folder": "the directory is not empty",
}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with a recipe that cannot be built, a ``file``, a ``folder`` and a ``locked`` one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "store"))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("mine")
    return tmp_path


def refuse(command: str, path: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run a command with an output; return why it was refused."""
    before = sorted(Path().rglob("*"))
    code = main(shlex.split(command.replace("OUTPUT", path)))
    error = capsys.readouterr().err
    assert (code, "Traceback" in error) in ((10, False), (9, False), (2, False)), error
    assert path in error, error
    assert [name for name in sorted(Path().rglob("*")) if name.parts[0] != "store"] == before
    return error


@pytest.mark.parametrize("command", FILES)
@pytest.mark.parametrize("path", WRONG_FILES)
def test_a_file_that_cannot_be_written(command: str, path: str, capsys: pytest.CaptureFixture[str]) -> None:
    error = refuse(command, path, capsys)
    assert WRONG_FILES[path] in error or "cannot write the id of the pod: " in error


@pytest.mark.parametrize("command", FILES)
def test_a_command_that_fails_leaves_no_file(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(shlex.split(command.replace("OUTPUT", "new"))) != 0
    assert "Traceback" not in capsys.readouterr().err
    assert not Path("new").exists()


@pytest.mark.parametrize(
    ("command", "path"),
    [
        (command, path)
        for command in DIRECTORIES
        for path in WRONG_DIRECTORIES
        if not (path == "nowhere/output" and command.startswith(MAKE_PARENTS))
        and not (path == "folder" and command.startswith(IN_PLACE))
    ],
)
def test_a_directory_that_cannot_be_filled(
    command: str, path: str, capsys: pytest.CaptureFixture[str]
) -> None:
    error = refuse(command, path, capsys)
    assert WRONG_DIRECTORIES[path] in error.replace("not a directory", WRONG_DIRECTORIES["file"])
