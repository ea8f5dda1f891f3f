"""Memory stays bounded while a large blob is pushed, served and pulled."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench import images
from tests.e2e.test_bounds import measure
from tests.support.serving import serving
from tests.support.soak import peak_memory

MOST = 150 << 20
BLOB = 256 << 20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def test_a_large_blob_needs_little_memory_on_both_sides(tmp_path: Path) -> None:
    image = images.make(tmp_path / "image", (BLOB, 1 << 20))
    with serving(tmp_path / "root") as registry:
        name = f"{registry.host}/large/app:1"
        pushed = measure(tmp_path, tmp_path / "home", "push", f"oci:{image.folder}", name)
        assert (pushed.code, image.manifest in pushed.output) == (0, True), pushed.output
        pulled = measure(tmp_path, tmp_path / "home", "pull", "--insecure-options=image", name)
        assert (pulled.code, image.manifest in pulled.output) == (0, True), pulled.output
        served = peak_memory(registry.process.pid)
    assert max(pushed.peak, pulled.peak, served) < MOST
