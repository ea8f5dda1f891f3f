"""Slices against the packages that they are parts of."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.formats.tar import Entry
from pumice.slices.package_check import check_packages
from pumice.slices.release import parse_release, read_files, sort_problems
from pumice.slices.tree import PackageEntry, PackageFiles, path_of
from tests.support.slices import write_release

if TYPE_CHECKING:
    from pathlib import Path

    from pumice.slices.model import Release

NEEDED = {"usr/bin/tool": ("libtool.so.1",), "usr/lib/libtool.so.1.2": ("libdeep.so.3",)}


def package(name: str, *entries: Entry) -> PackageFiles:
    return PackageFiles(
        name=name,
        version="1",
        architecture="amd64",
        sha256="",
        newest=0,
        entries=tuple(PackageEntry(path_of(entry), entry, entry.path) for entry in entries),
    )


TOOL = package(
    "tool",
    Entry("usr/share/common", "dir", 0o755),
    Entry("usr/bin/tool", "file", 0o755),
    Entry("usr/bin/alias", "symlink", 0o777, link="tool"),
    Entry("usr/bin/away", "symlink", 0o777, link="/opt/elsewhere"),
    Entry("usr/bin/later", "symlink", 0o777, link="/etc/alternatives/later"),
    Entry("usr/share/common/a", "file", 0o644),
)
LIBTOOL = package(
    "libtool",
    Entry("usr/share/common", "dir", 0o700),
    Entry("usr/lib/libtool.so.1", "symlink", 0o777, link="libtool.so.1.2"),
    Entry("usr/lib/libtool.so.1.2", "file", 0o644),
    Entry("usr/share/common/b", "file", 0o644),
)


def problems(folder: Path, definitions: dict[str, str]) -> list[str]:
    release: Release
    release, errors = parse_release(read_files(write_release(folder, definitions)).contents)
    assert errors == []
    found = check_packages(
        release,
        list(release.all_slices()),
        {"tool": TOOL, "libtool": LIBTOOL},
        "amd64",
        lambda _, source: NEEDED.get(source, ()),
    )
    return [f"{problem.where}: {problem.message}" for problem in sort_problems(found)]


def test_missing_paths_have_the_place_of_the_definition(tmp_path: Path) -> None:
    text = """\
package: tool
slices:
  data:
    contents:
      /usr/share/common/a:
      /usr/share/gone:
      /usr/share/lost/*:
      /usr/share/other: {arch: arm64}
"""
    assert problems(tmp_path, {"tool": text}) == [
        "slices/tool.yaml:6:7: tool_data: tool=1 has no /usr/share/gone",
        "slices/tool.yaml:7:7: tool_data: tool=1 has no /usr/share/lost/*",
    ]


def test_libraries_must_be_in_a_slice_that_is_required(tmp_path: Path) -> None:
    tool = "package: tool\nslices: {bins: {contents: {/usr/bin/tool: }}}\n"
    libs = (
        "package: libtool\nslices: {libs: {contents: {'/usr/lib/libtool.so.*': }, essential: [libtool_deep]},"
        " deep: {contents: {/usr/lib/libdeep.so.3: {text: x}}}}\n"
    )
    assert problems(tmp_path / "1", {"tool": tool, "libtool": libs}) == [
        "slices/tool.yaml:2:28: tool_bins: /usr/bin/tool needs libtool.so.1, which no slice that it requires has"
    ]
    fixed = "package: tool\nslices: {bins: {contents: {/usr/bin/tool: }, essential: [libtool_libs]}}\n"
    assert problems(tmp_path / "2", {"tool": fixed, "libtool": libs}) == []


def test_links_must_lead_to_something_that_slices_have(tmp_path: Path) -> None:
    text = (
        "package: tool\nslices: {links: {contents: {/usr/bin/alias: , /usr/bin/away: , /usr/bin/later: }}}\n"
    )
    assert problems(tmp_path, {"tool": text}) == [
        "slices/tool.yaml:2:29: tool_links: the link /usr/bin/alias leads to tool, which no slice has",
        "slices/tool.yaml:2:47: tool_links: the link /usr/bin/away leads to /opt/elsewhere, which no slice has",
    ]


def test_directories_that_nobody_lists_must_have_one_mode(tmp_path: Path) -> None:
    definitions = {
        "tool": "package: tool\nslices: {data: {contents: {/usr/share/common/a: }}}\n",
        "libtool": "package: libtool\nslices: {data: {contents: {/usr/share/common/b: }}}\n",
    }
    assert problems(tmp_path / "1", definitions) == [
        "slices/tool.yaml:2:28: /usr/share/common/ has mode 0755 in tool and 0700 in libtool"
    ]
    listed = "package: tool\nslices: {data: {contents: {/usr/share/common/a: , /usr/share/common/: }}}\n"
    assert problems(tmp_path / "2", definitions | {"tool": listed}) == []


def test_links_in_a_circle_lead_nowhere(tmp_path: Path) -> None:
    text = """\
package: tool
slices:
  round:
    contents:
      /usr/bin/alias:
      /usr/bin/tool: {symlink: alias}
"""
    assert "leads to tool, which no slice has" in problems(tmp_path, {"tool": text})[0]
