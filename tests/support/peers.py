"""Other programs that tests drive, and what to do where they are not installed."""

from __future__ import annotations

import os
import shutil

import pytest


def required() -> bool:
    """Say whether a missing peer is a failure: CI installs them all and says so."""
    return os.environ.get("PUMICE_REQUIRE_PEERS") == "1"


def absent(reason: str) -> None:
    """Skip the test for ``reason``, or fail it where everything is meant to be there."""
    if required():
        pytest.fail(f"{reason}, and PUMICE_REQUIRE_PEERS=1 is set", pytrace=False)
    pytest.skip(reason)


def need(program: str) -> str:
    """Return the path of ``program``; without it the test skips with its name."""
    path = shutil.which(program) or shutil.which(program, path="/usr/local/sbin:/usr/sbin:/sbin")
    if path is None:
        absent(f"{program} is not installed")
    return path or ""
