"""Fetches the blobs of an image from other downloaders, where the image advertises torrents of them."""

from __future__ import annotations

import hashlib
import tempfile
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

from pumice import ownership
from pumice.errors import PumiceError
from pumice.image.transports.gathered_image import GatheredImage
from pumice.swarm import artifact
from pumice.swarm.session import SwarmSession, installation_hint, load_library, trusted_trackers

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from types import ModuleType

    from pumice.formats.oci import Descriptor
    from pumice.formats.torrent import Torrent
    from pumice.image.graph import CosignTags, Source
    from pumice.progress import Progress
    from pumice.registry.client import Client
    from pumice.registry.listing import Referrer
    from pumice.registry.reference import Repository


@contextmanager
def share_with_peers(
    gathered: GatheredImage, client: Client, directory: Path, progress: Progress
) -> Iterator[GatheredImage]:
    """Give an image of a registry whose blobs come from peers, if it has torrents and the extra is installed.

    What was downloaded is offered to other peers until the context ends. ``directory`` gets the temporary
    files.
    """
    torrents = artifact.find_torrents(gathered.graph)
    if not torrents or gathered.repository is None:
        yield gathered
        return
    library = load_library()
    if library is None:
        progress.note(
            f"others share the blobs of this image; to download from them too, {installation_hint()}"
        )
        yield gathered
        return
    with tempfile.TemporaryDirectory(prefix="peers-", dir=directory, ignore_cleanup_errors=True) as scratch:
        source = PeerSource(
            gathered.source, torrents, client, gathered.repository, library, Path(scratch), progress
        )
        try:
            yield GatheredImage(gathered.graph, source, gathered.repository)
        finally:
            source.close()


class PeerSource:
    """A repository whose blobs are fetched from peers where there are torrents of them."""

    def __init__(
        self,
        source: Source,
        torrents: dict[str, Descriptor],
        client: Client,
        repository: Repository,
        library: ModuleType,
        directory: Path,
        progress: Progress,
    ) -> None:
        self._source = source
        self._torrents = torrents
        self._client = client
        self._repository = repository
        self._library = library
        self._directory = directory
        self._progress = progress
        self._session: SwarmSession | None = None
        self._given_up: set[str] = set()
        """The blobs that only the registry has."""
        self._lock = threading.Lock()

    def document(self, descriptor: Descriptor) -> bytes:
        """Return a manifest or index."""
        return self._source.document(descriptor)

    def referrers(self, name: str) -> Sequence[Referrer]:
        """Return the referrers of a manifest."""
        return self._source.referrers(name)

    def cosign_tags(self, digests: Sequence[str]) -> CosignTags:
        """Return the tags of cosign."""
        return self._source.cosign_tags(digests)

    def open(self, descriptor: Descriptor) -> BinaryIO:
        """Open a blob. It is downloaded first, from peers and the registry, or else the registry alone."""
        path = self.download(descriptor)
        return self._source.open(descriptor) if path is None else path.open("rb")

    def download(self, descriptor: Descriptor) -> Path | None:
        """Return the file of a blob that has a torrent; None if only the registry can be used."""
        if descriptor.digest in self._given_up:
            return None
        path = self._try_peers(descriptor)
        if path is None:
            self._given_up.add(descriptor.digest)
        return path

    def _try_peers(self, descriptor: Descriptor) -> Path | None:
        torrent_descriptor = self._torrents.get(descriptor.digest)
        read = torrent_descriptor and artifact.read_torrent(self._source, torrent_descriptor, descriptor)
        if not read:
            return None
        try:
            path = self._download(*read, descriptor)
        except PumiceError as error:
            self._progress.note(f"cannot download from peers: {error.message}")
            return None
        if not _has_digest(path, descriptor.digest):
            self._progress.warn("a torrent of the image has other content than the image: using the registry")
            return None
        return path

    def close(self) -> None:
        """Leave the swarms; downloads that are still running fail."""
        with self._lock:
            if self._session is not None:
                self._session.close()

    def _download(self, torrent: Torrent, data: bytes, descriptor: Descriptor) -> Path:
        directory = self._directory / descriptor.digest.partition(":")[2]
        ownership.make_directory(directory, private=True)

        def read_range(start: int, length: int) -> Generator[bytes, None, None]:
            return self._client.read_blob_range(self._repository, descriptor.digest, start, length)

        trackers = trusted_trackers(torrent.trackers, urlsplit(f"//{self._repository.host}").hostname)
        return self._open_session().download(torrent, data, directory, trackers, read_range)

    def _open_session(self) -> SwarmSession:
        with self._lock:
            if self._session is None:
                self._session = SwarmSession(self._library)
            return self._session


def _has_digest(path: Path, name: str) -> bool:
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" == name
