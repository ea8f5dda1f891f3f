"""Downloads files from peers, where a web server has torrents of them: ``FILE`` and ``FILE.torrent``."""

from __future__ import annotations

import os
import tempfile
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pumice.errors import FetchError, PumiceError
from pumice.formats import torrent
from pumice.registry import headers
from pumice.swarm.session import SwarmSession, has_library, require_library, trusted_trackers

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from pumice.progress import Progress
    from pumice.registry.message import Header, Response

    OpenUrl = Callable[[str, tuple[Header, ...]], Response]
    """Sends a request for a URL with headers; the body is not read yet."""

SUFFIX = ".torrent"
MIN_SIZE = 1 << 20
"""Bytes of the smallest file that is downloaded from peers."""

_CHUNK = 1 << 18


@contextmanager
def open_peers(directory: Path, progress: Progress) -> Iterator[FilePeers | None]:
    """Give what downloads files from peers, None without libtorrent; ``directory`` gets temporary files.

    What was downloaded is offered to others until the context ends.
    """
    if not has_library():
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="peers-", dir=directory, ignore_cleanup_errors=True) as scratch:
        peers = FilePeers(Path(scratch), progress)
        try:
            yield peers
        finally:
            peers.close()


class FilePeers:
    """Takes part in the swarms of the files that it downloads."""

    def __init__(self, directory: Path, progress: Progress) -> None:
        self._directory = directory
        self._progress = progress
        self._session: SwarmSession | None = None

    def download(self, open_url: OpenUrl, url: str, size: int, target: Path) -> bool:
        """Download the file of ``size`` bytes at a URL to ``target``; return False if peers cannot help.

        The content is that of the server's torrent; the caller verifies the signature.
        """
        if size < MIN_SIZE:
            return False
        try:
            data = _read_torrent(open_url, url)
            parsed = torrent.read_torrent(data) if data else None
            if data is None or parsed is None or parsed.size != size:
                return False
            if self._session is None:
                self._session = SwarmSession(require_library())
            trackers = trusted_trackers(parsed.trackers, urlsplit(url).hostname)
            folder = Path(tempfile.mkdtemp(dir=self._directory))
            path = self._session.download(
                parsed,
                data,
                folder,
                trackers,
                lambda start, length: _read_range(open_url, url, start, length),
            )
            target.unlink(missing_ok=True)
            os.link(path, target)
        except (PumiceError, OSError) as error:
            self._progress.note(f"cannot download from peers: {error}")
            return False
        return True

    def close(self) -> None:
        """Leave the swarms."""
        if self._session is not None:
            self._session.close()


def _read_torrent(open_url: OpenUrl, url: str) -> bytes | None:
    """Return the torrent of a file, None if the server has none."""
    parts = urlsplit(url)
    response = open_url(parts._replace(path=parts.path + SUFFIX).geturl(), ())
    with closing(response.stream) as stream:
        if response.status != 200:
            return None
        data = b""
        while len(data) <= torrent.MAX_SIZE and (chunk := stream.read(_CHUNK)):
            data += chunk
    return data


def _read_range(open_url: OpenUrl, url: str, start: int, length: int) -> Generator[bytes, None, None]:
    response = open_url(url, (("Range", f"bytes={start}-{start + length - 1}"),))
    with closing(response.stream) as stream:
        content_range = headers.parse_content_range(response.header("Content-Range"))
        is_range = response.status == 206 and content_range is not None and content_range[0] == start
        if not is_range and not (response.status == 200 and not start):
            raise FetchError("the server does not send parts of files", where=url)
        while length > 0 and (data := stream.read(min(length, _CHUNK))):
            yield data
            length -= len(data)
    if length:
        raise FetchError("the connection was closed unexpectedly", where=url)
