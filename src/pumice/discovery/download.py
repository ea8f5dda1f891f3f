"""Resumable downloads to a file (RFC 9110, 14): a broken connection, or a killed process, costs no bytes.

What is there is only continued if the server names the same version of the file by a strong validator. The
partial file is in ``tmp`` of the store, so a collection removes what is incomplete.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice import digest, files
from pumice.decoding import decode_json
from pumice.digest import hex_of
from pumice.discovery.page_cache import Freshness, read_freshness
from pumice.discovery.protocol import describe_status
from pumice.errors import FetchError, FormatError
from pumice.os_errors import translate_os_errors
from pumice.registry import headers
from pumice.registry.errors import redact_url
from pumice.registry.message import Response, TransportError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pumice.discovery.growing_file import GrowingFile
    from pumice.discovery.web import Web
    from pumice.progress import Progress, Task
    from pumice.registry.message import Header
    from pumice.store.home import Home

    PeerDownload = Callable[[Callable[[str, tuple[Header, ...]], Response], str, int, Path], bool]
    """Downloads a URL of a size to a path with what opens URLs; returns False if it could not."""

MAX_IMAGE = 1 << 36
"""Bytes of the largest image: 64 GiB."""
_CHUNK = 1 << 18
"""Bytes to receive at once: larger buffers are new pages of memory each time."""
_MAX_CONNECTIONS = 1000
"""Connections for one file, so that a server that sends a few bytes each cannot block us forever."""


class MissingFileError(FetchError):
    """The server does not have the file."""


class Downloaded(msgspec.Struct, frozen=True):
    """A file that was downloaded, or with the status 304 has not changed. ``path`` is the caller's."""

    path: Path
    size: int = 0
    is_unchanged: bool = False
    freshness: Freshness | None = None


class _PartialState(msgspec.Struct, frozen=True):
    """What is known about a partial file; ``validator`` identifies the version of the file."""

    url: str
    validator: str
    total: int | None


class Download:
    """One download. The lock of its URL must be held: see `lock_name`."""

    def __init__(
        self,
        web: Web,
        url: str,
        home: Home,
        progress: Progress,
        *,
        limit: int = MAX_IMAGE,
        peers: PeerDownload | None = None,
        growing: GrowingFile | None = None,
    ) -> None:
        """``peers`` may download the file instead, once its size is known; ``growing`` has a reader of it."""
        base = home.directory("tmp") / f"fetch-{lock_name(url)}"
        self.path = base.with_suffix(".part")
        self._state_path = base.with_suffix(".state")
        self._web = web
        self._url = url
        self._progress = progress
        self._limit = limit
        self._peers = peers
        self._growing = growing

    def run(
        self, stored_freshness: Freshness | None, clock: Callable[[], float], label: str = ""
    ) -> Downloaded:
        """Download the file; with ``stored_freshness``, that of an older copy, 304 is an answer.

        Raises MissingFileError, FetchError, FormatError for a file over the limit, and what its reader
        failed with.
        """
        backoff = self._web.backoff()
        with self._progress.task(f"fetching {label or self._url}", None) as task:
            for _ in range(_MAX_CONNECTIONS):
                size_before = self._size()
                try:
                    return self._attempt(stored_freshness, clock, task)
                except TransportError as error:
                    if self._size() > size_before:
                        backoff.reset()
                    pause = backoff.next_pause()
                    if error.is_permanent or pause is None:
                        raise FetchError(error.message, where=error.where, hint=error.hint) from None
                    self._web.sleep(pause.seconds)
        raise FetchError("the connection was closed too often", where=redact_url(self._url))

    def discard(self) -> None:
        """Remove the file, whatever there is of it."""
        for path in (self.path, self._state_path):
            files.unlink_quietly(str(path))

    def _attempt(
        self, stored_freshness: Freshness | None, clock: Callable[[], float], task: Task
    ) -> Downloaded:
        state = self._read_state()
        start = self._size() if state is not None else 0
        if state is not None and state.total is not None and start == state.total:
            start -= 1  # complete, but nobody has said so: its last byte is asked for again
        conditions: tuple[Header, ...] = (
            stored_freshness.validators() if stored_freshness is not None and not start else ()
        )
        if start and state is not None:
            conditions = (("Range", f"bytes={start}-"), ("If-Range", state.validator))
        response = self._web.open(self._url, conditions)
        try:
            if response.status == 304 and stored_freshness is not None:
                return Downloaded(self.path, is_unchanged=True, freshness=read_freshness(response, clock()))
            if response.status == 416 and start:
                self.discard()
                raise TransportError("the server refuses to continue the download", where=self._url)
            start, total = self._find_range(response, start)
            self._check_size(total or 0)
            if self._growing is not None:
                self._growing.begin(self.path, start)
            if total and not start and self._ask_peers(total):
                return self._complete(response, total, clock)
            self._write_state(response, total)
            size = self._receive(response, start, total, task)
        finally:
            response.stream.close()
        return self._complete(response, size, clock)

    def _complete(self, response: Response, size: int, clock: Callable[[], float]) -> Downloaded:
        if self._growing is not None:
            self._growing.complete(self.path, size)
        return Downloaded(self.path, size, freshness=read_freshness(response, clock()))

    def _ask_peers(self, size: int) -> bool:
        """Return whether peers had the file, which is complete then."""
        return self._peers is not None and self._peers(self._web.open, self._url, size, self.path)

    def _find_range(self, response: Response, start: int) -> tuple[int, int | None]:
        """Return the byte that a response starts at, and the size of the file, None if it is unknown."""
        if response.status in (404, 410):
            raise MissingFileError(
                f"the server does not have the file ({describe_status(response.status)})",
                where=redact_url(self._url),
            )
        if response.status == 206 and start:
            content_range = headers.parse_content_range(response.header("Content-Range"))
            if content_range is None or content_range[0] != start:
                raise FetchError("the server sent another range than requested", where=redact_url(self._url))
            return start, content_range[1]
        if response.status == 200:
            return 0, headers.parse_number(response.header("Content-Length"))
        raise status_error(response, self._url)

    def _receive(self, response: Response, start: int, total: int | None, task: Task) -> int:
        with translate_os_errors(str(self.path)), self.path.open("r+b" if start else "wb") as file:
            file.seek(start)
            file.truncate()
            size = start
            while data := response.stream.read(_CHUNK):
                size += len(data)
                self._check_size(size)
                file.write(data)
                file.flush()
                task.advance(len(data))
                if self._growing is not None:
                    self._growing.grow(size)
        if total is not None and size != total:
            raise TransportError("the connection was closed unexpectedly", where=redact_url(self._url))
        return size

    def _check_size(self, size: int) -> None:
        if size > self._limit:
            self.discard()
            raise FormatError(f"the file is larger than {self._limit} bytes", where=redact_url(self._url))

    def _size(self) -> int:
        try:
            return self.path.stat().st_size
        except OSError:
            return 0

    def _read_state(self) -> _PartialState | None:
        try:
            state = decode_json(self._state_path.read_bytes(), _PartialState)
        except (OSError, msgspec.MsgspecError):
            return None
        return state if state.url == self._url and self._size() else None

    def _write_state(self, response: Response, total: int | None) -> None:
        etag = response.header("ETag")
        validator = etag if etag.startswith('"') else response.header("Last-Modified")
        if not validator:
            files.unlink_quietly(str(self._state_path))
            return
        state = _PartialState(self._url, validator, total)
        with translate_os_errors(str(self._state_path)):
            self._state_path.write_bytes(msgspec.json.encode(state))


def lock_name(url: str) -> str:
    """Return the name of the lock for the download of a URL."""
    return hex_of(digest.of(url.encode()))[:32]


def status_error(response: Response, url: str) -> FetchError:
    """Return the error for a status that is not a success."""
    hint = None
    if response.status == 401:
        hint = "the server asks for a login: pass --creds USER, or --authfile FILE"
    return FetchError(
        f"the server responded {describe_status(response.status)}", where=redact_url(url), hint=hint
    )
