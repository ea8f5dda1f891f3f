"""umoci unpacks our images to the same tree as ``dir:``."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from pumice.image import rootfs
from pumice.image.model import Image
from pumice.progress import Silent
from tests.support import specimens
from tests.support.specimens import HELLO, run_quietly, write_specimen

pytestmark = pytest.mark.peer("umoci")


def unpack(layout: str, where: Path) -> Path:
    rootless = () if os.geteuid() == 0 else ("--rootless",)
    run_quietly("umoci", "unpack", *rootless, "--image", layout.removeprefix("oci:"), str(where))
    return where / "rootfs"


@pytest.mark.parametrize("name", ["many-members", "plain"])  # umoci supports zstd since 0.5
def test_umoci_unpacks_the_same_tree(tmp_path: Path, name: str) -> None:
    image = specimens.handmade_image(name)
    theirs = unpack(write_specimen(image, f"oci:{tmp_path}/image"), tmp_path / "bundle")
    rootfs.write_directory(image, tmp_path / "ours", progress=Silent())
    assert _tree(theirs) == _tree(tmp_path / "ours")
    assert (theirs / "app/greeting").read_text() == HELLO
    assert not (theirs / "etc/gone").exists()


def test_umoci_derives_the_runtime_config_from_the_image(tmp_path: Path) -> None:
    image = specimens.handmade_image("many-members")
    unpack(write_specimen(image, f"oci:{tmp_path}/image"), tmp_path / "bundle")
    config = json.loads((tmp_path / "bundle/config.json").read_bytes())
    assert config["process"]["args"] == ["/bin/cat", "/app/greeting"]
    assert config["process"]["cwd"] == "/app"
    assert (config["process"]["user"]["uid"], config["process"]["user"]["gid"]) == (65532, 65532)


@pytest.mark.mirror
@pytest.mark.parametrize("name", ["busybox", "hello-python"])
def test_a_built_example_is_unpacked_to_our_tree(tmp_path: Path, shared_home: Path, name: str) -> None:
    from pumice.image.transports import layout

    location = specimens.build_example(name, tmp_path, shared_home)
    theirs = unpack(location, tmp_path / "bundle")
    image: Image = layout.read_layout(tmp_path / f"{name}.oci")
    rootfs.write_directory(image.select(), tmp_path / "ours", progress=Silent())
    assert _tree(theirs) == _tree(tmp_path / "ours")


def _tree(root: Path) -> dict[str, tuple[object, ...]]:
    """Return the attributes and content digests of all paths of a tree."""
    facts: dict[str, tuple[object, ...]] = {}
    for path in [root, *root.rglob("*")]:
        status = path.lstat()
        owner = (status.st_uid, status.st_gid, status.st_mode)
        name = str(path.relative_to(root))
        if stat.S_ISREG(status.st_mode):
            attributes = tuple(os.listxattr(path)) if os.geteuid() == 0 else ()
            facts[name] = (*owner, path.read_bytes(), int(status.st_mtime), status.st_nlink, attributes)
        elif stat.S_ISLNK(status.st_mode):
            facts[name] = (*owner, path.readlink())
        else:
            facts[name] = owner  # umoci gives missing parent directories the current time
    return facts
