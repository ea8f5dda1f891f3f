"""A ``pumice run`` that is killed while it connects a network: neither helpers nor files stay."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.e2e.test_run_networks import PRIVATE, make_images
from tests.support import networks, peers, people

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person

KILL = "kill -9 $PPID"
"""Ends ``pumice run``, the parent of its helper."""


@pytest.fixture(scope="module")
def person() -> Iterator[Person]:
    peers.need("pasta")
    with networks.machine() as machine, people.person("ordinary") as someone:
        make_images(someone)
        yield machine.host(someone)


def find_helpers(person: Person) -> list[str]:
    helpers = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            line = path.read_text(errors="replace")
            if "/pasta" in line and str(person.home) in line:
                helpers.append(line)
    return helpers


@pytest.mark.parametrize(
    "script",
    [f'{KILL}; exec {{pasta}} "$@"', f'{{pasta}} "$@"; {KILL}', f'{{pasta}} "$@" & {KILL}'],
    ids=["before the helper", "after the helper", "during the helper"],
)
def test_a_killed_run_leaves_no_helper(person: Person, script: str) -> None:
    pasta = peers.need("pasta")
    programs = person.home / "programs"
    programs.mkdir(exist_ok=True)
    program = programs / "pasta"
    script = script.format(pasta=pasta)
    program.write_text(f'#!/bin/sh\ncase " $* " in *" --help "*) exec {pasta} "$@";; esac\n{script}\n')
    program.chmod(0o755)
    person.give(programs)
    environment = {**PRIVATE, "PATH": f"{programs}:/usr/sbin:/usr/bin:/sbin:/bin"}
    assert person.pumice("run", "box:1", "true", env=environment).returncode == -9
    result = person.pumice("run", "box:1", "exit 7", env=PRIVATE)
    assert result.returncode == 7, result.stderr
    attachments = person.home / "store/networks/attachments"
    for directory in attachments.iterdir():
        with suppress(FileNotFoundError):
            lock = os.open(directory, os.O_RDONLY)
            fcntl.flock(lock, fcntl.LOCK_EX)  # its keeper ends
            os.close(lock)
    assert [path for path in attachments.iterdir() if path.is_dir()] == []
    assert find_helpers(person) == []
