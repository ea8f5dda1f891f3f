from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pumice.cli.commands import ALIASES, COMMANDS
from tests.support.peers import need

Shell = str
SHELLS = ("bash", "zsh", "fish")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """Return a directory with a program ``pumice``, a store with two images, a key, recipes and a layout."""
    program = tmp_path / "bin" / "pumice"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m pumice "$@"\n')
    program.chmod(0o755)
    (tmp_path / "store" / "refs").mkdir(parents=True)
    for name in ("example.com%2fhello%3a1.0", "example.com%2fhello%3a1.1", "not%zzdecodable"):
        (tmp_path / "store" / "refs" / name).write_text("")
    (tmp_path / "config" / "pumice" / "keys").mkdir(parents=True)
    for name in ("release.key", "release.pub"):
        (tmp_path / "config" / "pumice" / "keys" / name).write_text("")
    project = tmp_path / "project"
    (project / "layout" / "blobs").mkdir(parents=True)
    for name in ("recipe.yaml", "other.yaml", "notes.txt"):
        (project / name).write_text("")
    return tmp_path


def environment(home: Path) -> dict[str, str]:
    return {
        "PATH": f"{home}/bin:/usr/bin:/bin",
        "HOME": str(home),
        "PUMICE_HOME": str(home / "store"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "XDG_DATA_HOME": str(home / "data"),
        "LC_ALL": "C.UTF-8",
        "TERM": "dumb",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }


def script(shell: Shell) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "pumice", "completion", shell], capture_output=True, text=True, check=True
    )
    assert done.stderr == ""
    return done.stdout


BASH = """
COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
COMP_WORDS=(pumice); COMP_CWORD=1
for word in "${@:2}"; do COMP_WORDS[COMP_CWORD]=$word; COMP_CWORD=$((COMP_CWORD + 1)); done
COMP_CWORD=$((COMP_CWORD - 1))
compopt() { :; }
_pumice
printf '%s\\n' "${COMPREPLY[@]}"
"""

# zsh completes only in its line editor, so the builtins that hand over candidates are replaced.
ZSH = """
compdef() { :; }
compadd() { local -a given; given=("${(@P)@[-1]}"); print -rl -- ${(M)given:#${PREFIX}*} }
_files() { if [[ $1 == -/ ]]; then print -rl -- ${PREFIX}*(/N); else print -rl -- ${PREFIX}*(N); fi }
"""


def complete(home: Path, shell: Shell, line: str) -> list[str]:
    """Return what the shell offers for the last word of the line, which has no quotes."""
    words = line.split(" ")
    text = script(shell)
    if shell == "bash":
        split = [part for word in words[1:] for part in _split_at_breaks(word)]
        command = [need("bash"), "--norc", "-c", f"{text}\n{BASH}", "bash", line, *split]
    elif shell == "zsh":
        quoted = " ".join(f"'{word}'" for word in words)
        ask = f"words=({quoted}); CURRENT={len(words)}; PREFIX='{words[-1]}'; _pumice"
        command = [need("zsh"), "-f", "-c", f"{ZSH}\n{text}\n{ask}"]
    else:
        command = [need("fish"), "--no-config", "-c", f"{text}\ncomplete -C {json.dumps(line)}"]
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, cwd=home / "project", env=environment(home)
    )
    assert done.stderr == ""
    candidates = [candidate.partition("\t")[0] for candidate in done.stdout.splitlines() if candidate]
    if shell == "bash":  # which inserts them behind the last of its word breaks
        before = words[-1][: max(words[-1].rfind(mark) for mark in ":=") + 1]
        candidates = [before + candidate for candidate in candidates]
    return sorted(set(candidates))


def _split_at_breaks(word: str) -> list[str]:
    """Split a word as bash does at ``:`` and ``=``."""
    for mark in ":=":
        word = word.replace(mark, f" {mark} ")
    return word.split() or [""]


@pytest.mark.parametrize("shell", SHELLS)
def test_verbs_and_actions(shell: Shell, home: Path) -> None:
    verbs = set(complete(home, shell, "pumice "))
    assert verbs >= {*COMMANDS, *ALIASES, "help"}
    assert complete(home, shell, "pumice comp") == ["completion"]
    assert complete(home, shell, "pumice trust re") == ["remove", "revoke"]
    assert complete(home, shell, "pumice help trust re") == ["remove", "revoke"]


@pytest.mark.parametrize("shell", SHELLS)
def test_options_of_verbs_and_of_actions_after_options(shell: Shell, home: Path) -> None:
    assert complete(home, shell, "pumice build --repo") == ["--report"]
    assert complete(home, shell, "pumice trust add --thr") == ["--threshold"]
    assert complete(home, shell, "pumice trust --prefix list add --thr") == ["--threshold"]


@pytest.mark.parametrize("shell", SHELLS)
def test_values_of_options(shell: Shell, home: Path) -> None:
    assert complete(home, shell, "pumice build --progress p") == ["plain"]
    assert complete(home, shell, "pumice build --progress=p") == ["--progress=plain"]
    assert complete(home, shell, "pumice build --platform linux/am") == ["linux/amd64"]
    assert complete(home, shell, "pumice sign x --key rel") == ["release"]
    assert complete(home, shell, "pumice serve --root lay") in (["layout"], ["layout/"])


@pytest.mark.parametrize("shell", SHELLS)
def test_images_locations_and_recipes(shell: Shell, home: Path) -> None:
    images = ["example.com/hello:1.0", "example.com/hello:1.1"]
    assert complete(home, shell, "pumice run exa") == images
    assert complete(home, shell, "pumice run example.com/hello:1") == images
    assert complete(home, shell, "pumice inspect oci") == ["oci-archive:", "oci:"]
    assert complete(home, shell, "pumice inspect oci:lay") == ["oci:layout/"]
    assert complete(home, shell, "pumice inspect oci-archive:no") == ["oci-archive:notes.txt"]
    assert complete(home, shell, "pumice build rec") == ["recipe.yaml"]
    assert complete(home, shell, "pumice build no") == []


@pytest.mark.parametrize("shell", SHELLS)
def test_arguments_of_the_recipe(shell: Shell, home: Path) -> None:
    recipe = "args: {VERSION: '15', VARIANT: }\nname: example.com/hello\n"
    (home / "project" / "other.yaml").write_text(recipe)
    assert complete(home, shell, "pumice build other.yaml --arg V") == ["VARIANT=", "VERSION="]
    assert complete(home, shell, "pumice build other.yaml --arg VER") == ["VERSION="]
    assert complete(home, shell, "pumice build --arg VER") == []
    (home / "project" / "other.yaml").write_text("args: [")
    assert complete(home, shell, "pumice build other.yaml --arg V") == []
    (home / "project" / "recipe.yaml").write_text(recipe)
    assert complete(home, shell, "pumice lock --arg VER") == ["VERSION="]


@pytest.mark.parametrize("shell", SHELLS)
def test_other_names_of_commands_and_names_of_formats(shell: Shell, home: Path) -> None:
    assert complete(home, shell, "pumice rmi exam") == ["example.com/hello:1.0", "example.com/hello:1.1"]
    assert complete(home, shell, "pumice help prun") == ["prune"]
    assert complete(home, shell, "pumice digest --forma") == ["--format"]
    assert complete(home, shell, "pumice sbom --format c") == ["cyclonedx"]
    assert complete(home, shell, "pumice ls --format ") == ["json", "table"]
    assert complete(home, shell, "pumice schema trust w") == ["why"]


def test_a_store_that_cannot_be_read_completes_nothing_and_prints_no_error(home: Path) -> None:
    refs = home / "store" / "refs"
    for path in refs.iterdir():
        path.unlink()
    refs.rmdir()
    assert complete(home, "bash", "pumice run exa") == []


def test_completion_loads_neither_a_parser_nor_a_command(home: Path) -> None:
    probe = (
        "import sys; from pumice.cli.main import main; main(['__complete', 'bash', sys.argv[1]]);"
        "print(sorted(name for name in sys.modules if name in ('argparse', 'msgspec', 'json')"
        " or name.startswith(('pumice.cli.', 'cryptography'))), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe, "pumice run exa"],
        capture_output=True,
        text=True,
        check=True,
        env=environment(home),
    )
    package = "pumice.cli.shell_completion"
    loaded = ["pumice.cli.commands", "pumice.cli.main", package]
    loaded += [f"{package}.complete", f"{package}.complete_values"]
    assert done.stderr == f"{loaded}\n"
    assert "example.com/hello:1.0\timage in the store" in done.stdout


def test_an_unknown_shell_is_one_sentence() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pumice", "completion", "fsh"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: SHELL cannot be 'fsh'\n  hint: did you mean 'fish'?\n"
