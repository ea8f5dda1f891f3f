"""What every location promises: an image that is written to it is read back the same.

The tests run for every row of the table of transports, so a new row is tested without a new line here.
"""

from __future__ import annotations

import gzip
import inspect
import io
import json
import stat
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from pumice import digest
from pumice.errors import ImageError, PumiceError, UsageError
from pumice.formats import oci, tar
from pumice.image.model import Image, list_blobs
from pumice.image.transports.locations import (
    TRANSPORTS,
    Location,
    OutgoingImage,
    Transport,
)
from pumice.image.transports.references import parse_destination, parse_source
from pumice.registry import Client
from pumice.store.home import Home
from tests.support import handmade, registry, transfers
from tests.support import locations as support
from tests.support.docs import ROOT
from tests.support.handmade import AMD64, ARM64, ImageContents, file

SMALL = handmade.image(handmade.small())
IMAGES = {
    "two layers": SMALL,
    "no layers": handmade.image(ImageContents([])),
    "a layer twice": handmade.image(ImageContents([[file("a")], [file("b")], [file("a")]])),
    "zstd": handmade.image(ImageContents([[file("a")]], compression="zstd")),
    "plain": handmade.image(ImageContents([[file("a", b"x" * 5000)]], compression="plain")),
    "two platforms": handmade.index(
        {AMD64: ImageContents([[file("amd")]]), ARM64: ImageContents([[file("arm")]])}
    ),
    "large": handmade.image(ImageContents([[file("a", handmade.random_bytes(3_000_000, "a"))]])),
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


class Workplace:
    """A location of each kind, in a new store, directory and registry."""

    def __init__(self, directory: Path, host: str) -> None:
        self.home = Home(directory / "home")
        self._directory = directory
        self._host = host
        self._client = Client(settings=transfers.QUICK)
        self.access = support.access(self.home, lambda: self._client)

    def close(self) -> None:
        self._client.close()
        self.home.close()

    def location(self, transport: Transport) -> str:
        """Return a location, without a tag, that does not exist yet."""
        if transport.is_registry:
            return f"{transport.scheme}{self._host}/example/image"
        if transport.is_store:
            return f"{transport.scheme}example.com/image"
        return f"{transport.scheme}{self._directory}/{transport.name}"

    def write(self, image: Image, transport: Transport) -> None:
        outgoing = OutgoingImage(image=image, name="example.com/image", version="1.0")
        parse_destination(self.location(transport)).write(outgoing, self.access)

    def read(self, transport: Transport) -> Image:
        version = ":1.0" if transport.is_registry else ""
        return parse_source(self.location(transport) + version).open(self.access).image

    def keep(self, image: Image, transport: Transport) -> Image:
        self.write(image, transport)
        return self.read(transport)

    def files(self) -> list[str]:
        """Return what is in the directory, without the store."""
        return [path.name for path in self._directory.iterdir() if path.name != "home"]


@pytest.fixture
def workplace(tmp_path: Path) -> Iterator[Workplace]:
    with registry.serving(registry.Registry()) as host:
        new_workplace = Workplace(tmp_path, host)
        yield new_workplace
        new_workplace.close()


def for_transports(transports: Iterable[Transport]) -> pytest.MarkDecorator:
    rows = list(transports)
    return pytest.mark.parametrize("transport", rows, ids=[transport.name for transport in rows])


READABLE = [transport for transport in TRANSPORTS if transport.is_readable]
UNCHANGED = [transport for transport in READABLE if not transport.is_converted]
WHOLE = [transport for transport in READABLE if not transport.has_one_platform]


def test_a_location_has_at_most_five_methods() -> None:
    methods = {name for name, value in vars(Location).items() if inspect.isfunction(value) and name[0] != "_"}
    assert methods == {"open", "check", "write", "attach", "describe"}


@for_transports(TRANSPORTS)
def test_every_location_has_these_methods_and_no_other(workplace: Workplace, transport: Transport) -> None:
    location = parse_destination(workplace.location(transport))
    public = {name for name in dir(location) if not name.startswith("_")}
    assert public == {"address", "open", "check", "write", "attach", "describe"}


@for_transports(TRANSPORTS)
def test_every_location_describes_itself_as_a_location(workplace: Workplace, transport: Transport) -> None:
    location = parse_destination(workplace.location(transport))
    text = location.describe("1.0").text
    assert parse_destination(text).describe("1.0").text == text
    assert parse_destination(text).address.transport == transport


@for_transports(TRANSPORTS)
def test_every_location_is_documented(transport: Transport) -> None:
    page = (ROOT / "docs" / "reference" / "destinations.md").read_text()
    assert f"`{transport.syntax}`" in page


@for_transports(transport for transport in TRANSPORTS if not transport.is_readable)
def test_a_location_that_is_only_written_is_not_a_source(workplace: Workplace, transport: Transport) -> None:
    with pytest.raises(UsageError, match=f"cannot read an image from {transport.scheme}"):
        parse_source(workplace.location(transport))


@for_transports(TRANSPORTS)
def test_check_accepts_what_write_accepts(workplace: Workplace, transport: Transport) -> None:
    location = parse_destination(workplace.location(transport))
    location.check("example.com/image", "1.0")
    workplace.write(SMALL, transport)


@for_transports(UNCHANGED)
def test_config_and_layers_stay_the_same(workplace: Workplace, transport: Transport) -> None:
    kept_image = workplace.keep(SMALL, transport)
    assert kept_image.manifest().config.digest == SMALL.manifest().config.digest
    assert [layer.diff_id for layer in kept_image.layers()] == [layer.diff_id for layer in SMALL.layers()]


@for_transports(READABLE)
def test_a_referrer_is_found_or_attaching_is_refused(workplace: Workplace, transport: Transport) -> None:
    kept_image = workplace.keep(SMALL, transport)
    location = parse_source(workplace.location(transport) + (":1.0" if transport.is_registry else ""))
    if transport.is_file:
        with pytest.raises(UsageError, match="cannot add to an archive"):
            location.attach(kept_image, workplace.access)
        return
    attachment = location.attach(kept_image, workplace.access)
    layer = attachment.put(b"document", "text/plain")
    attachment.put(b"{}", oci.EMPTY)
    manifest = oci.make_artifact(kept_image.root, "text/plain", layer, annotations={})
    referrer = attachment.put(oci.encode_document(manifest), oci.MANIFEST)
    attachment.change(kept_image.root.digest, [referrer], [])
    attachment.finish()
    assert [descriptor.digest for descriptor in workplace.read(transport).referrers()] == [referrer.digest]


def everything(image: Image) -> dict[str, bytes]:
    blobs = {}
    for descriptor in list_blobs(image):
        with image.blobs.open(descriptor.digest) as source:
            blobs[descriptor.digest] = source.read()
    return blobs


@pytest.mark.parametrize("name", IMAGES)
@for_transports(WHOLE)
def test_every_blob_stays_the_same(workplace: Workplace, transport: Transport, name: str) -> None:
    image = IMAGES[name]
    kept_image = workplace.keep(image, transport)
    assert (kept_image.root.digest, kept_image.root.size, kept_image.root.media_type) == (
        image.root.digest,
        image.root.size,
        image.root.media_type,
    )
    assert everything(kept_image) == everything(image)


@for_transports(WHOLE)
def test_blobs_can_be_read_again_and_in_pieces(workplace: Workplace, transport: Transport) -> None:
    kept_image = workplace.keep(SMALL, transport)
    largest = max(list_blobs(kept_image), key=lambda descriptor: descriptor.size)
    for _ in range(2):
        with kept_image.blobs.open(largest.digest) as source:
            chunks = [source.read(100)]
            while chunks[-1]:
                chunks.append(source.read(100))
        assert digest.of(b"".join(chunks)) == largest.digest
        assert all(len(chunk) == 100 for chunk in chunks[:-2])


@pytest.mark.parametrize(
    "name",
    [
        "sha256:" + "0" * 64,
        "sha256:../../../etc/passwd",
        "sha512:" + "0" * 128,
        "",
        "sha256:" + "A" * 64,
    ],
)
@for_transports(READABLE)
def test_a_missing_blob_and_an_invalid_digest_are_pumice_errors(
    workplace: Workplace, transport: Transport, name: str
) -> None:
    kept_image = workplace.keep(SMALL, transport)
    with pytest.raises(PumiceError):
        kept_image.blobs.open(name).read()


@for_transports(READABLE)
def test_a_missing_image_is_a_pumice_error(workplace: Workplace, transport: Transport) -> None:
    with pytest.raises(PumiceError):
        workplace.read(transport)


def test_nothing_changes_on_the_way_through_all_locations(workplace: Workplace) -> None:
    image = IMAGES["two platforms"]
    for transport in WHOLE:
        image = workplace.keep(image, transport)
    assert everything(image) == everything(IMAGES["two platforms"])


# Locations that are only written hold what the layers merge to.


def archive_contents(archive: bytes) -> dict[str, tuple[int, bytes | str]]:
    files: dict[str, tuple[int, bytes | str]] = {}
    for entry, body in tar.read_entries(io.BytesIO(archive)):
        if entry.kind == "hardlink":
            files[entry.path] = files[entry.link]
        elif entry.kind == "symlink":
            files[entry.path] = (0, entry.link)
        else:
            files[entry.path] = (entry.mode, body.read())
    return files


def applied(layers: list[bytes]) -> dict[str, tuple[int, bytes | str]]:
    """Return the merged layers, by a simple algorithm; no image here replaces a directory by another type."""
    tree: dict[str, tuple[int, bytes | str]] = {"": (0o755, b"")}
    for layer in layers:
        new = archive_contents(layer)
        for path in new:
            name = path.rpartition("/")[2]
            if name.startswith(".wh."):
                tree.pop(path.replace(".wh.", ""), None)
        tree |= {path: item for path, item in new.items() if ".wh." not in path}
    return tree


ONE_PLATFORM = [name for name in IMAGES if name != "two platforms"]


@pytest.mark.parametrize("name", ONE_PLATFORM)
def test_a_flat_tar_shows_the_layers_merged(tmp_path: Path, name: str) -> None:
    support.write(IMAGES[name], f"tar:{tmp_path}/t")
    assert archive_contents((tmp_path / "t").read_bytes()) == applied(_layers(IMAGES[name]))


@pytest.mark.parametrize("name", ONE_PLATFORM)
def test_a_folder_shows_the_layers_merged(tmp_path: Path, name: str) -> None:
    support.write(IMAGES[name], f"dir:{tmp_path}/d")
    folder_contents: dict[str, tuple[int, bytes | str]] = {"": (0o755, b"")}
    for path in (tmp_path / "d").rglob("*"):
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            folder_contents[str(path.relative_to(tmp_path / "d"))] = (0, str(path.readlink()))
        else:
            content = path.read_bytes() if path.is_file() else b""
            folder_contents[str(path.relative_to(tmp_path / "d"))] = (status.st_mode & 0o1777, content)
    expected = applied(_layers(IMAGES[name]))
    # An ordinary user cannot set the owner, so set-ID bits are lost.
    assert folder_contents == {
        path: (mode & 0o1777, expected_content) for path, (mode, expected_content) in expected.items()
    }


@pytest.mark.parametrize("name", ONE_PLATFORM)
def test_a_docker_archive_has_the_same_config_and_layers(tmp_path: Path, name: str) -> None:
    image = IMAGES[name]
    support.write(image, f"docker-archive:{tmp_path}/d", name="x", version="1")
    with tarfile.open(tmp_path / "d") as archive:
        members = {
            info.name: file.read() for info in archive if (file := archive.extractfile(info)) is not None
        }
    (manifest_entry,) = json.loads(members["manifest.json"])
    assert digest.of(members[manifest_entry["Config"]]) == image.manifest().config.digest
    tars = [members[name] for name in manifest_entry["Layers"]]
    tars = [gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data for data in tars]
    assert [digest.of(data) for data in tars] == [layer.diff_id for layer in image.layers()]


def _layers(image: Image) -> list[bytes]:
    tars = []
    for layer in image.layers():
        with layer.open() as stream:
            tars.append(stream.read(1 << 30))
    return tars


@for_transports(TRANSPORTS)
def test_a_manifest_that_is_not_an_image_leaves_no_file(workplace: Workplace, transport: Transport) -> None:
    blobs = handmade.MemoryBlobs()
    root = handmade.put(blobs, b'{"schemaVersion":2,"config":7}', oci.MANIFEST)
    with pytest.raises(PumiceError):
        workplace.write(Image(root, blobs), transport)
    assert workplace.files() == []


@for_transports(transport for transport in TRANSPORTS if transport.has_one_platform)
def test_locations_of_one_platform_refuse_two(workplace: Workplace, transport: Transport) -> None:
    with pytest.raises(ImageError, match="holds one platform"):
        workplace.write(IMAGES["two platforms"], transport)
    assert workplace.files() == []
