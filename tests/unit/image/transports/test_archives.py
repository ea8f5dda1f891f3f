"""The two kinds of image archive: OCI's and Docker's."""

from __future__ import annotations

import gzip
import io
import json
import lzma
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice import digest
from pumice.errors import FormatError, ImageError, PumiceError, TrustError, UsageError
from pumice.formats import tar
from pumice.image.model import Image, list_blobs
from pumice.image.regular_file import open_regular
from pumice.image.transports import docker_archive, docker_load, layout_archive
from tests.support import handmade, locations
from tests.support.handmade import AMD64, ARM64, ImageContents, MemoryBlobs, file

SMALL = handmade.image(handmade.small())


def write(image: Image, where: str) -> None:
    locations.write(image, where, name="example.com/small", version="1.0")


def names(path: Path) -> list[str]:
    with tarfile.open(path) as archive:
        return archive.getnames()


def member(path: Path, name: str) -> bytes:
    with tarfile.open(path) as archive:
        file = archive.extractfile(name)
        assert file is not None
        return file.read()


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_archives_are_the_same_bytes_in_a_file_and_in_a_pipe(tmp_path: Path, kind: str) -> None:
    out = io.BytesIO()
    for location in (f"{kind}:{tmp_path}/a", f"{kind}:{tmp_path}/b"):
        write(SMALL, location)
    locations.write(SMALL, f"{kind}:-", name="example.com/small", version="1.0", stdout=out)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == out.getvalue()


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_members_say_nothing_of_who_wrote_them_or_when(tmp_path: Path, kind: str) -> None:
    write(SMALL, f"{kind}:{tmp_path}/a")
    with tarfile.open(tmp_path / "a") as archive:
        for info in archive:
            assert (info.uid, info.gid, info.uname, info.gname, info.mtime) == (0, 0, "", "", 0)
            assert info.mode == (0o755 if info.isdir() else 0o644)


def test_an_oci_archive_begins_with_what_it_is(tmp_path: Path) -> None:
    write(SMALL, f"oci-archive:{tmp_path}/a")
    blobs = sorted(f"blobs/sha256/{descriptor.digest[7:]}" for descriptor in list_blobs(SMALL))
    assert names(tmp_path / "a") == ["oci-layout", "index.json", "blobs", "blobs/sha256", *blobs]


def test_an_oci_archive_holds_all_platforms(tmp_path: Path) -> None:
    image = handmade.index({AMD64: ImageContents([[file("amd")]]), ARM64: ImageContents([[file("arm")]])})
    write(image, f"oci-archive:{tmp_path}/a:v1")
    assert layout_archive.read_archive(tmp_path / "a", "v1").platforms() == (AMD64, ARM64)


def test_a_docker_archive_has_its_manifest_names_and_compressed_layers(tmp_path: Path) -> None:
    write(SMALL, f"docker-archive:{tmp_path}/a")
    layers = [layer.descriptor.digest[7:] + ".tar.gz" for layer in SMALL.layers()]
    (manifest_entry,) = json.loads(member(tmp_path / "a", "manifest.json"))
    assert manifest_entry == {
        "Config": SMALL.manifest().config.digest[7:] + ".json",
        "RepoTags": ["example.com/small:1.0"],
        "Layers": layers,
    }
    assert json.loads(member(tmp_path / "a", "repositories")) == {
        "example.com/small": {"1.0": layers[-1][:64]}
    }
    for layer, name in zip(SMALL.layers(), layers, strict=True):
        assert digest.of(gzip.decompress(member(tmp_path / "a", name))) == layer.diff_id


@pytest.mark.parametrize("compression", ["zstd", "plain"])
def test_layers_that_older_engines_do_not_know_are_unpacked(tmp_path: Path, compression: str) -> None:
    image = handmade.image(ImageContents([[file("a", b"content")]], compression=compression))
    write(image, f"docker-archive:{tmp_path}/a")
    (layer,) = image.layers()
    assert digest.of(member(tmp_path / "a", layer.diff_id[7:] + ".tar")) == layer.diff_id


def test_a_layer_that_is_there_twice_is_written_once(tmp_path: Path) -> None:
    image = handmade.image(ImageContents([[file("a")], [file("a")]]))
    write(image, f"docker-archive:{tmp_path}/a")
    (manifest_entry,) = json.loads(member(tmp_path / "a", "manifest.json"))
    assert len(manifest_entry["Layers"]) == 2
    assert len(names(tmp_path / "a")) == len(set(names(tmp_path / "a")))


@pytest.mark.parametrize(
    ("name", "tag", "expected"),
    [
        ("example.com/small", "1.0", "example.com/small:1.0"),
        ("small", "", "small:latest"),
        ("", "1.0", ""),
        ("x", "registry.example:5000/a/b:2", "registry.example:5000/a/b:2"),
        ("x", "a/b", "a/b:latest"),
        ("x", "other:2", "other:2"),
    ],
)
def test_names_for_docker(name: str, tag: str, expected: str) -> None:
    assert docker_archive.image_name(name, tag) == expected


@pytest.mark.parametrize(("name", "tag"), [("Upper", "1"), ("a", "1+b"), ("a//b", "1"), ("a", "x" * 200)])
def test_names_that_docker_does_not_know(name: str, tag: str) -> None:
    with pytest.raises(UsageError, match="not an image name that Docker accepts"):
        docker_archive.image_name(name, tag)


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive", "tar"])
def test_a_failure_leaves_no_file_and_the_old_one_as_it_was(tmp_path: Path, kind: str) -> None:
    blobs = MemoryBlobs()
    image = handmade.image(handmade.small(), blobs)
    last = image.manifest().layers[1].digest
    blobs.content[last] = blobs.content[last][:-4]
    with pytest.raises((TrustError, FormatError)):
        write(image, f"{kind}:{tmp_path}/a")
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "a").write_text("old")
    with pytest.raises((TrustError, FormatError)):
        write(image, f"{kind}:{tmp_path}/a")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive", "tar"])
def test_devices_links_and_pipes_are_written_to_and_not_replaced(tmp_path: Path, kind: str) -> None:
    write(SMALL, f"{kind}:/dev/null")
    assert not Path("/dev/null").is_file()
    (tmp_path / "link").symlink_to("real")
    write(SMALL, f"{kind}:{tmp_path}/link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").is_file()


@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive", "tar"])
def test_a_full_disk_is_one_sentence(kind: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this machine has no /dev/full")
    with pytest.raises(ImageError, match="no space left on the device"):
        write(SMALL, f"{kind}:/dev/full")


@pytest.mark.parametrize(
    ("location", "sentence"),
    [
        ("missing/a", "the parent directory does not exist"),
        (".", "a directory exists where a file would be written"),
    ],
)
def test_impossible_places_are_one_sentence(tmp_path: Path, location: str, sentence: str) -> None:
    with pytest.raises(ImageError, match=sentence):
        write(SMALL, f"oci-archive:{tmp_path}/{location}")


# Reading ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("compress", [gzip.compress, lzma.compress, handmade.zstd])
@pytest.mark.parametrize("kind", ["oci-archive", "docker-archive"])
def test_compressed_archives_are_read(
    tmp_path: Path, kind: str, compress: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    write(SMALL, f"{kind}:{tmp_path}/a")
    read = layout_archive.read_archive if kind == "oci-archive" else docker_load.read_archive
    archive = (tmp_path / "a").read_bytes()
    (tmp_path / "b").write_bytes(compress(archive))
    image = read(tmp_path / "b")
    assert image.root.digest == read(tmp_path / "a").root.digest
    for descriptor in list_blobs(image):
        with image.blobs.open(descriptor.digest) as file_:
            assert digest.of(file_.read()) == descriptor.digest
    (tmp_path / "c").write_bytes(compress(archive)[:-20])
    with pytest.raises(FormatError):
        read(tmp_path / "c")
    monkeypatch.setattr("pumice.image.transports.archive_members._LEAST_LIMIT", 0)
    monkeypatch.setattr("pumice.image.transports.archive_members._MOST_EXPANSION", 1)
    with pytest.raises(FormatError, match="expands to more than"):
        read(tmp_path / "b")


def test_missing_archives_are_said(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="the file does not exist"):
        layout_archive.read_archive(tmp_path / "b")
    with pytest.raises(ImageError, match="not a regular file"):
        layout_archive.read_archive(tmp_path)


def test_archives_of_other_programs_are_read(tmp_path: Path) -> None:
    write(SMALL, f"oci:{tmp_path}/layout")
    with tarfile.open(tmp_path / "a", "w", format=tarfile.GNU_FORMAT) as archive:
        archive.add(tmp_path / "layout", ".")
    image = layout_archive.read_archive(tmp_path / "a")
    assert [entry.path for layer in image.layers() for entry, _ in layer.entries()][-1] == "app/hello"


def test_a_docker_archive_is_not_an_oci_archive(tmp_path: Path) -> None:
    write(SMALL, f"docker-archive:{tmp_path}/a")
    with pytest.raises(ImageError, match="not an OCI archive: there is no oci-layout"):
        layout_archive.read_archive(tmp_path / "a")


def test_a_truncated_archive_is_refused_wherever_it_ends(tmp_path: Path) -> None:
    write(SMALL, f"oci-archive:{tmp_path}/a")
    archive = (tmp_path / "a").read_bytes()
    for length in range(0, len(archive) - len(tar.END_OF_ARCHIVE), 509):
        (tmp_path / "b").write_bytes(archive[:length])
        with pytest.raises(PumiceError):
            list_blobs(layout_archive.read_archive(tmp_path / "b"))
            list(layout_archive.read_archive(tmp_path / "b").layers()[1].entries())
            assert length == -1, "a part of an archive was taken for a whole"


@given(st.binary(max_size=1500), st.integers(0, 3000))
def test_any_archive_gives_an_image_or_a_pumice_error(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes, position: int
) -> None:
    out = io.BytesIO()
    locations.write(SMALL, "oci-archive:-", version="1", stdout=out)
    data = bytearray(out.getvalue())
    data[position : position + len(noise)] = noise
    path = tmp_path_factory.mktemp("fuzz") / "a"
    for content in (bytes(data), noise):
        path.write_bytes(content)
        try:
            list_blobs(layout_archive.read_archive(path))
        except PumiceError:
            pass


def test_an_archive_that_cannot_be_read_is_not_called_a_destination(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "image.tar"
    path.write_bytes(b"x")

    def refuse(*_arguments: object, **_more: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(ImageError) as caught:
        open_regular(path)
    assert caught.value.message == "cannot read the file: permission denied"
    assert caught.value.hint == "check who may read it and enter the directories above it"
