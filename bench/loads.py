"""Load for a registry: wrk for requests, raw sockets for large content, so that clients cost little."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from bench.images import MANIFEST, Image
from bench.servers import LOGIN, Server

_CHUNK = 1 << 20
_ACCEPT = f"Accept: {MANIFEST}"
_LOGIN = f"Authorization: Basic {LOGIN}"


class FailedError(RuntimeError):
    """A response was not as expected."""


def wrk(server: Server, path: str, connections: int, seconds: int) -> tuple[float, float]:
    """Request one path with one thread of wrk; return requests and bytes per second.

    Raises FailedError if any response was an error.
    """
    program = shutil.which("wrk")
    if program is None:
        raise FileNotFoundError("wrk is needed: apt-get install wrk")
    command = [program, "-t1", f"-c{connections}", f"-d{seconds}s", "-H", _ACCEPT, "-H", _LOGIN]
    output = subprocess.run(
        [*command, f"http://{server.host}{path}"], check=True, capture_output=True, text=True
    ).stdout
    if "Non-2xx" in output or "Socket errors" in output:
        raise FailedError(f"{server.name}: {path}: {output}")
    speed = re.search(r"Transfer/sec:\s+([\d.]+)([KMG]?)B", output)
    requests = re.search(r"Requests/sec:\s+([\d.]+)", output)
    if speed is None or requests is None:
        raise FailedError(output)
    factor = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}[speed[2]]
    return float(requests[1]), float(speed[1]) * factor


def upload(server: Server, repository: str, path: Path, digest: str, *, streamed: bool) -> float:
    """Upload one blob; return bytes per second. ``streamed`` means PATCH and PUT instead of PUT alone."""
    size = path.stat().st_size
    start = time.perf_counter()
    location = _ask(server, "POST", f"/v2/{repository}/blobs/uploads/", (202,))
    if streamed:
        location = _ask(server, "PATCH", location, (202,), path)
    joint = "&" if "?" in location else "?"
    _ask(server, "PUT", f"{location}{joint}digest={digest}", (201,), None if streamed else path)
    return size / (time.perf_counter() - start)


def _ask(
    server: Server, method: str, url: str, expected_statuses: tuple[int, ...], body: Path | None = None
) -> str:
    """Send a request with a file as its body (sendfile); return the Location of the response."""
    parts = urlsplit(url)
    target = parts.path + (f"?{parts.query}" if parts.query else "")
    connection = server.connect()
    try:
        connection.putrequest(method, target)
        connection.putheader("Authorization", f"Basic {LOGIN}")
        connection.putheader("Content-Type", "application/octet-stream")
        connection.putheader("Content-Length", str(body.stat().st_size if body else 0))
        connection.endheaders()
        if body is not None:
            with body.open("rb") as file:
                connection.sock.sendfile(file)
        response = connection.getresponse()
        body = response.read()
        if response.status not in expected_statuses:
            raise FailedError(f"{server.name}: {method} {url}: {response.status} {body[:500]!r}")
        return response.headers.get("Location", "")
    finally:
        connection.close()


def pulls(server: Server, repository: str, image: Image, clients: int) -> tuple[float, int]:
    """Pull an image with many clients at once; return the seconds, and the number of failures.

    Runs in a process of its own, because its memory would count for later children of this one.
    """
    paths = [f"blobs/{image.config}", *(f"blobs/{layer}" for layer in image.layers)]
    command = [
        sys.executable,
        "-m",
        "bench.loads",
        server.host,
        repository,
        str(clients),
        "manifests/1",
        *paths,
    ]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(output[0]), int(output[1])


def _pulls(host: str, repository: str, clients: int, paths: Sequence[str]) -> tuple[float, int]:
    failed: list[Exception] = []
    gate = threading.Barrier(clients + 1)

    def pull() -> None:
        gate.wait()
        try:
            for path in paths:
                _receive(host, f"/v2/{repository}/{path}")
        except (OSError, ValueError, FailedError) as error:
            failed.append(error)

    threads = [threading.Thread(target=pull, daemon=True) for _ in range(clients)]
    for thread in threads:
        thread.start()
    gate.wait()
    start = time.perf_counter()
    for thread in threads:
        thread.join()
    return time.perf_counter() - start, len(failed)


def _receive(address: str, path: str) -> None:
    host, _, port = address.partition(":")
    request = f"GET {path} HTTP/1.1\r\nHost: {address}\r\n{_ACCEPT}\r\n{_LOGIN}\r\nConnection: close\r\n\r\n"
    buffer = bytearray(_CHUNK // 4)
    with socket.create_connection((host, int(port)), timeout=120) as connection:
        connection.sendall(request.encode())
        with connection.makefile("rb", buffering=0) as file:
            head = b""
            while b"\r\n\r\n" not in head:
                if not (data := file.read(4096)):
                    raise FailedError(f"{path}: no answer")
                head += data
            head, _, received = head.partition(b"\r\n\r\n")
            length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
            if not head.startswith(b"HTTP/1.1 200") or length is None:
                raise FailedError(f"{path}: {head[:100]!r}")
            remaining = int(length[1]) - len(received)
            while remaining > 0:
                count = file.readinto(buffer)
                if not count:
                    raise FailedError(f"{path}: {remaining} bytes are missing")
                remaining -= count


def folder() -> Path:
    """Return the directory for the files of the benchmark."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pumice-bench" / "registry"


if __name__ == "__main__":
    print(*_pulls(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:]))
