"""Fixtures for the contracts of several implementations."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import peers


@pytest.fixture(params=["builtin", "bwrap", "runc"])
def stage1(request: pytest.FixtureRequest) -> str:
    """Return the name of a stage 1; skip the test if its program is not installed."""
    if request.param != "builtin":
        peers.need(request.param)
    return str(request.param)


@pytest.fixture
def outside() -> Iterator[Path]:
    """Yield a world-writable directory of the host, which must stay empty."""
    folder = Path(tempfile.mkdtemp(prefix="outside-", dir="/tmp"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)
