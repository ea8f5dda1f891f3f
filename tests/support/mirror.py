"""A small HTTP server on loopback that serves a directory, with configurable faults.

with Mirror(folder) as mirror:
    mirror.fault("/dists/", Fault(status=500, times=2))
    ...fetch from mirror.url...
assert mirror.requests[0].path == "/dists/bookworm/InRelease"
"""

from __future__ import annotations

import hashlib
import threading
import time
from dataclasses import dataclass, field
from email.utils import formatdate, parsedate_to_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    import ssl


@dataclass
class Fault:
    """A fault for a path, and how often it occurs (``times`` None: always)."""

    status: int = 0
    """Respond with this status instead of the file."""
    times: int | None = None
    truncate: int | None = None
    """Announce the whole length, send this many bytes, and close the connection."""
    short: int | None = None
    """Send this many bytes as if they were the whole file."""
    corrupt: bool = False
    """Invert the bits of the last byte."""
    body: bytes | None = None
    """Send this instead of the file, with a status of 200."""
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    """Seconds before the response."""
    redirect: str = ""
    """The target of a redirect: a URL, or a path on this server."""
    drop: bool = False
    """Close the connection without a response."""
    hold: bool = False
    """Send ``truncate`` bytes, then nothing until `Mirror.heal`."""
    is_held: threading.Event = field(default_factory=threading.Event)
    """Set while a request is held."""
    released: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    headers: dict[str, str]
    """By lowercase name."""
    status: int


class Mirror:
    """The server; a context manager. ``requests`` is the log, in the order of the responses."""

    def __init__(
        self, root: Path, *, credentials: str = "", ranges: bool = True, tls: ssl.SSLContext | None = None
    ) -> None:
        """``credentials``: the only accepted ``Authorization`` value; "" accepts every request."""
        self.root = root
        self.credentials = credentials
        self.ranges = ranges
        self.requests: list[Request] = []
        self.connections = 0
        self._faults: list[tuple[str, Fault]] = []
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.mirror = self
        self._scheme = "https" if tls else "http"
        if tls:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self._server.server_address[1]}"

    @property
    def paths(self) -> list[str]:
        return [request.path for request in self.requests]

    def add_fault(self, path_part: str, fault: Fault) -> None:
        """Add a fault for each path that contains ``path_part``; earlier faults take precedence."""
        with self._lock:
            self._faults.append((path_part, fault))

    def heal(self) -> None:
        """Remove all faults and logged requests."""
        self._release()
        with self._lock:
            self._faults.clear()
            self.requests.clear()

    def _release(self) -> None:
        for _, fault in self._faults:
            fault.released.set()

    def take_fault(self, path: str) -> Fault | None:
        with self._lock:
            for path_part, fault in self._faults:
                if path_part in path and fault.times != 0:
                    if fault.times is not None:
                        fault.times -= 1
                    return fault
        return None

    def connected(self) -> None:
        with self._lock:
            self.connections += 1

    def record(self, request: Request) -> None:
        with self._lock:
            self.requests.append(request)

    def __enter__(self) -> Mirror:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._release()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    mirror: Mirror
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that close the connection."""


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def setup(self) -> None:
        super().setup()
        self.server.mirror.connected()

    def do_GET(self) -> None:
        mirror = self.server.mirror
        path = unquote(urlsplit(self.path).path)
        if mirror.credentials and self.headers.get("Authorization") != mirror.credentials:
            self._respond(401, b"who are you?", {"WWW-Authenticate": "Basic"})
            return
        fault = mirror.take_fault(path) or Fault()
        if fault.delay:
            time.sleep(fault.delay)
        if fault.drop:
            self._record(0)
            self.close_connection = True
            return
        if fault.redirect:
            self._respond(302, b"", {"Location": fault.redirect})
            return
        if fault.status:
            self._respond(fault.status, b"fault", fault.headers)
            return
        self._file(path, fault)

    do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    def log_message(self, *_: object) -> None:
        """Log nothing."""

    def _file(self, path: str, fault: Fault) -> None:
        root = self.server.mirror.root.resolve()
        target = (root / path.lstrip("/")).resolve()
        if fault.body is None and not (target.is_file() and target.is_relative_to(root)):
            self._respond(404, b"not found", {})
            return
        if fault.body is not None:
            data, modified = fault.body, 0.0
        else:
            data, modified = target.read_bytes(), target.stat().st_mtime
        if fault.corrupt and data:
            data = data[:-1] + bytes([data[-1] ^ 0xFF])
        if fault.short is not None:
            data = data[: fault.short]
        etag = f'"{hashlib.md5(data).hexdigest()}"'
        headers = {"Last-Modified": formatdate(modified, usegmt=True), "ETag": etag, **fault.headers}
        if self._unchanged(etag, modified):
            self._respond(304, b"", headers)
            return
        if fault.hold and fault.truncate is None:
            fault.is_held.set()
            fault.released.wait()
        status, start, end = self._range(len(data))
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{len(data)}"
        self._respond(status, data[start:end], headers, fault.truncate, fault)

    def _unchanged(self, etag: str, modified: float) -> bool:
        if "If-None-Match" in self.headers:
            return self.headers["If-None-Match"] == etag
        if "If-Modified-Since" in self.headers:
            since = parsedate_to_datetime(self.headers["If-Modified-Since"]).timestamp()
            return int(modified) <= since
        return False

    def _range(self, length: int) -> tuple[int, int, int]:
        range_header = self.headers.get("Range", "")
        if not (
            self.server.mirror.ranges and range_header.startswith("bytes=") and range_header.endswith("-")
        ):
            return 200, 0, length
        start = int(range_header[6:-1])
        return (206, start, length) if start < length else (416, 0, 0)

    def _respond(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str],
        truncate: int | None = None,
        fault: Fault | None = None,
    ) -> None:
        self._record(status)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if status != 304:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body if truncate is None else body[:truncate])
        if truncate is not None:
            self.wfile.flush()
            self.close_connection = True
            if fault and fault.hold:
                fault.is_held.set()
                fault.released.wait()

    def _record(self, status: int) -> None:
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.mirror.record(Request(self.command, self.path, headers, status))
