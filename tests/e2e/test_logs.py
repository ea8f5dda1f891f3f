"""The command ``pumice logs``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.support import pods

if TYPE_CHECKING:
    from tests.support.people import Person


def test_the_log_keeps_both_streams_and_the_last_line(person: Person) -> None:
    pod = pods.start(person, "box:1", "echo one; echo two >&2; echo three; echo -n end")
    pods.status(person, pod, "--wait")
    process = person.pumice("logs", pod)
    assert (process.stdout, process.stderr) == ("one\nthree\nend", "two\n")
    assert person.pumice("logs", "--tail", "1", pod).stdout == "end"
    assert person.pumice("logs", "--since", "1h", pod).stdout == "one\nthree\nend"
    assert person.pumice("logs", "--since", "2100-01-01T00:00:00Z", pod).stdout == ""
    time, _, text = person.pumice("logs", "--timestamps", pod).stdout.splitlines()[0].partition(" ")
    assert (time[-1], text) == ("Z", "one")
    pods.run_ok(person, "rm", pod)


def test_a_log_is_followed_to_the_end_of_the_pod(person: Person) -> None:
    pod = pods.start(person, "box:1", pods.READY)
    with person.running_pumice("logs", "--follow", pod) as following:
        assert following.stdout is not None
        assert following.stdout.readline() == "ready\n"
        pods.run_ok(person, "stop", pod)
        assert following.wait(timeout=60) == 0
    pods.run_ok(person, "rm", pod)


def test_big_output_is_complete(person: Person) -> None:
    pod = pods.start(person, "box:1", "yes 0123456789 | head -n 200000")
    pods.status(person, pod, "--wait")
    assert pods.run_ok(person, "logs", pod) == "0123456789\n" * 200_000
    pods.run_ok(person, "rm", pod)


def test_a_log_has_a_limit(person: Person) -> None:
    pod = pods.start(person, "box:1", "yes 0123456789 | head -n 1000000; echo last")
    pods.status(person, pod, "--wait")
    directory = person.home / "store" / "pods" / pod
    assert sum((directory / name).stat().st_size for name in ("log", "log.1")) < 21_000_000
    assert pods.run_ok(person, "logs", "--tail", "1", pod) == "last\n"
    pods.run_ok(person, "rm", pod)
