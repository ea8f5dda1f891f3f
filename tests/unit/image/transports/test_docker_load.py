"""Archives of ``docker save``, of the old and the new form, and what pretends to be one."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pumice import digest
from pumice.errors import FormatError, ImageError, PumiceError
from pumice.formats import oci
from pumice.image.model import Image, list_blobs
from pumice.image.transports import docker_load, layout_archive
from tests.support import handmade, locations
from tests.support.handmade import file

SMALL = handmade.image(handmade.small())
TARS = [handmade.archive([file("a", b"a" * 700)]), handmade.archive([file("b", b"b" * 900)])]


def config(tars: list[bytes]) -> bytes:
    rootfs = {"type": "layers", "diff_ids": [digest.of(data) for data in tars]}
    return json.dumps(
        {"architecture": "amd64", "os": "linux", "docker_version": "1", "rootfs": rootfs}
    ).encode()


def pack(path: Path, members: list[tuple[str, bytes | str]]) -> Path:
    """Write a tar file; text instead of content makes a symbolic link, text with ``=`` a hard link."""
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            if isinstance(content, str):
                info.type = tarfile.LNKTYPE if content.startswith("=") else tarfile.SYMTYPE
                info.linkname = content.removeprefix("=")
                archive.addfile(info)
                continue
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def manifest_json(*images: tuple[str, list[str] | None, list[str] | None]) -> bytes:
    return json.dumps(
        [{"Config": config, "RepoTags": tags, "Layers": layers} for config, tags, layers in images]
    ).encode()


def old(path: Path, tags: list[str] | None = None, layers: list[bytes] = TARS) -> Path:
    """An archive as docker wrote it until version 24: a folder for each layer."""
    data = config(layers)
    name = f"{digest.of(data)[7:]}.json"
    folders = [f"{number:064x}" for number in range(len(layers))]
    members: list[tuple[str, bytes | str]] = [(name, data)]
    for folder, layer in zip(folders, layers, strict=True):
        members += [(f"{folder}/VERSION", b"1.0"), (f"{folder}/json", b"{}"), (f"{folder}/layer.tar", layer)]
    manifest = manifest_json((name, tags, [f"{folder}/layer.tar" for folder in folders]))
    return pack(path, [*members, ("manifest.json", manifest), ("repositories", b"{}")])


def new(path: Path, tags: list[str] | None = None, layers: list[bytes] = TARS) -> Path:
    """An archive as docker writes it since version 25: an OCI layout with a ``manifest.json``."""
    data = config(layers)
    blobs = {f"blobs/sha256/{digest.of(blob)[7:]}": blob for blob in (data, *layers)}
    manifest = oci.encode_document(
        oci.make_manifest(
            oci.make_descriptor(data, oci.CONFIG),
            tuple(oci.make_descriptor(layer, oci.LAYER_TAR) for layer in layers),
        )
    )
    blobs[f"blobs/sha256/{digest.of(manifest)[7:]}"] = manifest
    names = list(blobs)
    return pack(
        path,
        [
            *blobs.items(),
            (
                "index.json",
                oci.encode_document(oci.make_index((oci.make_descriptor(manifest, oci.MANIFEST),))),
            ),
            ("manifest.json", manifest_json((names[0], tags, names[1 : 1 + len(layers)]))),
            ("oci-layout", b'{"imageLayoutVersion": "1.0.0"}'),
        ],
    )


def unpacked(image: Image) -> list[bytes]:
    members = []
    for layer in image.layers():
        with layer.open() as stream:
            data = b"".join(iter(lambda: stream.read(1 << 16), b""))
            stream.finish()
        members.append(data)
    return members


@pytest.mark.parametrize("save", [old, new])
def test_both_forms_are_read(tmp_path: Path, save: Any) -> None:
    image = docker_load.read_archive(save(tmp_path / "a.tar", ["example.com/app:1.0"]))
    assert unpacked(image) == TARS
    assert image.config().architecture == "amd64"
    assert image.root.annotations == {oci.REF_NAME: "1.0", oci.FULL_NAME: "example.com/app:1.0"}
    assert (
        docker_load.read_archive(old(tmp_path / "b.tar")).root.digest
        == docker_load.read_archive(new(tmp_path / "c.tar")).root.digest
    )


@pytest.mark.parametrize("layers", [[], [gzip.compress(TARS[0], mtime=0)], TARS])
def test_layers_stay_the_bytes_that_they_are(tmp_path: Path, layers: list[bytes]) -> None:
    data = config([TARS[0]] if len(layers) == 1 else layers)
    names = [f"{number}.tar" for number in range(len(layers))]
    members: list[tuple[str, bytes | str]] = [("c.json", data), *zip(names, layers, strict=True)]
    path = pack(
        tmp_path / "a.tar", [*members, ("manifest.json", manifest_json(("c.json", None, names or None)))]
    )
    image = docker_load.read_archive(path)
    assert [layer_descriptor.digest for layer_descriptor in image.manifest().layers] == [
        digest.of(layer) for layer in layers
    ]
    for descriptor in list_blobs(image)[1:]:
        with image.blobs.open(descriptor.digest) as file_:
            assert digest.of(file_.read()) == descriptor.digest


def test_links_say_that_two_layers_are_one(tmp_path: Path) -> None:
    data = config([TARS[0]] * 3)
    members: list[tuple[str, bytes | str]] = [
        ("c.json", data),
        ("one/layer.tar", TARS[0]),
        ("two/layer.tar", "../one/layer.tar"),
        ("three/layer.tar", "=two/layer.tar"),
        (
            "manifest.json",
            manifest_json(("c.json", None, [f"{name}/layer.tar" for name in ("one", "two", "three")])),
        ),
    ]
    image = docker_load.read_archive(pack(tmp_path / "a.tar", members))
    assert unpacked(image) == [TARS[0]] * 3


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../etc/passwd", "layer.tar", "loop", "../gone"])
def test_links_lead_nowhere_but_into_the_archive(tmp_path: Path, target: str) -> None:
    members: list[tuple[str, bytes | str]] = [
        ("c.json", config([TARS[0]])),
        ("x/layer.tar", target),
        ("x/loop", "layer.tar"),
        ("manifest.json", manifest_json(("c.json", None, ["x/layer.tar"]))),
    ]
    with pytest.raises(FormatError, match=r"has no member 'x/layer\.tar'"):
        docker_load.read_archive(pack(tmp_path / "a.tar", members))


def test_one_of_several_images_is_named(tmp_path: Path) -> None:
    members: list[tuple[str, bytes | str]] = [("0.tar", TARS[0]), ("1.tar", TARS[1])]
    members += [(f"{number}.json", config([TARS[number]])) for number in (0, 1)]
    manifest = manifest_json(
        ("0.json", ["example.com/a:1", "example.com/a:latest"], ["0.tar"]), ("1.json", ["b:2"], ["1.tar"])
    )
    path = pack(tmp_path / "a.tar", [*members, ("manifest.json", manifest)])
    for name, number in (("example.com/a:1", 0), ("latest", 0), ("b:2", 1), ("2", 1)):
        assert unpacked(docker_load.read_archive(path, name)) == [TARS[number]]
    with pytest.raises(ImageError, match="holds 2 images") as raised:
        docker_load.read_archive(path)
    assert str(raised.value.hint).endswith("the names are b:2, example.com/a:1, example.com/a:latest")
    with pytest.raises(ImageError, match="no image 'c:3'"):
        docker_load.read_archive(path, "c:3")


@pytest.mark.parametrize(
    ("manifest", "error"),
    [
        (None, "has no manifest.json"),
        (b"[]", "holds no image"),
        (b"{}", "malformed"),
        (b"[" * 100_000, "malformed"),
        (b'[{"Config": 5, "Layers": []}]', "malformed"),
        (b'[{"Config": "gone.json", "Layers": []}]', "has no member 'gone.json'"),
        (b'[{"Config": "../../etc/passwd", "Layers": []}]', "has no member"),
        (b'[{"Config": "c.json", "Layers": []}]', "0 layers, the image's config 1"),
        (b'[{"Config": "c.json", "Layers": ["0.tar", "0.tar"]}]', "2 layers, the image's config 1"),
        (b'[{"Config": "c.json", "Layers": ["gone.tar"]}]', "has no member 'gone.tar'"),
        (b" " * (4 << 20) + b"[]", "larger than 4 MiB"),
    ],
)
def test_what_is_no_such_archive_is_one_sentence(tmp_path: Path, manifest: bytes | None, error: str) -> None:
    members: list[tuple[str, bytes | str]] = [("c.json", config(TARS[:1])), ("0.tar", TARS[0])]
    if manifest is not None:
        members.append(("manifest.json", manifest))
    with pytest.raises(PumiceError, match=error):
        docker_load.read_archive(pack(tmp_path / "a.tar", members))


def test_a_layer_with_other_content_is_found_out(tmp_path: Path) -> None:
    members: list[tuple[str, bytes | str]] = [
        ("c.json", config([TARS[0]])),
        ("0.tar", TARS[1]),
        ("manifest.json", manifest_json(("c.json", None, ["0.tar"]))),
    ]
    image = docker_load.read_archive(pack(tmp_path / "a.tar", members))
    with pytest.raises(PumiceError):
        locations.write(image, f"oci:{tmp_path}/out", version="1")


def test_each_kind_of_archive_says_what_the_other_is(tmp_path: Path) -> None:
    locations.write(SMALL, f"oci-archive:{tmp_path}/oci.tar", version="1.0")
    with pytest.raises(ImageError) as raised:
        docker_load.read_archive(tmp_path / "oci.tar")
    assert raised.value.hint == f"read it as oci-archive:{tmp_path}/oci.tar"
    with pytest.raises(ImageError) as raised:
        layout_archive.read_archive(old(tmp_path / "docker.tar"))
    assert raised.value.hint == f"read it as docker-archive:{tmp_path}/docker.tar"


def test_what_we_write_is_what_we_read(tmp_path: Path) -> None:
    where = f"docker-archive:{tmp_path}/a.tar"
    locations.write(SMALL, where, name="example.com/small", version="1.0")
    image = docker_load.read_archive(tmp_path / "a.tar", "example.com/small:1.0")
    assert image.manifest().config.digest == SMALL.manifest().config.digest
    assert [descriptor.digest for descriptor in image.manifest().layers] == [
        descriptor.digest for descriptor in SMALL.manifest().layers
    ]


@given(st.data())
def test_any_bytes_are_an_image_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = old(tmp_path_factory.mktemp("fuzz") / "a.tar", ["a:1"])
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        unpacked(docker_load.read_archive(path))
    except PumiceError:
        pass
