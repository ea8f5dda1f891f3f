"""runc runs our images, unpacked by umoci or by Pumice."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

import pytest

from pumice.image import rootfs
from pumice.progress import Silent
from tests.support import specimens
from tests.support.specimens import HELLO, run_quietly, write_specimen

pytestmark = [
    pytest.mark.peer("runc", "umoci"),
    pytest.mark.skipif(os.geteuid() != 0, reason="runc is driven as root only"),
]


def run(bundle: Path, *arguments: str) -> str:
    """Run the program of a bundle without a terminal and without creating cgroups."""
    path = bundle / "config.json"
    config = json.loads(path.read_bytes())
    config["process"]["terminal"] = False
    if arguments:
        config["process"]["args"] = list(arguments)
    path.write_text(json.dumps(config))
    return run_quietly(
        "runc", f"--root={bundle}/state", "run", "--bundle", str(bundle), f"pumice-{secrets.token_hex(6)}"
    )


def test_runc_runs_an_image(tmp_path: Path) -> None:
    location = write_specimen(specimens.handmade_image("many-members"), f"oci:{tmp_path}/image")
    run_quietly("umoci", "unpack", "--image", location.removeprefix("oci:"), str(tmp_path / "bundle"))
    assert run(tmp_path / "bundle") == HELLO


def test_runc_runs_a_directory_that_pumice_unpacked(tmp_path: Path) -> None:
    image = specimens.handmade_image("zstd")
    location = write_specimen(specimens.handmade_image("many-members"), f"oci:{tmp_path}/image")
    run_quietly("umoci", "unpack", "--image", location.removeprefix("oci:"), str(tmp_path / "bundle"))
    (tmp_path / "bundle/rootfs").rename(tmp_path / "theirs")
    rootfs.write_directory(image, tmp_path / "bundle/rootfs", progress=Silent())
    assert run(tmp_path / "bundle") == HELLO


@pytest.mark.mirror
@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("busybox", ("/bin/busybox", "echo", "hello")),
        ("hello-python", ("/usr/bin/python3", "-c", "print('hello')")),
    ],
)
def test_runc_runs_a_built_example(
    tmp_path: Path, shared_home: Path, name: str, command: tuple[str, ...]
) -> None:
    location = specimens.build_example(name, tmp_path, shared_home)
    run_quietly("umoci", "unpack", "--image", location.removeprefix("oci:"), str(tmp_path / "bundle"))
    assert run(tmp_path / "bundle", *command) == "hello\n"
