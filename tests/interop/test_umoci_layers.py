"""Layers of any order and shape, merged as umoci unpacks them.

umoci unpacks each layer over the last into one directory, so it also follows links of *lower* layers,
which an overlay file system does not show. Names of links therefore differ from layer to layer here.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from pumice.errors import FormatError
from pumice.image import rootfs
from pumice.progress import Silent
from tests.support import handmade
from tests.support.handmade import ImageContents, Item, file, folder, hardlink, symlink
from tests.support.peers import need
from tests.support.specimens import write_specimen

pytestmark = pytest.mark.peer("umoci")

_NAMES = st.sampled_from(["a", "b", "c"])
_PATHS = st.lists(_NAMES, min_size=1, max_size=3).map("/".join)


def _entries(layer: int) -> st.SearchStrategy[Item]:
    link = f"l{layer}"
    paths = st.one_of(
        _PATHS, _PATHS.map(lambda path: f"{link}/{path}"), _PATHS.map(lambda p: f"a/{link}/{p}")
    )
    links = st.sampled_from([link, f"a/{link}", f"b/{link}"])
    targets = st.one_of(_PATHS, st.sampled_from(["/a", "../b", "/", "b/..", "nowhere/x"]))
    return st.one_of(
        st.tuples(paths, st.binary(max_size=2)).map(lambda pair: file(*pair)),
        paths.map(folder),
        st.tuples(links, targets).map(lambda pair: symlink(*pair)),
        st.tuples(paths, paths).map(lambda pair: hardlink(*pair)),
        paths.map(lambda path: file(f"{path.rpartition('/')[0]}/.wh.{path[-1]}".lstrip("/"))),
        paths.map(lambda path: file(f"{path}/.wh..wh..opq")),
    )


_LAYERS = st.tuples(*(st.lists(_entries(number), min_size=1, max_size=6) for number in range(3)))


@pytest.mark.parametrize(
    "layers",
    [
        [[folder("u"), folder("u/b"), symlink("b", "u/b"), file("b/x", b"x")]],
        [[folder("u"), symlink("b", "/u"), file("b/x", b"x")]],
        [[folder("u"), symlink("b", "../../u"), file("b/x", b"x")]],
        [[symlink("b", "nowhere/deep"), file("b/c/x", b"x")]],
        [[folder("u"), file("u/y"), symlink("b", "u"), folder("b"), file("b/x")]],
        [[folder("u"), symlink("b", "u"), file("u/f", b"x"), hardlink("h", "b/f")]],
        [[folder("u"), symlink("b", "u"), file("u/f", b"x")], [hardlink("h", "b/f")]],
        [[folder("u"), file("u/f"), symlink("l", "u/f"), hardlink("h", "l")]],
        [[folder("z"), symlink("c", "z"), symlink("b", "c"), file("b/x")]],
        [[folder("u"), folder("u/v"), symlink("b", "u/v/.."), file("b/x")]],
        [[folder("u"), file("u/f")], [symlink("b", "u"), file("b/.wh.f"), file("b/n")]],
        [[folder("u"), file("u/f")], [symlink("b", "u"), file("b/.wh..wh..opq"), file("b/n")]],
        [[folder("u"), file("u/o"), symlink("b", "u")], [folder("b"), file("b/.wh..wh..opq"), file("b/n")]],
        [[file("a"), folder("d"), file("d/e")], [file(".wh..wh..opq"), file("n")]],
        [[folder("a"), file("a/o")], [folder("a"), file("a/n"), file(".wh.a")]],
    ],
)
def test_known_layers_give_umocis_tree(tmp_path: Path, layers: list[list[Item]]) -> None:
    theirs = _theirs(layers, tmp_path)
    assert theirs is not None
    assert _ours(layers, tmp_path) == theirs


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(_LAYERS)
def test_any_layers_give_umocis_tree(
    tmp_path_factory: pytest.TempPathFactory, layers: tuple[list[Item], ...]
) -> None:
    where = tmp_path_factory.mktemp("layers")
    theirs = _theirs(list(layers), where)
    assume(theirs is not None)  # umoci fails at a file below a file or a hard link without target
    try:
        ours = _ours(list(layers), where)
    except FormatError:
        ours = {}
    assert ours == theirs


def _theirs(layers: list[list[Item]], where: Path) -> dict[str, object] | None:
    layout = write_specimen(handmade.image(ImageContents(layers, "plain")), f"oci:{where}/layout")
    rootless = () if os.geteuid() == 0 else ("--rootless",)
    image = layout.removeprefix("oci:")
    command = [need("umoci"), "raw", "unpack", *rootless, "--image", image, str(where / "theirs")]
    process = subprocess.run(command, capture_output=True, check=False)
    return _tree(where / "theirs") if process.returncode == 0 else None


def _ours(layers: list[list[Item]], where: Path) -> dict[str, object]:
    rootfs.write_directory(handmade.image(ImageContents(layers)), where / "ours", progress=Silent())
    return _tree(where / "ours")


def _tree(root: Path) -> dict[str, object]:
    facts: dict[str, object] = {}
    for path in root.rglob("*"):
        name = str(path.relative_to(root))
        if path.is_symlink():
            facts[name] = path.readlink()
        else:
            facts[name] = path.read_bytes() if path.is_file() else "directory"
    return facts
