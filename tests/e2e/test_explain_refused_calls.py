"""``pumice run --explain``: which system calls the seccomp profile refuses."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.support.people import Person


def _profile(person: Person, action: str) -> str:
    rule = {
        "names": ["mkdir", "mkdirat"],
        "action": action,
        **({"errnoRet": 13} if "ERRNO" in action else {}),
    }
    profile = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}
    path = person.home / "profile.json"
    path.write_text(json.dumps(profile))
    path.chmod(0o644)
    return f"seccomp={path}"


_SCRIPT = "mkdir /tmp/a || echo refused; mkdir /tmp/b || [ ! -e /tmp/b ] && echo end"


@pytest.mark.parametrize("options", [[], ["--init"]])
def test_a_call_that_ends_the_program_is_named_and_fails(person: Person, options: list[str]) -> None:
    profile = _profile(person, "SCMP_ACT_KILL_PROCESS")
    process = person.pumice("run", *options, "--security-opt", profile, "box:1", "exec mkdir /tmp/a")
    assert process.returncode == 159
    process = person.pumice("run", *options, "--explain", "--security-opt", profile, "box:1", _SCRIPT)
    assert process.stdout == "refused\nend\n"
    notes = [line for line in process.stderr.splitlines() if line.startswith("note: the seccomp")]
    assert len(notes) == 1, process.stderr
    assert notes[0].startswith("note: the seccomp profile refuses the system call mkdir")
    assert notes[0].endswith(": it would end the program")


def test_a_call_that_fails_keeps_its_error(person: Person) -> None:
    profile = _profile(person, "SCMP_ACT_ERRNO")
    process = person.pumice("run", "--explain", "--security-opt", profile, "box:1", "mkdir /tmp/a")
    assert process.returncode == 1
    assert "Permission denied" in process.stderr
    assert ": it fails with EACCES" in process.stderr


def test_nothing_is_said_where_nothing_is_refused(person: Person) -> None:
    process = person.pumice("run", "--explain", "box:1", "mkdir /tmp/a && echo made")
    assert process.stdout == "made\n"
    assert "note: the seccomp" not in process.stderr


def test_other_stages_refuse_it(person: Person) -> None:
    process = person.pumice("run", "--explain", "--stage1", "runc", "box:1", "true")
    assert process.returncode == 2
