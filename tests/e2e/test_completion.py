from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pumice.cli.main import COMMANDS
from tests.support.peers import need


def script(shell: str) -> str:
    process = subprocess.run(
        [sys.executable, "-m", "pumice", "completion", shell], capture_output=True, text=True, check=True
    )
    assert process.stderr == ""
    return process.stdout


def complete(*words: str) -> list[str]:
    """Return what bash offers for the last of ``words``."""
    completion_call = f"COMP_WORDS=(pumice {' '.join(words)}); COMP_CWORD={len(words)}; _pumice"
    completion_call += "; printf '%s\\n' \"${COMPREPLY[@]}\""
    shell = f'pumice() {{ "{sys.executable}" -m pumice "$@"; }}\n{script("bash")}\n{completion_call}'
    return subprocess.run(
        [need("bash"), "-c", shell], capture_output=True, text=True, check=True
    ).stdout.split()


def test_bash_completes_verbs() -> None:
    assert set(complete("''")) == {*COMMANDS, "help", "--help", "--version"}
    assert complete("comp") == ["completion"]


def test_bash_completes_options_from_the_verbs_own_help() -> None:
    assert complete("completion", "--h") == ["--help"]


@pytest.mark.parametrize(("shell", "check"), [("zsh", "-n"), ("fish", "--no-execute")])
def test_other_shells_accept_their_script(shell: str, check: str, tmp_path: Path) -> None:
    program = need(shell)
    path = tmp_path / "script"
    path.write_text(script(shell))
    subprocess.run([program, check, str(path)], check=True)


def test_an_unknown_shell_is_reported_in_one_sentence() -> None:
    process = subprocess.run(
        [sys.executable, "-m", "pumice", "completion", "fsh"], capture_output=True, text=True, check=False
    )
    assert (process.returncode, process.stdout) == (2, "")
    assert process.stderr == "error: shell cannot be 'fsh'\n  hint: did you mean 'fish'?\n"
