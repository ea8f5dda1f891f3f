"""Fixtures for the contracts of several implementations."""

from __future__ import annotations

import pytest

from tests.support import peers


@pytest.fixture(params=["builtin", "bwrap", "runc"])
def stage1(request: pytest.FixtureRequest) -> str:
    """Return the name of a stage 1; skip the test if its program is not installed."""
    if request.param != "builtin":
        peers.need(request.param)
    return str(request.param)
