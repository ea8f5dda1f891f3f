"""Downloads that continue where they broke off."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pumice.discovery.download import MAX_IMAGE, Download, MissingFileError
from pumice.discovery.growing_file import GrowingFile
from pumice.discovery.page_cache import Freshness
from pumice.discovery.web import Web
from pumice.errors import FetchError, FormatError
from pumice.progress import Silent
from pumice.registry.credentials import Anonymous
from pumice.registry.message import Request, Response, TransportError
from pumice.registry.retry import RetryPolicy
from pumice.store.home import Home

if TYPE_CHECKING:
    from pumice.discovery.download import PeerDownload

URL = "https://example.com/image.aci"
CONTENT = bytes(range(256)) * 40


class Cut(io.BytesIO):
    """A body whose connection breaks at its end."""

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        if not data:
            raise TransportError("the connection was closed unexpectedly")
        return data


class Server:
    """A file that is sent in pieces; ``content`` and ``etag`` may change at any time."""

    def __init__(self, piece: int, *, etag: str = '"1"', ranges: bool = True) -> None:
        self.content = CONTENT
        self.etag = etag
        self.ranges = ranges
        self.piece = piece
        self.requests: list[dict[str, str]] = []

    def send(self, request: Request) -> Response:
        headers = dict(request.headers)
        self.requests.append(headers)
        tags = (("ETag", self.etag),) if self.etag else ()
        if self.etag and headers.get("If-None-Match") == self.etag:
            return Response(304, tags)
        start = 0
        if self.ranges and headers.get("If-Range") == self.etag and "Range" in headers:
            start = int(headers["Range"][6:-1])
        rest = self.content[start:]
        body = io.BytesIO(rest) if len(rest) <= self.piece else Cut(rest[: self.piece])
        status = 206 if start else 200
        total = len(self.content)
        length = ("Content-Length", str(len(rest)))
        ranges = (("Content-Range", f"bytes {start}-{total - 1}/{total}"),) if start else ()
        return Response(status, (*tags, length, *ranges), body, peer="127.0.0.1")

    def close(self) -> None:
        pass


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home(tmp_path / "store") as home:
        yield home


def download(
    server: Server,
    home: Home,
    *,
    limit: int = MAX_IMAGE,
    growing: GrowingFile | None = None,
    peers: PeerDownload | None = None,
) -> Download:
    web = Web(server, Anonymous(), sleep=lambda _: None, policy=RetryPolicy(attempts=3, initial_delay=0.1))
    return Download(web, URL, home, Silent(), limit=limit, growing=growing, peers=peers)


def fetch(server: Server, home: Home, known: Freshness | None = None) -> bytes:
    result = download(server, home).run(known, lambda: 0.0)
    assert result.size == len(server.content)
    return result.path.read_bytes()


def test_a_file_that_arrives_in_pieces_is_continued(home: Home) -> None:
    server = Server(3000)
    assert fetch(server, home) == CONTENT
    assert [headers.get("Range", "") for headers in server.requests] == [
        "",
        "bytes=3000-",
        "bytes=6000-",
        "bytes=9000-",
    ]


def test_another_command_continues_a_download(home: Home) -> None:
    server = Server(1)
    server.piece = 5000
    with pytest.raises(FetchError):
        download(_Once(server), home).run(None, lambda: 0.0)
    server.piece = 1 << 20
    assert fetch(server, home) == CONTENT
    assert server.requests[-1]["Range"] == "bytes=5000-"


class _Once(Server):
    """A server that goes away after its first response."""

    def __init__(self, server: Server) -> None:
        super().__init__(server.piece)
        self._server = server

    def send(self, request: Request) -> Response:
        if self.requests:
            raise TransportError("cannot connect")
        self.requests.append({})
        return self._server.send(request)


def test_a_complete_download_that_nobody_took_is_confirmed_with_one_byte(home: Home) -> None:
    server = Server(1 << 20)
    fetch(server, home)
    assert fetch(server, home) == CONTENT
    assert server.requests[-1]["Range"] == f"bytes={len(CONTENT) - 1}-"


def test_a_file_that_changes_meanwhile_begins_again(home: Home) -> None:
    server = Server(5000)
    with pytest.raises(FetchError):
        download(_Once(server), home).run(None, lambda: 0.0)
    server.content, server.etag, server.piece = b"other" * 2000, '"2"', 1 << 20
    assert fetch(server, home) == b"other" * 2000


@pytest.mark.parametrize("etag", ["", 'W/"1"'])
def test_without_a_strong_validator_nothing_is_continued(home: Home, etag: str) -> None:
    server = Server(5000, etag=etag)
    with pytest.raises(FetchError):
        download(server, home).run(None, lambda: 0.0)
    assert not any("Range" in headers for headers in server.requests)


def test_a_server_without_ranges_sends_everything_again(home: Home) -> None:
    server = Server(5000, ranges=False)
    with pytest.raises(FetchError):
        download(server, home).run(None, lambda: 0.0)
    server.piece = 1 << 20
    assert fetch(server, home) == CONTENT


def test_an_unchanged_file_is_not_sent(home: Home) -> None:
    server = Server(1 << 20)
    result = download(server, home).run(Freshness(etag='"1"'), lambda: 0.0)
    assert result.is_unchanged
    assert not result.path.exists()


def test_a_file_over_the_limit_is_refused_and_removed(home: Home) -> None:
    for server in (Server(1 << 20), Server(3000)):
        limited = download(server, home, limit=5000)
        with pytest.raises(FormatError, match="larger than 5000 bytes"):
            limited.run(None, lambda: 0.0)
        assert not limited.path.exists()


def test_a_file_that_is_not_there_is_an_error(home: Home) -> None:
    class Missing(Server):
        def send(self, request: Request) -> Response:
            return Response(404)

    with pytest.raises(MissingFileError, match="404 Not Found"):
        download(Missing(1), home).run(None, lambda: 0.0)


@pytest.mark.parametrize("is_linked", [True, False])
def test_nothing_read_before_peers_replaced_the_file_counts(
    home: Home, tmp_path: Path, *, is_linked: bool
) -> None:
    """A server could else send one image to be converted, and another one to be verified."""
    server = Server(5000)
    file = GrowingFile()
    sizes: list[int] = []

    def ask_peers(_open: object, _url: str, _size: int, path: Path) -> bool:
        sizes.append(path.stat().st_size if path.exists() else 0)
        if len(sizes) == 1:  # the first response is read before there is a torrent
            server.etag = '"2"'
            return False
        if is_linked:
            path.unlink()
            (tmp_path / "other").write_bytes(b"x" * len(CONTENT))
            os.link(tmp_path / "other", path)
        else:
            path.write_bytes(b"x" * len(CONTENT))
        return True

    result = download(server, home, growing=file, peers=ask_peers).run(None, lambda: 0.0)
    assert result.path.read_bytes() == b"x" * len(CONTENT)
    assert sizes == [0, 5000]
    assert file.is_stale
    file.close()
