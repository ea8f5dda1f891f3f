"""Images that are converted while they are downloaded."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from pumice import digest
from pumice.discovery.stream_conversion import ConvertedAci, StreamConversion
from pumice.errors import FormatError
from pumice.image import aci_reader
from pumice.progress import Silent
from pumice.registry.message import Request, Response
from pumice.store.home import Home
from tests.support.handmade import file, folder
from tests.support.publishers import write_image
from tests.unit.discovery.test_download import URL, Server, download


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home(tmp_path / "store") as home:
        yield home


def make_image(path: Path, seed: int) -> bytes:
    """Return an image with files of 700 kB that cannot be compressed."""
    content = random.Random(seed).randbytes
    write_image(
        path,
        "example.com/a",
        "1.0",
        items=[folder("f"), *(file(f"f/{n}", content(70000)) for n in range(10))],
    )
    return path.read_bytes()


def convert(server: Server, home: Home, conversion: StreamConversion) -> ConvertedAci:
    downloaded = download(server, home, growing=conversion.file).run(None, lambda: 0.0)
    return conversion.finish(downloaded.path)


def test_the_layer_is_what_reading_the_complete_file_gives(tmp_path: Path, home: Home) -> None:
    server = Server(piece=100_000)
    server.content = make_image(tmp_path / "a.aci", 1)
    with StreamConversion(home, URL) as conversion:
        converted = convert(server, home, conversion)
        read = aci_reader.read_aci(tmp_path / "a.aci", Silent())
        assert converted.validated == read.validated
        assert converted.layer.diff_id == read.layer.diff_id
        with converted.layer.open() as layer:
            assert digest.of(layer.read()) == converted.layer.descriptor.digest


def test_the_store_has_the_layer_only_after_it_is_committed(tmp_path: Path, home: Home) -> None:
    server = Server(piece=1 << 30)
    server.content = make_image(tmp_path / "a.aci", 1)
    with StreamConversion(home, URL) as conversion:
        layer = convert(server, home, conversion).layer
        assert list(home.blobs.digests()) == []
        layer.commit()
        assert list(home.blobs.digests()) == [layer.descriptor.digest]
        assert len(list(layer.entries())) == 12
    with StreamConversion(home, URL) as conversion:
        convert(server, home, conversion)
    assert (
        sorted(
            path.name for path in home.directory("tmp").iterdir() if path.suffix not in (".part", ".state")
        )
        == []
    )


def test_a_file_that_changes_meanwhile_is_converted_from_its_beginning(tmp_path: Path, home: Home) -> None:
    first, second = make_image(tmp_path / "a.aci", 1), make_image(tmp_path / "b.aci", 2)

    server = Server(piece=200_000)
    server.content = first
    with StreamConversion(home, URL) as conversion:
        partial = download(server, home, growing=conversion.file)
        requests = iter(range(100))

        def sleep(_: float) -> None:
            if next(requests) == 0:
                server.content, server.etag = second, '"2"'

        partial._web.sleep = sleep
        converted = conversion.finish(partial.run(None, lambda: 0.0).path)
        read = aci_reader.read_aci(tmp_path / "b.aci", Silent())
        assert converted.validated.image_id == read.validated.image_id
        assert converted.layer.diff_id == read.layer.diff_id


class EndlessServer(Server):
    """Sends zeros without an end."""

    def send(self, request: Request) -> Response:
        return Response(200, (), Zeros(), peer="127.0.0.1")


class Zeros:
    def read(self, size: int, /) -> bytes:
        return bytes(size)

    def close(self) -> None:
        pass


def test_what_is_not_an_image_is_not_downloaded_to_its_end(home: Home) -> None:
    with StreamConversion(home, URL) as conversion, pytest.raises(FormatError, match="tar archive") as caught:
        convert(EndlessServer(piece=1), home, conversion)
    assert caught.value.where == URL


def test_a_download_that_fails_ends_the_conversion(home: Home) -> None:
    with StreamConversion(home, URL) as conversion:
        pass
    assert conversion.file.is_stale
