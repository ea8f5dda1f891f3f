"""Images that nobody signed: the way on, the question on a terminal, and what is remembered of the answer."""

from __future__ import annotations

import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pumice.cli.main import main
from pumice.store.home import Home
from tests.support import images

Out = pytest.CaptureFixture[str]


@pytest.fixture
def place(host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """An unsigned image in a registry, and a store that does not have it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert main(["push", "example.com/hello:1.0", f"{host}/team/hello:1.0"]) == 0
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "other"))
    return f"{host}/team/hello:1.0"


def decisions(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "config" / "pumice" / "trust" / "unsigned.d").glob("*"))


def on_terminal(answer: str, *arguments: str) -> tuple[int, str]:
    """Run ``pumice`` on a pseudo-terminal where ``answer`` is typed; return the exit code and the screen."""
    master, slave = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "pumice", *arguments], stdin=slave, stdout=subprocess.PIPE, stderr=slave
    ) as process:
        os.close(slave)
        os.write(master, answer.encode())
        screen = b""
        while True:
            try:
                data = os.read(master, 1 << 16)
            except OSError:  # the other end is closed
                break
            if not data:
                break
            screen += data
        process.communicate()
    os.close(master)
    return process.returncode, screen.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("verb", ["pull", "run"])
def test_without_a_terminal_the_error_names_the_way_on(
    place: str, tmp_path: Path, capsys: Out, verb: str
) -> None:
    capsys.readouterr()
    assert main([verb, place]) == 7
    error = capsys.readouterr().err
    assert "the image is not signed\n  hint: to use it without a signature, pass --allow-unsigned" in error
    assert decisions(tmp_path) == []


@pytest.mark.parametrize("option", ["--allow-unsigned", "--insecure-options=image"])
def test_the_option_is_for_once(place: str, tmp_path: Path, capsys: Out, option: str) -> None:
    assert main(["pull", place, option]) == 0
    assert decisions(tmp_path) == []
    capsys.readouterr()
    assert main(["run", place]) == 7
    assert main(["run", option, place]) == 10  # it has no program
    assert "no entrypoint" in capsys.readouterr().err


def test_a_person_may_accept_it_and_is_not_asked_again(place: str, tmp_path: Path, capsys: Out) -> None:
    code, screen = on_terminal("yes\n", "pull", place)
    assert code == 0, screen
    assert f"{place} is not signed: nobody vouches for what is in it\ndigest     sha256:" in screen
    assert "platforms  linux/amd64" in screen
    assert "Accept it? [y/N] " in screen
    (path,) = decisions(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert f"Digest: sha256:{path.name}\nName: {place}\nAccepted: 20" in path.read_text()
    capsys.readouterr()
    assert main(["pull", place]) == 0
    assert main(["run", place]) == 10  # it has no program
    assert "no entrypoint" in capsys.readouterr().err
    assert main(["trust", "why", place]) == 0
    assert "skipped  signature: nobody signed the image; accepted on" in capsys.readouterr().out
    assert main(["trust", "list"]) == 0
    assert f"{place} is accepted unsigned (20" in capsys.readouterr().out
    assert main(["trust", "remove", f"sha256:{path.name[:12]}"]) == 0
    assert decisions(tmp_path) == []
    assert main(["run", place]) == 7


@pytest.mark.parametrize("answer", ["\n", "no\n", "yes please\n", "\x04"])
def test_every_other_answer_is_no(place: str, tmp_path: Path, answer: str) -> None:
    code, screen = on_terminal(answer, "pull", place)
    assert code == 7, screen
    assert "the image is not signed" in screen
    assert decisions(tmp_path) == []


def test_the_answer_is_for_one_digest_and_one_name(
    place: str, host: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert on_terminal("y\n", "pull", place)[0] == 0
    with Home(tmp_path / "store") as home:
        images.make(home, [{"etc/motd": "another"}], name="example.com/another:1.0")
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "store"))
    assert main(["push", "example.com/hello:1.0", f"{host}/team/other-name:1.0"]) == 0
    assert main(["push", "example.com/another:1.0", place]) == 0  # the tag moves to another image
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path / "other"))
    assert main(["pull", place]) == 7
    assert main(["pull", f"{host}/team/other-name:1.0"]) == 7
    (path,) = decisions(tmp_path)
    assert main(["pull", f"{host}/team/hello@sha256:{path.name}"]) == 0


def test_a_key_for_the_name_ends_the_decision_and_the_question(
    place: str, host: str, tmp_path: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUMICE_KEY_PASSPHRASE", "secret")
    assert on_terminal("y\n", "pull", place)[0] == 0
    assert main(["key", "generate", "--output", "team"]) == 0
    from pumice.trust import public_keys

    fingerprint = public_keys.read_public_key(tmp_path / "team.pub").fingerprint
    assert main(["trust", "add", "team.pub", "--prefix", f"{host}/team", "--fingerprint", fingerprint]) == 0
    capsys.readouterr()
    assert main(["pull", place]) == 7
    assert f"not signed, although keys are trusted for {place}" in capsys.readouterr().err
    code, screen = on_terminal("y\n", "pull", place)
    assert code == 7
    assert "Accept it?" not in screen


def test_an_unknown_signer_is_named_and_not_asked_about(
    place: str, host: str, tmp_path: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PUMICE_KEY_PASSPHRASE", "secret")
    assert main(["key", "generate", "--output", "stranger"]) == 0
    assert main(["sign", place, "--key", "stranger.key", "--as", place]) == 0
    from pumice.trust import public_keys

    fingerprint = public_keys.read_public_key(tmp_path / "stranger.pub").fingerprint
    code, screen = on_terminal("y\n", "pull", place)
    assert code == 7
    assert "Accept it?" not in screen
    capsys.readouterr()
    assert main(["pull", place]) == 7
    error = capsys.readouterr().err
    assert f"(key {fingerprint})" in error
    assert f"pumice trust add --prefix {host}/team/hello KEY --fingerprint {fingerprint}" in error
    assert decisions(tmp_path) == []
