"""What differs between two releases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.slices.comparison import SliceChange, compare_releases
from pumice.slices.release import parse_release, read_files
from tests.support.slices import write_release

if TYPE_CHECKING:
    from pathlib import Path

    from pumice.slices.model import Release

OLD = """\
package: tool
slices:
  bins: {essential: [tool_gone], contents: {/usr/bin/a: , /usr/bin/b: }}
  gone: {contents: {/usr/share/gone: }}
  same: {contents: {/usr/share/same: }}
  script: {contents: {/etc/x: {text: a, mutable: true}}, mutate: "pass"}
"""
NEW = """\
# another line moves all others
package: tool
slices:
  bins: {essential: [tool_same], contents: {/usr/bin/a: {arch: amd64}, /usr/bin/c: }, hint: Programs}
  same: {contents: {/usr/share/same: }}
  script: {contents: {/etc/x: {text: a, mutable: true}}, mutate: "content.read('/etc/x')"}
  new: {contents: {/usr/share/new: }}
"""


def release(folder: Path, definitions: dict[str, str]) -> Release:
    loaded, problems = parse_release(read_files(write_release(folder, definitions)).contents)
    assert problems == []
    return loaded


def test_every_kind_of_change_is_named(tmp_path: Path) -> None:
    old = release(tmp_path / "old", {"tool": OLD, "lost": "package: lost\n"})
    new = release(tmp_path / "new", {"tool": NEW, "extra": "package: extra\n"})
    difference = compare_releases(old, new)
    assert (difference.added_packages, difference.removed_packages) == (("extra",), ("lost",))
    assert difference.slices == (
        SliceChange(
            slice="tool_bins",
            kind="changed",
            paths=("~/usr/bin/a", "-/usr/bin/b", "+/usr/bin/c"),
            essential=("-tool_gone", "+tool_same"),
            hint=True,
        ),
        SliceChange(slice="tool_gone", kind="removed"),
        SliceChange(slice="tool_new", kind="added"),
        SliceChange(slice="tool_script", kind="changed", mutate=True),
    )


def test_a_release_does_not_differ_from_itself(tmp_path: Path) -> None:
    same = release(tmp_path, {"tool": OLD})
    difference = compare_releases(same, same)
    assert (difference.slices, difference.added_packages, difference.removed_packages) == ((), (), ())
