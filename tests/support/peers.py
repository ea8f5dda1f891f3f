"""Other programs that tests drive, and what to do where they are not installed."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.support import sampling

WRITTEN_IN_GO = frozenset(
    {"buildah", "cosign2", "cosign3", "crane", "docker-registry", "podman", "runc", "skopeo", "syft", "umoci"}
)
"""Programs without a C library, which no preloaded library can tell another time."""


def required() -> bool:
    """Say whether a missing peer is a failure: CI installs them all and says so."""
    return os.environ.get("PUMICE_REQUIRE_PEERS") == "1"


def absent(reason: str) -> None:
    """Skip the test for ``reason``, or fail it where everything is meant to be there."""
    if required():
        pytest.fail(f"{reason}, and PUMICE_REQUIRE_PEERS=1 is set", pytrace=False)
    pytest.skip(reason)


def need(program: str) -> str:
    """Return the path of ``program``; without it, or where it would see another day, the test skips."""
    if sampling.is_another_day() and program in WRITTEN_IN_GO:
        pytest.skip(f"{program} does not take part in another day")
    path = shutil.which(program) or shutil.which(program, path="/usr/local/sbin:/usr/sbin:/sbin")
    if path is None:
        absent(f"{program} is not installed")
    return path or ""
