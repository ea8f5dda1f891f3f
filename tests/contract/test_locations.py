"""What every place where an image can live promises: what goes in comes out, and nothing else does."""

from __future__ import annotations

import gzip
import io
import json
import stat
import tarfile
from pathlib import Path

import pytest

from pumice import digest
from pumice.errors import ImageError, PumiceError
from pumice.formats import oci, tar
from pumice.image.model import BlobSource, Image, contents
from pumice.image.transports import layout, layout_archive
from pumice.image.transports.archive_members import Members
from pumice.store.home import Home
from tests.support import handmade, locations
from tests.support.handmade import AMD64, ARM64, Made, file

SMALL = handmade.image(handmade.small())
IMAGES = {
    "two layers": SMALL,
    "no layers": handmade.image(Made([])),
    "a layer twice": handmade.image(Made([[file("a")], [file("b")], [file("a")]])),
    "zstd": handmade.image(Made([[file("a")]], compression="zstd")),
    "plain": handmade.image(Made([[file("a", b"x" * 5000)]], compression="plain")),
    "two platforms": handmade.index({AMD64: Made([[file("amd")]]), ARM64: Made([[file("arm")]])}),
    "large": handmade.image(Made([[file("a", handmade.random_bytes(3_000_000, "a"))]])),
}


def foreign() -> Image:
    """An image in Docker's media types, with fields that nobody knows and bytes that are not canonical."""
    blobs = handmade.MemoryBlobs()
    layer = gzip.compress(handmade.archive([file("a")]))
    tar_digest = digest.of(gzip.decompress(layer))
    config = {
        "os": "linux",
        "architecture": "amd64",
        "docker_version": "24",
        "rootfs": {"type": "layers", "diff_ids": [tar_digest]},
        "config": {"Env": None, "x-future": {"a": [1.5, None]}},
    }
    pointer = handmade.put(blobs, json.dumps(config, indent=3).encode(), oci.DOCKER_CONFIG)
    layer_pointer = handmade.put(blobs, layer, "application/vnd.docker.image.rootfs.diff.tar.gzip")
    manifest = {
        "schemaVersion": 2,
        "mediaType": oci.DOCKER_MANIFEST,
        "x-future": True,
        "config": {"mediaType": pointer.media_type, "size": pointer.size, "digest": pointer.digest, "x": 1},
        "layers": [
            {
                "mediaType": layer_pointer.media_type,
                "size": layer_pointer.size,
                "digest": layer_pointer.digest,
            }
        ],
    }
    return Image(handmade.put(blobs, json.dumps(manifest, indent=1).encode(), oci.DOCKER_MANIFEST), blobs)


IMAGES["docker's, with unknown fields"] = foreign()


class Place:
    """A place under test: write an image into it and give back what it then holds."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.folder = folder

    def keep(self, image: Image) -> Image:
        if self.kind == "store":
            home = Home(self.folder / "home")
            for descriptor in contents(image):
                with home.blobs.writer() as writer, image.blobs.open(descriptor.digest) as source:
                    writer.write(source.read())
                    writer.commit(descriptor.digest)
            home.close()
            return Image(image.root, home.blobs)
        path = self.folder / "place"
        locations.write(image, f"{self.kind}:{path}", version="1.0")
        return layout.read(path) if self.kind == "oci" else layout_archive.read(path)

    def empty(self) -> BlobSource:
        if self.kind == "store":
            return Home(self.folder / "home").blobs
        return (
            layout.LayoutBlobs(self.folder)
            if self.kind == "oci"
            else layout_archive.ArchiveBlobs(Members({}, {}, self.folder), self.folder)
        )


@pytest.fixture(params=["store", "oci", "oci-archive"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    return Place(request.param, tmp_path)


def everything(image: Image) -> dict[str, bytes]:
    found = {}
    for descriptor in contents(image):
        with image.blobs.open(descriptor.digest) as source:
            found[descriptor.digest] = source.read()
    return found


@pytest.mark.parametrize("name", IMAGES)
def test_what_goes_in_comes_out(place: Place, name: str) -> None:
    image = IMAGES[name]
    kept = place.keep(image)
    assert (kept.root.digest, kept.root.size, kept.root.media_type) == (
        image.root.digest,
        image.root.size,
        image.root.media_type,
    )
    assert everything(kept) == everything(image)


def test_it_can_be_read_again_and_in_pieces(place: Place) -> None:
    kept = place.keep(SMALL)
    largest = max(contents(kept), key=lambda descriptor: descriptor.size)
    for _ in range(2):
        with kept.blobs.open(largest.digest) as source:
            pieces = [source.read(100)]
            while pieces[-1]:
                pieces.append(source.read(100))
        assert digest.of(b"".join(pieces)) == largest.digest
        assert all(len(piece) == 100 for piece in pieces[:-2])


def test_what_is_not_there_is_an_error_of_ours(place: Place) -> None:
    with pytest.raises(PumiceError):
        place.empty().open("sha256:" + "0" * 64)


@pytest.mark.parametrize(
    "name", ["sha256:../../../etc/passwd", "sha512:" + "0" * 128, "", "sha256:" + "A" * 64]
)
def test_what_is_no_digest_is_an_error_of_ours(place: Place, name: str) -> None:
    with pytest.raises(PumiceError):
        place.empty().open(name)


def test_from_place_to_place_nothing_changes(tmp_path: Path) -> None:
    image = IMAGES["two platforms"]
    for step, kind in enumerate(["oci", "oci-archive", "store", "oci-archive", "oci"]):
        folder = tmp_path / str(step)
        folder.mkdir()
        image = Place(kind, folder).keep(image)
    assert everything(image) == everything(IMAGES["two platforms"])


# Places that are written only: what they show is what the layers amount to.


def shown(archive: bytes) -> dict[str, tuple[int, bytes | str]]:
    found: dict[str, tuple[int, bytes | str]] = {}
    for entry, body in tar.read_entries(io.BytesIO(archive)):
        if entry.kind == "hardlink":
            found[entry.path] = found[entry.link]
        elif entry.kind == "symlink":
            found[entry.path] = (0, entry.link)
        else:
            found[entry.path] = (entry.mode, body.read())
    return found


def applied(layers: list[bytes]) -> dict[str, tuple[int, bytes | str]]:
    """What layers amount to, done the naive way; no image here replaces a directory by something else."""
    tree: dict[str, tuple[int, bytes | str]] = {"": (0o755, b"")}
    for layer in layers:
        new = shown(layer)
        for path in new:
            name = path.rpartition("/")[2]
            if name.startswith(".wh."):
                tree.pop(path.replace(".wh.", ""), None)
        tree |= {path: item for path, item in new.items() if ".wh." not in path}
    return tree


ONE_PLATFORM = [name for name in IMAGES if name != "two platforms"]


@pytest.mark.parametrize("name", ONE_PLATFORM)
def test_a_flat_tar_shows_the_layers_merged(tmp_path: Path, name: str) -> None:
    locations.write(IMAGES[name], f"tar:{tmp_path}/t")
    assert shown((tmp_path / "t").read_bytes()) == applied(_layers(IMAGES[name]))


@pytest.mark.parametrize("name", ONE_PLATFORM)
def test_a_folder_shows_the_layers_merged(tmp_path: Path, name: str) -> None:
    locations.write(IMAGES[name], f"dir:{tmp_path}/d")
    found: dict[str, tuple[int, bytes | str]] = {"": (0o755, b"")}
    for path in (tmp_path / "d").rglob("*"):
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            found[str(path.relative_to(tmp_path / "d"))] = (0, str(path.readlink()))
        else:
            content = path.read_bytes() if path.is_file() else b""
            found[str(path.relative_to(tmp_path / "d"))] = (status.st_mode & 0o1777, content)
    expected = applied(_layers(IMAGES[name]))
    # Set-ID bits need their owner, which not everybody can set.
    assert found == {path: (mode & 0o1777, what) for path, (mode, what) in expected.items()}


@pytest.mark.parametrize("name", ONE_PLATFORM)
def test_a_docker_archive_has_the_same_config_and_layers(tmp_path: Path, name: str) -> None:
    image = IMAGES[name]
    locations.write(image, f"docker-archive:{tmp_path}/d", name="x", version="1")
    with tarfile.open(tmp_path / "d") as archive:
        members = {info.name: archive.extractfile(info).read() for info in archive}  # type: ignore[union-attr]
    (listed,) = json.loads(members["manifest.json"])
    assert digest.of(members[listed["Config"]]) == image.manifest().config.digest
    tars = [members[name] for name in listed["Layers"]]
    tars = [gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data for data in tars]
    assert [digest.of(data) for data in tars] == [layer.diff_id for layer in image.layers()]


def _layers(image: Image) -> list[bytes]:
    tars = []
    for layer in image.layers():
        with layer.open() as stream:
            tars.append(stream.read(1 << 30))
    return tars


@pytest.mark.parametrize("kind", ["oci", "oci-archive", "docker-archive", "tar", "dir"])
def test_every_place_refuses_what_is_no_image(tmp_path: Path, kind: str) -> None:
    blobs = handmade.MemoryBlobs()
    root = handmade.put(blobs, b'{"schemaVersion":2}', oci.MANIFEST)
    with pytest.raises(PumiceError):
        locations.write(Image(root, blobs), f"{kind}:{tmp_path}/x", name="x", version="1")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["docker-archive", "tar", "dir"])
def test_places_for_one_platform_refuse_two(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ImageError, match="holds one platform"):
        locations.write(IMAGES["two platforms"], f"{kind}:{tmp_path}/x", name="x")
    assert list(tmp_path.iterdir()) == []
