"""Other programs that tests run; if one is not installed, its tests skip or fail."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.support import sampling

WRITTEN_IN_GO = frozenset(
    (
        *("buildah", "chisel", "cosign2", "cosign3", "crane", "docker-registry", "podman", "runc"),
        *("skopeo", "syft", "umoci"),
    )
)
"""Programs without a C library, whose clock a preloaded library cannot change."""


def required() -> bool:
    """Return whether a missing peer is a failure, as in CI, which installs all of them."""
    return os.environ.get("PUMICE_REQUIRE_PEERS") == "1"


def absent(reason: str) -> None:
    """Skip the test for ``reason``, or fail it if all peers are required."""
    if required():
        pytest.fail(f"{reason}, and PUMICE_REQUIRE_PEERS=1 is set", pytrace=False)
    pytest.skip(reason)


def need(program: str) -> str:
    """Return the path of ``program``; skip the test if it is missing or would see another date."""
    if sampling.is_another_day() and program in WRITTEN_IN_GO:
        pytest.skip(f"{program} does not take part in another day")
    path = shutil.which(program) or shutil.which(program, path="/usr/local/sbin:/usr/sbin:/sbin")
    if path is None:
        absent(f"{program} is not installed")
    return path or ""
