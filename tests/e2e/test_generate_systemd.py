"""The command ``pumice generate systemd``, and the notification of systemd."""

from __future__ import annotations

import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from pumice.runtime.pods import systemd_unit
from tests.support import peers, pods

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.people import Person


def test_the_unit_is_valid_and_runs_the_same_command(person: Person, tmp_path: Path) -> None:
    pod = pods.start(person, "-it", "--name", "web", "-e", "A=x y$%", "box:1", "exit 3", "--name", "x")
    unit = pods.run_ok(person, "generate", "systemd", "web")
    (command,) = [line for line in unit.splitlines() if line.startswith("ExecStart=")]
    assert command.endswith(' run --rm --name web --progress none -it -e "A=x y$$%%" box:1 "exit 3" --name x')
    assert "KillSignal=SIGTERM\n" in unit
    pods.run_ok(person, "rm", "--force", pod)
    if person.name == "root":
        path = tmp_path / "web.service"
        path.write_text(unit)
        process = subprocess.run(
            [peers.need("systemd-analyze"), "verify", str(path)], capture_output=True, text=True, check=True
        )
        assert process.stderr == ""  # an unknown key is only a warning


@pytest.mark.parametrize(
    ("options", "kept"),
    [
        (["-d", "--name", "x", "-v", "a:/b"], ["-v", "a:/b"]),
        (["--detach", "--name=x", "--rm", "--cidfile", "f"], []),
        (["-dit", "-e", "A=b"], ["-it", "-e", "A=b"]),
    ],
)
def test_options_that_the_unit_sets_are_left_out(options: list[str], kept: list[str]) -> None:
    assert systemd_unit.select_options(options) == kept


def test_the_service_manager_learns_that_the_program_was_executed(person: Person) -> None:
    address = person.home / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        channel.bind(str(address))
        person.give(address)
        command = person.command("run", "--rm", "--name", "notifier", "box:1", "echo hi")
        environment = person.environment({"NOTIFY_SOCKET": str(address)})
        process = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert process.stdout == "hi\n"
        assert channel.recv(100) == b"READY=1"
    address.unlink()
