"""Downloads and seeds torrents with libtorrent (extra ``p2p``).

DHT, local discovery, UPnP, NAT-PMP and WebTorrent are off: a session talks to the trackers that it is given
and to the peers that these name. Web seeds in a torrent are ignored. libtorrent would fetch everything from
them in each downloader; `origin_policy` fetches only what peers do not have.
"""

from __future__ import annotations

import importlib.util
import random
import socket
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pumice import installation
from pumice.errors import FetchError, PumiceError, UsageError
from pumice.swarm.origin_policy import OriginPolicy, SwarmState
from pumice.swarm.private_addresses import find_private_address
from pumice.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Sequence
    from pathlib import Path
    from types import ModuleType

    from pumice.formats.torrent import Torrent

    ReadRange = Callable[[int, int], Generator[bytes, None, None]]
    """Returns the bytes of the origin from a position on, of a length, in chunks; raises PumiceError."""

_TICK = 0.1
_PATIENCE = 60.0
"""Seconds without any progress after which a download is given up."""
_VERIFICATION = 3.0
"""Seconds for the verification of a piece of the origin; then it is fetched again."""
_MAX_REJECTED = 8
"""Pieces of the origin that may not fit the torrent: blocks of a bad peer can spoil a few."""
_TCP_ONLY = 3.0
"""Seconds after which uTP is used too if peers cannot be reached: only with it are NATs crossed."""
_ORIGIN_PAUSE = 3.0
"""Seconds for which an origin that failed is left alone."""


def load_library() -> ModuleType | None:
    """Return libtorrent, None if it is not installed."""
    try:
        import libtorrent
    except ImportError:
        return None
    library: ModuleType = libtorrent
    return library


def has_library() -> bool:
    """Return whether libtorrent is installed, without loading it, which takes as long as a request."""
    return importlib.util.find_spec("libtorrent") is not None


def require_library() -> ModuleType:
    """Return libtorrent; raises UsageError if it is not installed."""
    library = load_library()
    if library is None:
        raise UsageError(
            "cannot share images: the Python package libtorrent is not installed", hint=installation_hint()
        )
    return library


def installation_hint() -> str:
    """Return how to install what peers need."""
    return f"install it: {installation.command_for_extra('p2p')}"


def trusted_trackers(urls: Sequence[str], host: str | None) -> list[str]:
    """Return the trackers on the host that a torrent came from: it must not send our requests elsewhere."""
    return [url for url in urls if _is_on_host(url, host)]


def _is_on_host(url: str, host: str | None) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and parts.hostname == host


def _find_free_port() -> int:
    """Return a port that is free now; if it is taken meanwhile, libtorrent uses one of the next ports."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        port: int = probe.getsockname()[1]
        return port


class SwarmSession:
    """A participant of swarms. A context manager; `download` may be called from several threads."""

    def __init__(self, library: ModuleType, *, listen: str = "", announce_ip: str = "") -> None:
        """``listen`` are addresses and ports for connections of peers, by default one port of all addresses.

        libtorrent tells other peers only one port. ``announce_ip`` is for trackers, by default the address
        of this machine in its private network.
        """
        self._library = library
        port = 0 if listen else _find_free_port()
        self._session = library.session(
            {
                "enable_dht": False,
                "enable_lsd": False,
                "enable_upnp": False,
                "enable_natpmp": False,
                "webtorrent_stun_server": "",
                # Connections with uTP stand still for 20 seconds at times, even in a local network.
                "enable_outgoing_utp": False,
                "listen_interfaces": listen or f"0.0.0.0:{port},[::]:{port}",
                "announce_ip": announce_ip or find_private_address(),
                "user_agent": f"pumice/{__version__}",
                "min_announce_interval": 15,
                "announce_to_all_tiers": True,
                "announce_to_all_trackers": True,
                "allow_multiple_connections_per_ip": True,
                "min_reconnect_time": 1,
                "peer_connect_timeout": 5,
                "stop_tracker_timeout": 1,
                "alert_mask": int(library.alert_category.storage),
            }
        )

        self._closed = threading.Event()
        self._flushed: set[str] = set()
        self._alerts_lock = threading.Lock()

    def __enter__(self) -> SwarmSession:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Leave all swarms; downloads that are still running fail."""
        self._closed.set()
        for handle in self._session.get_torrents():
            handle.pause()  # tells the trackers that this peer leaves
        self._session.pause()

    @property
    def port(self) -> int:
        """The port for connections of peers."""
        return int(self._session.listen_port())

    def seed(self, data: bytes, file: Path, trackers: Sequence[str]) -> None:
        """Offer the complete file of the torrent ``data``; blocks are verified when peers ask for them."""
        parameters = self._parameters(data, file.parent, trackers)
        parameters.renamed_files = {0: file.name}
        parameters.flags |= self._library.torrent_flags.seed_mode
        self._session.add_torrent(parameters)

    def download(
        self, torrent: Torrent, data: bytes, directory: Path, trackers: Sequence[str], read_range: ReadRange
    ) -> Path:
        """Download the file of a torrent into ``directory``; return it.

        It is offered to others until the session ends. Raises FetchError if neither peers nor the origin
        make progress. The digests in the torrent are verified, and nothing else.
        """
        parameters = self._parameters(data, directory, trackers)
        parameters.renamed_files = {0: "content"}
        handle = self._session.add_torrent(parameters)
        try:
            _Download(
                handle,
                torrent,
                read_range,
                self._closed,
                has_trackers=bool(trackers),
                cross_nats=self._cross_nats,
            ).run()
            self._flush(handle)
        except BaseException:
            self._session.remove_torrent(handle)
            raise
        return directory / "content"

    def _cross_nats(self) -> None:
        """Use uTP for new connections too: with it, a peer can introduce two behind NATs (BEP 55)."""
        self._session.apply_settings({"enable_outgoing_utp": True})

    def _flush(self, handle: Any) -> None:
        """Wait until everything is written to the file: pieces are complete before that."""
        name = str(handle.info_hashes().get_best())
        handle.flush_cache()
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline:
            with self._alerts_lock:
                for alert in self._session.pop_alerts():
                    if isinstance(alert, self._library.cache_flushed_alert):
                        self._flushed.add(str(alert.handle.info_hashes().get_best()))
                if name in self._flushed:
                    return
            time.sleep(_TICK / 10)
        raise FetchError("the download was not written to the disk in time")

    def total_sent(self) -> int:
        """Return the bytes of content that peers were sent."""
        return sum(int(handle.status().total_payload_upload) for handle in self._session.get_torrents())

    def _parameters(self, data: bytes, directory: Path, trackers: Sequence[str]) -> Any:
        library = self._library
        parameters = library.add_torrent_params()
        parameters.ti = library.torrent_info(library.bdecode(data))
        parameters.save_path = str(directory)
        parameters.trackers = list(trackers)
        parameters.url_seeds = []
        flags = library.torrent_flags
        parameters.flags = (
            flags.override_trackers
            | flags.override_web_seeds
            | flags.update_subscribe
            | flags.disable_dht
            | flags.disable_lsd
        )
        return parameters


class _Download:
    """One download: asks the policy again and again, and gives libtorrent what the origin sends."""

    def __init__(
        self,
        handle: Any,
        torrent: Torrent,
        read_range: ReadRange,
        closed: threading.Event,
        *,
        has_trackers: bool,
        cross_nats: Callable[[], None],
    ) -> None:
        self._handle = handle
        self._torrent = torrent
        self._read_range = read_range
        self._closed = closed
        self._has_trackers = has_trackers
        self._cross_nats: Callable[[], None] | None = cross_nats
        self._cross_nats_at = time.monotonic() + _TCP_ONLY
        self._policy = OriginPolicy(torrent.piece_size, time.monotonic(), random.Random())  # noqa: S311 - no secret
        self._added: dict[int, float] = {}
        self._rejected = 0
        self._progress_at = time.monotonic()
        self._done = -1
        self._origin_pause = 0.0

    def run(self) -> None:
        """Return when all pieces are complete."""
        while not self._closed.is_set():
            status = self._handle.status()
            if status.errc.value():
                raise FetchError(f"cannot write the download: {status.errc.message()}")
            if status.is_seeding:
                return
            self._check_progress(status)
            self._check_connections(status)
            pieces = self._policy.choose_run(self._state(status))
            if pieces and time.monotonic() >= self._origin_pause:
                self._fetch(pieces, status.num_peers)
            else:
                self._closed.wait(_TICK)
        raise FetchError("the download was cancelled")

    def _state(self, status: Any) -> SwarmState:
        """Return what is known now. A piece that was given to libtorrent counts before it is verified."""
        has = list(status.pieces) or [False] * self._torrent.piece_count
        now = time.monotonic()
        for index, deadline in tuple(self._added.items()):
            if has[index] or now > deadline:
                del self._added[index]
                self._rejected += not has[index]
            else:
                has[index] = True
        return SwarmState(
            now=now,
            has=has,
            availability=self._handle.piece_availability(),
            peers=status.num_peers,
            received=status.total_payload_download - status.total_failed_bytes,
            is_alone=not self._has_trackers or (not status.num_peers and self._tracker_named_nobody(status)),
        )

    def _tracker_named_nobody(self, status: Any) -> bool:
        """Whether a tracker has answered, and knows no other peer."""
        return status.num_complete + status.num_incomplete in (0, 1)

    def _check_connections(self, status: Any) -> None:
        is_anybody_missing = status.list_peers > status.num_peers
        if self._cross_nats and is_anybody_missing and time.monotonic() > self._cross_nats_at:
            self._cross_nats()
            self._cross_nats = None

    def _check_progress(self, status: Any) -> None:
        now = time.monotonic()
        if status.total_done != self._done:
            self._done, self._progress_at = status.total_done, now
        if self._rejected > _MAX_REJECTED:
            raise FetchError("the torrent is for other content than the server has")
        if now - self._progress_at > _PATIENCE:
            raise FetchError("neither peers nor the origin sent anything", hint="try again with --no-peers")

    def _fetch(self, pieces: range, peers: int) -> None:
        """Fetch pieces from the origin; stop when other peers have come or left meanwhile."""
        start = pieces.start * self._torrent.piece_size
        end = min(pieces.stop * self._torrent.piece_size, self._torrent.size)
        try:
            with closing(self._read_range(start, end - start)) as chunks:
                for index, piece in zip(pieces, self._cut(chunks, pieces.start), strict=False):
                    if not self._handle.have_piece(index):
                        self._handle.add_piece(index, piece, 0)
                        self._added[index] = time.monotonic() + _VERIFICATION
                    if self._handle.status(0).num_peers != peers:
                        return
        except PumiceError:
            if not self._handle.status(0).num_peers:
                raise
            self._origin_pause = time.monotonic() + _ORIGIN_PAUSE

    def _cut(self, chunks: Iterator[bytes], first: int) -> Iterator[bytes]:
        """Yield the pieces from the piece ``first`` on."""
        pending = bytearray()
        index = first
        for chunk in chunks:
            pending += chunk
            while len(pending) >= (size := self._size_of(index)) > 0:
                yield bytes(pending[:size])
                del pending[:size]
                index += 1

    def _size_of(self, index: int) -> int:
        """Return the size of a piece in bytes; the last one is shorter, and after it there are none."""
        return max(0, min(self._torrent.piece_size, self._torrent.size - index * self._torrent.piece_size))
