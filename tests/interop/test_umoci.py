"""umoci unpacks what we write, and finds the same tree that ``dir:`` makes of it."""

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


@pytest.mark.parametrize("name", ["many-members", "plain"])  # umoci learnt zstd in 0.5
def test_the_tree_is_ours(tmp_path: Path, name: str) -> None:
    image = specimens.handmade_image(name)
    theirs = unpack(write_specimen(image, f"oci:{tmp_path}/image"), tmp_path / "bundle")
    rootfs.write_directory(image, tmp_path / "ours", progress=Silent())
    assert _tree(theirs) == _tree(tmp_path / "ours")
    assert (theirs / "app/greeting").read_text() == HELLO
    assert not (theirs / "etc/gone").exists()


def test_the_runtime_config_is_what_the_image_says(tmp_path: Path) -> None:
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

    place = specimens.build_example(name, tmp_path, shared_home)
    theirs = unpack(place, tmp_path / "bundle")
    ours: Image = layout.read_layout(tmp_path / f"{name}.oci")
    rootfs.write_directory(ours.select(), tmp_path / "ours", progress=Silent())
    assert _tree(theirs) == _tree(tmp_path / "ours")


def _tree(root: Path) -> dict[str, tuple[object, ...]]:
    """Everything that can be seen of a tree without its contents being opened twice."""
    found: dict[str, tuple[object, ...]] = {}
    for path in [root, *root.rglob("*")]:
        status = path.lstat()
        owner = (status.st_uid, status.st_gid, status.st_mode)
        name = str(path.relative_to(root))
        if stat.S_ISREG(status.st_mode):
            attributes = tuple(os.listxattr(path)) if os.geteuid() == 0 else ()
            found[name] = (*owner, path.read_bytes(), int(status.st_mtime), status.st_nlink, attributes)
        elif stat.S_ISLNK(status.st_mode):
            found[name] = (*owner, path.readlink())
        else:
            found[name] = owner  # umoci gives directories that it had to make itself the present time
    return found
