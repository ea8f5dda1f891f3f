"""Fixtures and hooks for every test: its own store, a neutral environment, and required peers."""

from __future__ import annotations

import os
import signal
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests.support import peers, sampling

if TYPE_CHECKING:
    from collections.abc import Iterator

# Machines are slow and busy, so tests assert behavior and never time.
hypothesis.settings.register_profile("pumice", deadline=None, print_blob=True)
hypothesis.settings.register_profile(
    "thorough", parent=hypothesis.settings.get_profile("pumice"), max_examples=2000
)
hypothesis.settings.load_profile(os.environ.get("PUMICE_HYPOTHESIS", "pumice"))

# In a background job, the tests and every program that they start may ignore SIGINT.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The people of tests read files that other users write.
os.umask(0o022)

_LONGEST_SECONDS = 600
_LONGEST_SECONDS_IF_LONG = 1200
_LONGEST_SECONDS_OF_SOAK = 6 * 3600
_FOR_TESTS = {"PUMICE_REQUIRE_PEERS", "PUMICE_HYPOTHESIS", *sampling.VARIABLES}


@pytest.fixture(autouse=True)
def _neutral_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give each test its own store and none of the settings of the user who runs it."""
    for name in list(os.environ):
        if name.startswith("PUMICE_") and name not in _FOR_TESTS:
            monkeypatch.delenv(name)
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    monkeypatch.setenv("PUMICE_HOME", str(tmp_path_factory.mktemp("home")))
    # Only tests with a machine of their own give containers a network.
    monkeypatch.setenv("PUMICE_NETWORK", "host")
    # No test sees what a loss of power would do to the disk; those of durability record the calls of `files`.
    monkeypatch.setattr(os, "fsync", os.fstat)


@pytest.fixture(scope="session")
def shared_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store that all tests of all processes share, to fetch from the mirror only once."""
    base = tmp_path_factory.getbasetemp()
    home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "shared-home"
    home.mkdir(exist_ok=True)
    return home


@pytest.fixture
def fast_path(tmp_path: Path) -> Iterator[Path]:
    """Return a directory in memory if possible, for thousands of small files."""
    memory = Path("/dev/shm")
    if not os.access(memory, os.W_OK):
        yield tmp_path
        return
    with tempfile.TemporaryDirectory(prefix="pumice-test-", dir=memory) as directory:
        yield Path(directory)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Repeat the tests of concurrency as often as a soak requires."""
    count = sampling.repetitions()
    if count > 1 and metafunc.definition.get_closest_marker("concurrency"):
        metafunc.fixturenames.append("repetition")
        metafunc.parametrize("repetition", range(count))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest files first, so that at the end no process waits for another."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


def _require(item: pytest.Item) -> None:
    for marker in item.iter_markers("peer"):
        for program in marker.args:
            peers.need(program)
    if item.get_closest_marker("file_times") and sampling.is_another_day():
        pytest.skip("the kernel sets the times of files, and its clock shows today")
    if item.get_closest_marker("mirror"):
        if not _mirror_is_configured():
            peers.absent("this machine has no apt sources")
        if sampling.is_another_day() and _mirror_has_a_certificate():
            pytest.skip("the certificate of the mirror is valid only today")


def _mirror_is_configured() -> bool:
    apt = Path("/etc/apt")
    return any(_has_sources(path) for path in (apt / "sources.list", *_source_files(apt / "sources.list.d")))


def _mirror_has_a_certificate() -> bool:
    apt = Path("/etc/apt")
    paths = (apt / "sources.list", *_source_files(apt / "sources.list.d"))
    return any("https:" in path.read_text(errors="replace") for path in paths if path.is_file())


def _source_files(folder: Path) -> Iterator[Path]:
    yield from folder.glob("*.list")
    yield from folder.glob("*.sources")


def _has_sources(path: Path) -> bool:
    return path.is_file() and any(
        line.startswith(("deb ", "deb\t", "deb[", "URIs:"))
        for line in path.read_text(errors="replace").splitlines()
    )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    """Skip a test, or fail it in CI, if the machine lacks what it needs. Fail it if its fixtures hang."""
    _require(item)
    with _time_limit(_longest_seconds(item)):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Fail a test that hangs."""
    with _time_limit(_longest_seconds(item)):
        yield


def _longest_seconds(item: pytest.Item) -> int:
    """Return what a test may take on a busy machine. One that takes longer would only hold up the others."""
    if sampling.is_soak():
        return _LONGEST_SECONDS_OF_SOAK
    return _LONGEST_SECONDS_IF_LONG if item.get_closest_marker("long") else _LONGEST_SECONDS


@contextmanager
def _time_limit(seconds: int) -> Iterator[None]:
    """Raise TimeoutError in the context when it is open for too long."""

    def interrupt(_number: int, _frame: object) -> None:
        raise TimeoutError(f"the test took more than {seconds} seconds")

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
