from __future__ import annotations

import io
import os
import stat
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice.errors import FormatError, ImageError, PumiceError
from pumice.formats import tar
from pumice.formats.tar import Entry
from pumice.image import rootfs
from pumice.image.model import Image
from pumice.progress import Silent
from tests.support import handmade, locations
from tests.support.handmade import ImageContents, Item, MemoryBlobs, file, folder, hardlink, symlink


class Notes(Silent):
    """Progress that keeps what it is told."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def note(self, message: str) -> None:
        self.heard.append(message)


def flat(*layers: list[Item]) -> list[tuple[Entry, bytes]]:
    """The entries of ``tar:`` for an image of these layers."""
    return flat_of(handmade.image(ImageContents(layers)))


def flat_of(image: Image) -> list[tuple[Entry, bytes]]:
    out = io.BytesIO()
    locations.write(image, "tar:-", stdout=out)
    return [(entry, body.read()) for entry, body in tar.read_entries(io.BytesIO(out.getvalue()))]


def unpack(image: Image, where: Path) -> list[str]:
    notes = Notes()
    rootfs.write_directory(image, where, progress=notes)
    return notes.heard


def test_the_tar_is_one_that_tar_reads_with_folders_first_and_no_path_twice() -> None:
    out = io.BytesIO()
    image = handmade.image(handmade.small())
    locations.write(image, "tar:-", stdout=out)
    out.seek(0)
    with tarfile.open(fileobj=out) as archive:
        names = [("." if info.name == "." else info.name, info.type) for info in archive]
    assert len({name for name, _ in names}) == len(names)
    kinds = [kind == tarfile.DIRTYPE for _, kind in names]
    assert kinds == sorted(kinds, reverse=True)
    assert names[0][0] == "."
    assert "etc/old" not in dict(names)


def test_a_hard_link_follows_its_file_and_both_survive_a_new_file_at_its_path() -> None:
    contents = flat([file("a", b"old"), hardlink("b", "a"), hardlink("c", "a")], [file("a", b"new")])
    assert [(entry.path, entry.kind, entry.link, content) for entry, content in contents[1:]] == [
        ("b", "file", "", b"old"),
        ("c", "hardlink", "b", b""),
        ("a", "file", "", b"new"),
    ]


def test_hard_links_to_links_become_links() -> None:
    contents = flat([symlink("a", "x"), hardlink("b", "a")])
    assert [(entry.path, entry.kind, entry.link) for entry, _ in contents[1:]] == [
        ("a", "symlink", "x"),
        ("b", "symlink", "x"),
    ]


def test_directories_that_no_layer_has_are_made() -> None:
    contents = flat([file("a/b/c")])
    assert [(entry.path, entry.mode) for entry, _ in contents] == [
        ("", 0o755),
        ("a", 0o755),
        ("a/b", 0o755),
        ("a/b/c", 0o644),
    ]


def test_attributes_stay() -> None:
    (_, (entry, _)) = flat(
        [file("ping", b"x", 0o755, uid=7, gid=8, mtime=9, xattrs={"security.capability": b"\0c"})]
    )
    assert (entry.mode, entry.uid, entry.gid, entry.mtime) == (0o755, 7, 8, 9)
    assert entry.xattrs == {"security.capability": b"\0c"}


# Folders ------------------------------------------------------------------------------------------


def listing(root: Path) -> dict[str, tuple[int, bytes | str]]:
    entries: dict[str, tuple[int, bytes | str]] = {}
    for path in sorted(root.rglob("*")):
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            entries[str(path.relative_to(root))] = (0, str(path.readlink()))
        else:
            entries[str(path.relative_to(root))] = (
                mode & 0o7777,
                path.read_bytes() if stat.S_ISREG(mode) else b"",
            )
    return entries


def test_a_folder_shows_what_the_tar_shows(tmp_path: Path) -> None:
    image = handmade.image(handmade.small())
    unpack(image, tmp_path / "root")
    expected: dict[str, tuple[int, bytes | str]] = {}
    for entry, content in flat_of(image):
        if entry.kind == "symlink":
            expected[entry.path] = (0, entry.link)
        elif entry.kind == "hardlink":
            expected[entry.path] = expected[entry.link]
        elif entry.path:
            expected[entry.path] = (entry.mode, content)
    if os.geteuid() != 0:
        expected["bin/su"] = (0o755, expected["bin/su"][1])
    assert listing(tmp_path / "root") == expected
    assert (tmp_path / "root/bin/tool").stat().st_ino == (tmp_path / "root/bin/tool-2").stat().st_ino


def test_modes_and_times_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    image = handmade.image(ImageContents([[folder("d", 0o775, mtime=5), file("d/f", b"", 0o666, mtime=7)]]))
    umask_before = os.umask(0o077)
    try:
        unpack(image, tmp_path / "root")
    finally:
        os.umask(umask_before)
    assert [
        (path.stat().st_mode & 0o7777, path.stat().st_mtime)
        for path in (tmp_path / "root/d", tmp_path / "root/d/f")
    ] == [
        (0o775, 5),
        (0o666, 7),
    ]
    assert (tmp_path / "root").stat().st_mode & 0o7777 == 0o755


def test_folders_without_write_permission_are_filled_all_the_same(tmp_path: Path) -> None:
    unpack(
        handmade.image(ImageContents([[folder("d", 0o555), file("d/f")], [file("d/g")]])), tmp_path / "root"
    )
    assert {path.name for path in (tmp_path / "root/d").iterdir()} == {"f", "g"}


def test_without_root_owners_and_what_hangs_on_them_are_left_out_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 4_000_000)
    monkeypatch.setattr(os, "mknod", _refused)
    monkeypatch.setattr(os, "setxattr", _refused)
    layer = [
        file("su", b"", 0o4755),
        file("ping", b"", 0o755, uid=4_000_000, gid=os.getegid(), xattrs={"security.capability": b"x"}),
        (Entry(path="null", kind="char", mode=0o666, device=(1, 3)), b""),
    ]
    heard = unpack(
        handmade.image(ImageContents([[folder("", uid=4_000_000, gid=os.getegid()), *layer]])),
        tmp_path / "root",
    )
    assert heard == [
        "1 path of other users now belong to you, without set-ID bits: owners can only be set by root",
        "1 path omitted: only root can create devices",
        "1 path without extended attributes, which could not be set",
    ]
    assert (tmp_path / "root/su").stat().st_mode & 0o7777 == 0o755
    assert not (tmp_path / "root/null").exists()


def _refused(*args: object, **more: object) -> None:
    raise PermissionError(1, "not permitted")


@pytest.mark.skipif(os.geteuid() != 0, reason="owners need root")
def test_root_sets_owners_and_keeps_set_id_bits_and_capabilities(tmp_path: Path) -> None:
    capability = bytes.fromhex("0100000200200000000000000000000000000000")
    layer = [
        file("su", b"", 0o4755, uid=1, gid=2),
        file("ping", b"", 0o755, xattrs={"security.capability": capability}),
        symlink("l", "x", uid=3, gid=4),
    ]
    try:
        assert unpack(handmade.image(ImageContents([layer])), tmp_path / "root") == []
    except AssertionError:
        pytest.skip("this root may not do everything")
    status = (tmp_path / "root/su").stat()
    assert (status.st_uid, status.st_gid, status.st_mode & 0o7777) == (1, 2, 0o4755)
    assert os.getxattr(tmp_path / "root/ping", "security.capability") == capability
    assert (tmp_path / "root/l").lstat().st_uid == 3


def test_a_folder_that_is_not_empty_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    with pytest.raises(ImageError, match="not empty"):
        unpack(handmade.image(handmade.small()), tmp_path)
    with pytest.raises(ImageError, match="a file exists where a directory is needed"):
        unpack(handmade.image(handmade.small()), tmp_path / "x")
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    unpack(handmade.image(ImageContents([[file("a")]])), tmp_path / "root")
    assert (tmp_path / "root/a").exists()


def test_a_failure_leaves_nothing(tmp_path: Path) -> None:
    blobs = MemoryBlobs()
    image = handmade.image(ImageContents([[folder("d", 0o555), file("d/x")], [file("b")]]), blobs)
    last = image.manifest().layers[1].digest
    intact = blobs.content[last]
    image.layers()
    reads = 0

    class Failing(MemoryBlobs):
        def open(self, digest_: str) -> io.BytesIO:
            nonlocal reads
            reads += digest_ == last
            return io.BytesIO(intact[:-9] if digest_ == last and reads > 1 else blobs.content[digest_])

    with pytest.raises(FormatError):
        unpack(Image(image.root, Failing()), tmp_path / "root")
    assert reads == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "layer",
    [
        [symlink("a", "/"), file("a/pwned")],
        [symlink("a", ".."), file("a/pwned")],
        [symlink("a", "b"), symlink("b", "/tmp"), folder("a/x"), file("a/x/pwned")],
        [folder("d"), symlink("d", "/"), file("d/pwned")],
        [symlink("etc", "/etc"), hardlink("etc/pwned", "etc"), file("other")],
    ],
)
def test_links_lead_nothing_out_of_the_folder(tmp_path: Path, layer: list[Item]) -> None:
    (tmp_path / "in").mkdir()
    try:
        unpack(handmade.image(ImageContents([layer])), tmp_path / "in/root")
    except PumiceError:
        assert list((tmp_path / "in").iterdir()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert [path for directory in ("/", "/tmp", "/etc") for path in Path(directory).glob("pwned")] == []


@pytest.mark.parametrize("name", [b"../escape", b"a/../../escape", b"..", b"a/.."])
def test_paths_that_leave_the_root_are_refused(tmp_path: Path, name: bytes) -> None:
    archive = tarfile.TarInfo(name.decode()).tobuf(tarfile.GNU_FORMAT) + tar.END_OF_ARCHIVE
    with pytest.raises(FormatError, match="outside the root"):
        unpack(_of(archive), tmp_path / "root")
    assert list(tmp_path.iterdir()) == []


def test_absolute_paths_are_taken_from_the_root_of_the_image(tmp_path: Path) -> None:
    archive = tarfile.TarInfo("/absolute").tobuf(tarfile.GNU_FORMAT) + tar.END_OF_ARCHIVE
    unpack(_of(archive), tmp_path / "root")
    assert (tmp_path / "root/absolute").exists()


def test_a_layer_with_a_pax_global_header_is_read(tmp_path: Path) -> None:
    with tarfile.open(
        tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT, pax_headers={"comment": "x"}
    ) as archive:
        archive.addfile(tarfile.TarInfo("file"))
    unpack(_of((tmp_path / "a.tar").read_bytes()), tmp_path / "root")
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["file"]


def test_a_hard_link_to_the_outside_is_refused(tmp_path: Path) -> None:
    info = tarfile.TarInfo("a")
    info.type, info.linkname = tarfile.LNKTYPE, "/etc/passwd"
    with pytest.raises(FormatError, match="which is not a file of the image"):
        unpack(_of(info.tobuf(tarfile.GNU_FORMAT) + tar.END_OF_ARCHIVE), tmp_path / "root")


@pytest.mark.parametrize("size", [1 << 40, 1 << 60])
def test_a_file_that_claims_to_be_huge_is_refused(tmp_path: Path, size: int) -> None:
    info = tarfile.TarInfo("a")
    info.size = size
    with pytest.raises(FormatError):
        unpack(_of(info.tobuf(tarfile.GNU_FORMAT) + bytes(4096)), tmp_path / "root")
    assert list(tmp_path.iterdir()) == []


def test_owners_that_no_system_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="an owner that is out of range"):
        unpack(handmade.image(ImageContents([[file("a", uid=1 << 33)]])), tmp_path / "root")


def test_names_that_are_not_utf_8_stay_as_they_are(tmp_path: Path) -> None:
    unpack(
        handmade.image(ImageContents([[file(b"caf\xe9".decode("utf-8", "surrogateescape"))]])),
        tmp_path / "root",
    )
    assert [os.fsencode(path.name) for path in (tmp_path / "root").iterdir()] == [b"caf\xe9"]


def _of(layer: bytes) -> Image:
    from pumice import digest
    from pumice.formats import oci

    blobs = MemoryBlobs()
    config = oci.ImageConfig(
        architecture="amd64", os="linux", rootfs=oci.RootFs("layers", (digest.of(layer),))
    )
    pointer = handmade.put(blobs, layer, oci.LAYER_TAR)
    manifest = oci.make_manifest(handmade.put(blobs, oci.encode_document(config), oci.CONFIG), (pointer,))
    return Image(handmade.put(blobs, oci.encode_document(manifest), oci.MANIFEST), blobs)


_NAMES = st.sampled_from(["a", "b", "a/b", "b/a", "a/a/a", ".wh.a", "a/.wh.b", "b/.wh..wh..opq"])
_ITEMS = st.one_of(
    st.builds(file, _NAMES, st.binary(max_size=3)),
    st.builds(folder, _NAMES),
    st.builds(symlink, _NAMES, st.sampled_from(["/", "..", "a", "/tmp"])),
    st.builds(hardlink, _NAMES, st.sampled_from(["a", "b", "a/b"])),
)


@given(st.lists(st.lists(_ITEMS, max_size=5), min_size=1, max_size=3))
def test_tar_and_folder_agree_whatever_the_layers_are(
    tmp_path_factory: pytest.TempPathFactory, layers: list[list[Item]]
) -> None:
    image = handmade.image(ImageContents(layers, compression="plain"))
    where = tmp_path_factory.mktemp("law") / "root"
    try:
        entries = flat_of(image)
    except PumiceError:
        with pytest.raises(PumiceError):
            unpack(image, where)
        return
    unpack(image, where)
    contents: dict[str, bytes | str] = {}
    for entry, content in entries:
        assert entry.path not in contents
        contents[entry.path] = contents[entry.link] if entry.kind == "hardlink" else entry.link or content
    contents.pop("")
    assert {path: what for path, (_, what) in listing(where).items()} == contents
