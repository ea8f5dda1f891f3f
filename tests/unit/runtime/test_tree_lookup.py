from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pumice.runtime import tree_lookup

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "outside").write_text("outside")
    root = tmp_path / "root"
    (root / "usr/bin").mkdir(parents=True)
    (root / "usr/bin/tool").write_text("tool")
    (root / "bin").symlink_to("usr/bin")
    (root / "absolute").symlink_to("/usr/bin/tool")
    (root / "up").symlink_to("../../../../outside")
    (root / "out").symlink_to(str(tmp_path / "outside"))
    (root / "loop").symlink_to("loop")
    (root / "outside").write_text("inside")
    return root


def test_links_are_followed_as_if_the_tree_were_everything(root: Path) -> None:
    tool = root / "usr/bin/tool"
    assert tree_lookup.resolve(root, "/bin/tool") == tool
    assert tree_lookup.resolve(root, "absolute") == tool
    assert tree_lookup.resolve(root, "bin/../bin/./tool") == tool
    assert tree_lookup.resolve(root, "../../usr") == root / "usr"


def test_nothing_leads_out(root: Path) -> None:
    assert tree_lookup.read_file(root, "up", 100) == b"inside"
    assert tree_lookup.read_file(root, "out", 100) is None


@pytest.mark.parametrize("path", ["none", "loop", "usr/bin/tool/below", "a\0b", "x" * 5000])
def test_missing_value_is_none(root: Path, path: str) -> None:
    assert tree_lookup.resolve(root, path) is None
    assert tree_lookup.read_file(root, path, 10) is None


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("bin/tool", "/usr/bin/tool"),
        ("/bin/../../../none/./x", "/none/x"),
        ("absolute", "/usr/bin/tool"),
        ("up", "/outside"),
        ("out/below", None),
        ("/../..", "/"),
        ("data/evil/x", "/usr/x"),
        ("memory/bin", "/memory/bin"),
        ("a\0b", "/a\0b"),
    ],
)
def test_places_are_located_without_links(root: Path, path: str, expected: str | None) -> None:
    source = root.parent / "source"
    source.mkdir()
    (source / "evil").symlink_to("/usr")
    (root / "memory").mkdir()
    (root / "memory/bin").symlink_to("/")
    located = tree_lookup.resolve_with_mounts(root, path, {"/data": str(source), "/memory": ""})
    assert located == (expected or f"{root.parent}/outside/below")


def test_links_in_circles_lead_nowhere(root: Path) -> None:
    assert tree_lookup.resolve_with_mounts(root, "loop/x", {}) is None


def opened(path: Path, action: Callable[[], object]) -> bool:
    """Whether an action opens a file: inotify(7) tells."""
    libc = ctypes.CDLL(None)
    watch = libc.inotify_init1(os.O_NONBLOCK)
    assert libc.inotify_add_watch(watch, os.fsencode(path), 0x20) >= 0  # IN_OPEN
    action()
    try:
        return bool(os.read(watch, 4096))
    except BlockingIOError:
        return False
    finally:
        os.close(watch)


def test_open_regular_does_not_open_other_kinds_of_files(root: Path) -> None:
    """To open a device can be to use it: a tape rewinds, a watchdog starts."""
    os.mkfifo(root / "device")
    if opened(root / "device", lambda: os.close(os.open(root / "device", os.O_PATH))):
        pytest.skip("this kernel reports every look as an opening")
    assert opened(root / "usr/bin/tool", lambda: tree_lookup.read_file(root, "bin/tool", 2))
    assert not opened(root / "device", lambda: tree_lookup.read_file(root, "device", 2))


def test_only_plain_files_are_read_and_not_too_much_of_them(root: Path) -> None:
    os.mkfifo(root / "pipe")
    assert tree_lookup.read_file(root, "pipe", 10) is None
    assert tree_lookup.read_file(root, "usr", 10) is None
    assert tree_lookup.read_file(root, "bin/tool", 2) == b"to"
