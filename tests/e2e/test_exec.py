"""The command ``pumice exec``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support import peers, pods, terminals

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.people import Person


_RESTRICTIONS = "grep -E '^(Cap[PEB]|NoNewPrivs|Seccomp)' /proc/self/status; cat /proc/self/uid_map"
_NAMESPACES = "for name in cgroup ipc mnt net pid user uts; do stat -Lc %i /proc/self/ns/$name; done"


@pytest.fixture(scope="module", params=["builtin", "builtin --init", "bwrap", "runc"])
def pod(request: pytest.FixtureRequest, person: Person) -> Iterator[str]:
    """A pod whose program has written its restrictions to its log."""
    stage1, *options = request.param.split()
    if stage1 != "builtin":
        peers.need(stage1)
    script = f"{_RESTRICTIONS}; {_NAMESPACES}; cat /proc/self/cgroup; echo end; {pods.READY}"
    name = pods.start(person, "--stage1", stage1, *options, "-e", "A=b", "box:1", script)
    yield name
    pods.run_ok(person, "rm", "--force", name)


def test_it_has_the_restrictions_namespaces_and_control_groups_of_the_program(
    person: Person, pod: str
) -> None:
    log = pods.wait_for_log(person, "ready\n", pod)
    output = pods.run_ok(
        person, "exec", pod, "sh", "-c", f"{_RESTRICTIONS}; {_NAMESPACES}; cat /proc/self/cgroup"
    )
    assert output == log.partition("end\n")[0]


def test_it_inherits_three_descriptors_and_no_environment_of_the_caller(person: Person, pod: str) -> None:
    process = person.pumice(
        "exec", "-e", "NEW=x", pod, "sh", "-c", "echo /proc/self/fd/*; env", env={"SECRET": "s"}
    )
    assert process.returncode == 0, process.stderr
    names = process.stdout.split()
    # The shell has opened the directory itself.
    assert [name for name in names if name.startswith("/proc/self/fd/")][:3] == [
        f"/proc/self/fd/{number}" for number in range(3)
    ]
    assert len([name for name in names if name.startswith("/proc/self/fd/")]) <= 4
    assert {"A=b", "NEW=x"} <= set(names)
    assert "SECRET=s" not in names


def test_streams_and_exit_codes_pass_through(person: Person, pod: str) -> None:
    process = person.pumice("exec", "-i", pod, "sh", "-c", "read x; echo $x; echo b >&2; exit 9", input="a\n")
    assert (process.stdout, process.stderr, process.returncode) == ("a\n", "b\n", 9)
    assert person.pumice("exec", pod, "sh", "-c", "kill -9 $$").returncode == 137
    process = person.pumice("exec", pod, "/nope")
    hint = "  hint: list what the image has with 'pumice files REF'\n"
    assert (process.returncode, process.stderr) == (127, f"error: /nope: not found in the image\n{hint}")


def test_the_user_and_the_directory_are_chosen(person: Person, pod: str) -> None:
    process = person.pumice("exec", "-u", "web", "-w", "/etc", pod, "sh", "-c", "id -u; pwd; echo $HOME")
    if process.returncode == 11:  # there is only one id
        assert "cannot become user 33:34: the container does not have these ids" in process.stderr
    else:
        assert process.stdout == "33\n/etc\n/srv\n"


def test_a_pod_that_does_not_run_is_refused(person: Person) -> None:
    pods.start(person, "--name", "over", "box:1", "true")
    pods.status(person, "over", "--wait")
    process = person.pumice("exec", "over", "true")
    assert process.returncode == 10
    assert process.stderr == (
        "error: the pod over is not running (it is exited)\n  hint: see 'pumice status over'\n"
    )
    pods.run_ok(person, "rm", "over")


def test_a_terminal_is_passed_to_the_program(person: Person) -> None:
    pod = pods.start(person, "box:1", "sleep 600")
    command = person.command("exec", "-it", pod, "sh", "-c", "[ -t 0 ] && [ -t 1 ] && exit 6")
    assert terminals.run_in_terminal(command, person.environment()) == 6
    pods.run_ok(person, "rm", "--force", pod)
