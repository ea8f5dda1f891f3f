"""Tests of an image that run at the same time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Literal

import pytest

from pumice.image_tests import programs, suite
from pumice.image_tests.programs import ProgramRun, RunSettings, can_run_beside_others
from pumice.progress import Silent
from pumice.recipe.image_tests import HttpCheck, ImageTest, Network, OutputRule, TcpCheck
from pumice.store.home import Home
from tests.support import images

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pumice.image.model import Image

SECONDS = 60


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home(tmp_path / "store") as home:
        yield home


@pytest.fixture
def image(home: Home) -> Image:
    return images.make(home, [images.shell()])


def command(name: str, script: str, network: Network | Literal[""] = "") -> ImageTest:
    return ImageTest(
        name=name,
        command=("/bin/busybox", "sh", "-c", script),
        stdout=OutputRule(equals=f"{name}\n"),
        network=network,
    )


def test_programs_run_at_the_same_time_and_their_outcomes_are_in_order(
    image: Image, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    both = threading.Barrier(2)
    ended = {"second": threading.Event()}

    def run(test: ImageTest, *_: object) -> ProgramRun:
        both.wait(SECONDS)
        if test.name == "first":
            assert ended["second"].wait(SECONDS)
        else:
            ended["second"].set()
        return ProgramRun(failures=[])

    monkeypatch.setattr(programs, "run_program", run)
    tests = [command("first", ""), command("second", "")]
    outcomes = list(suite.run_tests(tests, image, home, RunSettings(jobs=2), Silent()))
    assert [outcome.test for outcome in outcomes] == ["first", "second"]


@pytest.mark.parametrize("jobs", [1, 3])
def test_every_program_has_its_own_output(image: Image, home: Home, jobs: int) -> None:
    tests = [command(f"test {number}", f"echo test {number}") for number in range(8)]
    tests[4] = command("test 4", "echo other; exit 3")
    outcomes = list(suite.run_tests(tests, image, home, RunSettings(jobs=jobs), Silent()))
    assert [outcome.test for outcome in outcomes] == [f"test {number}" for number in range(8)]
    assert [failure.subject for outcome in outcomes for failure in outcome.failures] == [
        "exit code",
        "stdout",
    ]
    assert outcomes[4].stdout == "other\n"


def test_programs_are_killed_when_nobody_wants_their_outcomes(image: Image, home: Home) -> None:
    threads_before = set(threading.enumerate())  # servers of other test files have threads, too
    tests = [command("short", "echo short"), command("long", "echo long; while :; do :; done")]
    outcomes = suite.run_tests(tests, image, home, RunSettings(jobs=2, timeout=10_000), Silent())
    assert next(outcomes).failures == ()
    outcomes.close()  # type: ignore[attr-defined]  # a generator
    assert set(threading.enumerate()) <= threads_before


@pytest.mark.parametrize(
    ("test", "is_independent"),
    [
        (ImageTest(command=("x",)), True),
        (ImageTest(command=("x",), network="host"), False),
        (ImageTest(tcp=(TcpCheck(receive=OutputRule(contains=("x",))),)), True),
        (ImageTest(tcp=(TcpCheck(receive=OutputRule(matches=("x",))),)), False),
        (ImageTest(http=(HttpCheck(body=OutputRule(not_matches=("x",))),)), False),
        (ImageTest(stdout=OutputRule(matches=("x",))), True),
    ],
)
def test_what_may_run_beside_other_programs(test: ImageTest, is_independent: bool) -> None:
    assert can_run_beside_others(test, RunSettings()) is is_independent
