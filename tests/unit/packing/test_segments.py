"""Segments: cutting them from packages, and changing them without the package."""

from __future__ import annotations

import io
import random
import tarfile
from pathlib import Path

import pytest

from pumice import digest
from pumice.errors import FormatError
from pumice.formats import gzip
from pumice.formats.tar import Entry
from pumice.packing import package_cutter, segments
from pumice.packing.package_inventory import PackageInventory
from pumice.packing.segment_writer import LAYER_END, LAYER_START
from pumice.packing.segments import Segment, SegmentChanges
from pumice.packing.selection import LOCALE_DIRECTORIES, Selection
from pumice.store.home import Home
from tests.support.deb import Deb, Item, folder, hardlink, symlink, text


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path / "store")


def _cut(home: Home, package: Deb, selection: Selection = Selection()) -> Segment:  # noqa: B008 - a frozen value
    return package_cutter.cut_segment(io.BytesIO(package.build()), selection, home.blobs)


def _read_tar(home: Home, segment: Segment) -> bytes:
    with home.blobs.open(segment.blob) as file:
        return b"".join(gzip.decompress_member(file.read(size)) for size in segment.members)


def _format_tree(data: bytes) -> str:
    """Format a tar stream as text: kind, mode, path, and target or content."""
    lines = []
    with tarfile.open(fileobj=io.BytesIO(data + bytes(1024))) as archive:
        for member in archive:
            file = archive.extractfile(member) if member.isreg() else None
            suffix = f" -> {member.linkname}" if member.linkname else f" {file.read()!r}" if file else ""
            kind = {b"5": "d", b"2": "l", b"1": "h", b"0": "-"}[member.type]
            lines.append(f"{kind}{member.mode:04o} {member.name}{suffix}")
    return "\n".join(line for line in lines if "/dpkg/info/" not in line)


_HELLO = Deb(
    "hello",
    files=[
        text("bin/hello", "#!", 0o755),
        hardlink("bin/hi", "bin/hello"),
        text("etc/hello.conf", "x"),
        folder("var/lib/hello", 0o750),
        text("usr/share/doc/hello/README", "long"),
        text("usr/share/doc/hello/copyright", "MIT"),
        text("usr/share/locale/de/LC_MESSAGES/hello.mo", "mo"),
        text("usr/share/man/man1/hello.1.gz", "man"),
        symlink("lib/hello.so", "/lib/hello.so.1"),
    ],
    conffiles=["/etc/hello.conf"],
)


def test_a_sliced_package_is_cut_to_what_slices_list(home: Home) -> None:
    paths = ("/bin/hi", "/etc/*", "/lib/hello.so", "/var/lib/hello/")
    segment = _cut(home, _HELLO, Selection(paths=paths))
    assert _format_tree(_read_tar(home, segment)) == "\n".join(
        [
            "-0755 usr/bin/hello b'#!'",  # the target of a hard link comes along
            "h0644 usr/bin/hi -> usr/bin/hello",
            "-0644 etc/hello.conf b'x'",
            "l0777 usr/lib/hello.so -> /lib/hello.so.1",
        ]
    )
    assert {entry.path for entry in segment.directories} >= {"etc", "var/lib/hello"}
    assert {entry.path for entry in segment.parents} >= {"usr/share/doc/hello"}
    assert segment.copyright == b"MIT", "the evidence needs it in any case"
    read = segments.content_reader(segment, home.blobs)
    listed = read("var/lib/dpkg/info/hello.list").decode().splitlines()
    assert {"/bin/hello", "/bin/hi", "/etc/hello.conf", "/lib/hello.so"} <= set(listed)
    assert not any("share" in path for path in listed)
    assert _format_tree(_read_tar(home, _cut(home, _HELLO, Selection(paths=())))) == ""


@pytest.mark.parametrize(
    "paths",
    [("/bin/hi",), ("/etc/*",), ("/lib/hello.so", "/usr/share/doc/hello/copyright"), ("/**",), ()],
)
def test_a_package_whose_files_are_known_gives_the_same_segment(home: Home, paths: tuple[str, ...]) -> None:
    known: list[PackageInventory] = []
    package = io.BytesIO(_HELLO.build())
    package_cutter.cut_segment(package, Selection(paths=("/etc/*",)), home.blobs, remember=known.append)
    selection = Selection(paths=paths)
    segment = package_cutter.cut_segment(package, selection, home.blobs, *known)
    assert segment == _cut(home, _HELLO, selection)


def test_a_package_whose_files_are_known_is_read_up_to_the_last_file_that_slices_need(home: Home) -> None:
    noise = bytes(random.Random(1).randbytes(4 << 20))
    package = _CountingFile(
        Deb(
            "noisy",
            files=[
                text("usr/a", "needed"),
                Item("usr/b", noise),
                text("usr/share/doc/noisy/copyright", "MIT"),
                symlink("usr/c", "a"),
            ],
        ).build()
    )
    selection = Selection(paths=("/usr/a", "/usr/c", "/usr/share/doc/noisy/copyright"))
    known: list[PackageInventory] = []
    first = package_cutter.cut_segment(package, selection, home.blobs, remember=known.append)
    whole, package.count = package.count, 0
    assert package_cutter.cut_segment(package, selection, home.blobs, *known) == first
    # Its digests are computed from the whole file in both cases.
    assert package.count < whole - len(noise) // 2


def test_a_package_with_other_files_than_those_known_is_refused(home: Home) -> None:
    known: list[PackageInventory] = []
    other = Deb("hello", files=[text("etc/another", "x"), text("etc/hello.conf", "x")])
    package = io.BytesIO(_HELLO.build())
    package_cutter.cut_segment(package, Selection(paths=()), home.blobs, remember=known.append)
    for files in (other, Deb("hello", files=[])):
        with pytest.raises(FormatError, match="not the one whose files are known"):
            package_cutter.cut_segment(
                io.BytesIO(files.build()), Selection(paths=("/etc/*",)), home.blobs, *known
            )


class _CountingFile(io.BytesIO):
    """A file that counts the bytes that are read."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


def test_a_segment_holds_files_on_a_merged_usr_without_docs(home: Home) -> None:
    segment = _cut(home, _HELLO)
    assert _format_tree(_read_tar(home, segment)) == "\n".join(
        [
            "-0755 usr/bin/hello b'#!'",
            "h0644 usr/bin/hi -> usr/bin/hello",
            "-0644 etc/hello.conf b'x'",
            "-0644 usr/share/doc/hello/copyright b'MIT'",
            "l0777 usr/lib/hello.so -> /lib/hello.so.1",
        ]
    )
    assert [entry.path for entry in segment.directories] == [
        *("etc", "var", "var/lib", "var/lib/hello"),
        *("usr", "usr/share", "usr/share/doc", "usr/share/doc/hello"),
    ]
    assert segment.dropped == (
        "usr/share/doc/hello/README",
        "usr/share/locale/de/LC_MESSAGES/hello.mo",
        "usr/share/man/man1/hello.1.gz",
    )
    assert segment.facts.conffiles == {"/etc/hello.conf": "9dd4e461268c8034f5c8564e155c67a6"}


def test_included_trees_are_kept(home: Home) -> None:
    segment = _cut(home, _HELLO, Selection(include=("docs", "man")))
    assert segment.dropped == ("usr/share/locale/de/LC_MESSAGES/hello.mo",)


def test_dpkg_info_files_have_the_paths_of_the_package(home: Home) -> None:
    segment = _cut(home, _HELLO)
    read_file = segments.content_reader(segment, home.blobs)
    assert read_file("var/lib/dpkg/info/hello.conffiles") == b"/etc/hello.conf\n"
    paths = read_file("var/lib/dpkg/info/hello.list").decode().splitlines()
    assert paths[:2] == ["/.", "/bin"]
    assert "/bin/hello" in paths
    assert "/usr/share/doc/hello/README" in paths
    assert b"usr/share/doc/hello/copyright" in read_file("var/lib/dpkg/info/hello.md5sums")
    assert b"etc/hello.conf" not in read_file("var/lib/dpkg/info/hello.md5sums")


def test_a_co_installable_package_has_its_architecture_in_dpkg_info(home: Home) -> None:
    segment = _cut(home, Deb("libx", fields={"Multi-Arch": "same"}, files=[text("usr/lib/x", "")]))
    assert "var/lib/dpkg/info/libx:amd64.list" in {item.entry.path for item in segment.items}


def test_base_data_has_no_dpkg_info(home: Home) -> None:
    segment = _cut(home, _HELLO, Selection(includes_dpkg_info=False))
    assert not [item for item in segment.items if item.entry.path.startswith("var/lib/dpkg")]


_LIBC_BIN = Deb(
    "libc-bin",
    files=[
        text("usr/bin/locale", "#!", 0o755),
        text("etc/gai.conf", "x"),
        folder("var/cache/ldconfig", 0o700),
        text("usr/lib/locale/C.utf8/LC_CTYPE", "ctype"),
        hardlink("usr/lib/locale/C.utf8/LC_TIME", "usr/lib/locale/C.utf8/LC_CTYPE"),
        hardlink("usr/lib/locale/C.utf8/program", "usr/bin/locale"),
        text("usr/lib/locale/C.utf8x", "other"),
        text("usr/share/doc/libc-bin/changelog", "long"),
        text("usr/share/doc/libc-bin/copyright", "LGPL"),
    ],
    conffiles=["/etc/gai.conf"],
    control_files={"postinst": "#!/bin/sh\nmkdir /x\n"},
)


def test_a_part_of_a_package_has_its_copyright_and_no_scripts(home: Home) -> None:
    selection = Selection(only=LOCALE_DIRECTORIES, includes_dpkg_info=False)
    segment = _cut(home, _LIBC_BIN, selection)
    assert _format_tree(_read_tar(home, segment)) == "\n".join(
        [
            "-0644 usr/lib/locale/C.utf8/LC_CTYPE b'ctype'",
            "h0644 usr/lib/locale/C.utf8/LC_TIME -> usr/lib/locale/C.utf8/LC_CTYPE",
            "-0644 usr/share/doc/libc-bin/copyright b'LGPL'",
        ]
    )
    assert [entry.path for entry in segment.directories] == [
        "usr/lib/locale/C.utf8",
        "usr/share/doc/libc-bin",
    ]
    assert (segment.parents, segment.dropped) == ((), ())
    assert (segment.facts.files, segment.facts.conffiles) == ({}, {})
    assert segment.copyright == b"LGPL"


def test_a_segment_with_its_own_layer_has_the_layers_digests(home: Home) -> None:
    segment = _cut(home, _HELLO, Selection(has_own_layer=True))
    with home.blobs.open(segment.blob) as file:
        packed = LAYER_START + file.read() + LAYER_END
    assert segment.layer
    assert segment.layer.digest == digest.of(packed)
    assert segment.layer.size == len(packed)
    layer_tar = (
        gzip.decompress_member(LAYER_START) + _read_tar(home, segment) + gzip.decompress_member(LAYER_END)
    )
    assert segment.layer.diff_id == digest.of(layer_tar)
    assert segment.layer.tar_size == len(layer_tar)
    paths = [line.split()[1] for line in _format_tree(_read_tar(home, segment)).splitlines()]
    directories = {""}
    for path in paths:
        assert path.rpartition("/")[0] in directories, f"{path} comes before its directory"
        directories.add(path)
    assert len(paths) == len(set(paths))


def test_a_kept_link_keeps_its_target(home: Home) -> None:
    package = Deb(
        "linked",
        files=[
            text("usr/share/doc/linked/data.txt", "D"),
            symlink("usr/bin/data", "../share/doc/linked/data.txt"),
        ],
    )
    assert _cut(home, package).dropped == ()


def test_a_segment_does_not_depend_on_the_path_of_the_store(home: Home, tmp_path: Path) -> None:
    other_home = Home(tmp_path / "another place")
    assert _cut(home, _HELLO) == _cut(other_home, _HELLO)


def test_any_change_of_the_package_changes_the_segment(home: Home) -> None:
    first = Deb("x", files=[Item("usr/x", b"one", mtime=5)])
    second = Deb("x", files=[Item("usr/x", b"two", mtime=5)])
    assert _cut(home, first).blob != _cut(home, second).blob


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ([Item("dev/null", kind="char", device=(1, 3))], "special file"),
        ([Item("x", kind="fifo")], "special file"),
        ([text("usr/x", "1"), text("usr/x", "2")], "ships 'usr/x' twice"),
        ([text("lib/x", "1"), text("usr/lib/x", "2")], "ships 'usr/lib/x' twice"),
        ([text("usr/x", "1"), folder("usr/x")], "ships 'usr/x' twice"),
        ([Item("../../etc/passwd", b"x", raw=True)], "outside the root"),
        ([Item("x", kind="hardlink", link="../../etc/passwd", raw=True)], "outside the root"),
        ([hardlink("x", "etc/passwd")], "the hard link 'x', but not its target 'etc/passwd'"),
        ([hardlink("x", "y"), text("y", "late")], "the hard link 'x', but not its target 'y'"),
        ([Item("usr/\udcff", kind="symlink", link="x", raw=True)], "not UTF-8"),
        ([text("usr/share/doc/bad/a\nb", "x")], "control character"),
        ([folder("usr/esc\x1b[2J")], "control character"),
    ],
)
@pytest.mark.parametrize("has_own_layer", [True, False])
def test_hostile_packages_are_refused(
    home: Home, files: list[Item], sentence: str, has_own_layer: bool
) -> None:
    package = Deb("bad", files=files, parents=False)
    with pytest.raises(FormatError, match=sentence):
        _cut(home, package, Selection(has_own_layer=has_own_layer))
    assert list(home.blobs.digests()) == []


@pytest.mark.parametrize("has_own_layer", [True, False])
def test_hard_links_to_hidden_files_become_files(home: Home, has_own_layer: bool) -> None:
    package = Deb(
        "links",
        files=[
            text("usr/a", "A"),
            hardlink("usr/b", "usr/a"),
            hardlink("usr/c", "usr/a"),
            text("usr/d", "D"),
        ],
    )
    segment = _cut(home, package, Selection(has_own_layer=has_own_layer, includes_dpkg_info=False))
    changed_segment = segments.change_segment(segment, SegmentChanges(hide=("usr/a",)), home.blobs)
    lines = _format_tree(_read_tar(home, changed_segment)).splitlines()
    assert [line for line in lines if line[0] != "d"] == [
        "-0644 usr/b b'A'",
        "h0644 usr/c -> usr/b",
        "-0644 usr/d b'D'",
    ]
    assert (changed_segment.layer is None) == (segment.layer is None)


def test_a_changed_segment_has_the_changed_directories(home: Home) -> None:
    segment = _cut(home, _HELLO, Selection(has_own_layer=True))
    directory = Entry("var/lib/hello", "dir", 0o700, 107, 108)
    changed_segment = segments.change_segment(segment, SegmentChanges(directories=(directory,)), home.blobs)
    assert "d0700 var/lib/hello" in _format_tree(_read_tar(home, changed_segment)).splitlines()
    assert directory in changed_segment.directories


def test_a_late_directory_entry_keeps_its_mode(home: Home) -> None:
    package = Deb("late", files=[folder("lib"), text("lib/x", "x"), folder("usr", 0o711)], parents=False)
    segment = _cut(home, package, Selection(has_own_layer=True))
    assert "d0711 usr" in _format_tree(_read_tar(home, segment)).splitlines()


def test_empty_changes_keep_the_segment(home: Home) -> None:
    for has_own_layer in (True, False):
        segment = _cut(home, _HELLO, Selection(has_own_layer=has_own_layer))
        assert segments.change_segment(segment, SegmentChanges(), home.blobs) == segment
