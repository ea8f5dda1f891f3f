"""Images that other programs must accept: small handmade ones, and the built examples."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

from pumice.formats import oci
from pumice.formats.tar import Entry
from tests.support import handmade, images, locations
from tests.support.docs import ROOT
from tests.support.handmade import ImageContents, file, folder, hardlink, symlink

if TYPE_CHECKING:
    from pathlib import Path

    from pumice.image.model import Image

HELLO = "hello from the image\n"
TAG = "1.0"
COMPRESSIONS = ("many-members", "zstd", "plain")


def handmade_image(name: str) -> Image:
    """Return an image with busybox that prints a greeting; ``name`` is in `COMPRESSIONS`.

    It has everything that readers are known to fail on: several gzip members, hard links, set-ID bits, a
    sticky directory, a capability, long and non-ASCII names, whiteouts, an upper layer without parents.
    """
    capability = bytes.fromhex("0100000200040000000000000000000000000000")
    base = [
        folder(""),
        folder("bin"),
        *_busybox(),
        file("bin/su", b"#!/bin/sh\n", 0o4755),
        file("bin/ping", b"#!/bin/sh\n", 0o755, xattrs={"security.capability": capability}),
        hardlink("bin/ping4", "bin/ping"),
        folder("etc"),
        file("etc/passwd", b"root:*:0:0:root:/root:/bin/sh\nnonroot:*:65532:65532::/:/bin/sh\n"),
        file("etc/gone", b"x"),
        folder("long"),
        file(f"long/{'x' * 120}/{'y' * 120}", b"long"),
        file("long/näme", b"utf-8"),
        folder("tmp", 0o1777),
    ]
    upper = [file("etc/.wh.gone"), file("app/greeting", HELLO.encode(), uid=65532, gid=65532)]
    compression = {"many-members": "gzip"}.get(name, name)
    run = oci.RunConfig(
        env=("PATH=/bin",),
        entrypoint=("/bin/cat",),
        cmd=("/app/greeting",),
        working_dir="/app",
        user="65532:65532",
    )
    return handmade.image(ImageContents([base, upper], compression, run))


def _busybox() -> list[handmade.Item]:
    items = []
    for path, item in images.shell().items():
        if isinstance(item, Entry):
            if item.kind == "symlink":
                items.append(symlink(path, item.link))
        elif path == "bin/busybox":
            items.append(file(path, item if isinstance(item, bytes) else item.encode(), 0o755))
    return sorted(items, key=lambda pair: pair[0].kind != "file")


def write_specimen(image: Image, location: str) -> str:
    """Write an image to the location ``KIND:PATH`` and return the location with the tag."""
    locations.write(image, location, name="example.com/specimen", version=TAG)
    return f"{location}:{TAG}"


def build_example(name: str, where: Path, home: Path) -> str:
    """Build the example ``name`` into a layout below ``where``; return its name with the tag."""
    ignore = shutil.ignore_patterns("*.lock", "__pycache__")
    shutil.copytree(ROOT / "examples" / name, where / name, ignore=ignore)
    process = subprocess.run(
        [
            sys.executable,
            "-m",
            "pumice",
            "build",
            str(where / name / "recipe.yaml"),
            "-o",
            f"oci:{where}/{name}.oci:{TAG}",
        ],
        env={**os.environ, "PUMICE_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    return f"oci:{where}/{name}.oci:{TAG}"


def run_quietly(*command: str, accepted_text: str = "") -> str:
    """Run another program, which must succeed without warnings; return its output.

    Lines on standard error that contain ``accepted_text`` are not warnings.
    """
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    assert process.returncode == 0, process.stderr
    lines = [line for line in process.stderr.splitlines() if not (accepted_text and accepted_text in line)]
    warnings = [
        line for line in lines if any(word in line.lower() for word in ("warn", "error", "fail", "ignor"))
    ]
    assert warnings == []
    return process.stdout
