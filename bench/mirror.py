"""A local mirror of exactly the packages of a set: for Pumice, and the same content as apks."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import deflate

from pumice.formats import deb
from tests.support import archive


def publish(packages: Sequence[Path], folder: Path) -> None:
    """Write a signed Debian archive with ``packages`` to ``folder``."""
    pool = folder / "pool"
    pool.mkdir(parents=True, exist_ok=True)
    stanzas = []
    for path in sorted(packages):
        data = path.read_bytes()
        (pool / path.name).write_bytes(data)
        with path.open("rb") as file:
            fields = dict(deb.read_control(file).fields)
        fields |= {
            "Filename": f"pool/{path.name}",
            "Size": str(len(data)),
            "SHA256": hashlib.sha256(data).hexdigest(),
        }
        stanzas.append("".join(f"{name}: {value}\n" for name, value in fields.items()))
    index = bytes(deflate.gzip_compress("\n".join(stanzas).encode(), 6))
    binary = folder / "dists/bookworm/main/binary-amd64"
    binary.mkdir(parents=True, exist_ok=True)
    (binary / "Packages.gz").write_bytes(index)
    release = (
        "Origin: Debian\nLabel: Debian\nSuite: bookworm\nCodename: bookworm\n"
        f"Date: {archive.release_date(1_700_000_000)}\nArchitectures: amd64\nComponents: main\nSHA256:\n"
        f" {hashlib.sha256(index).hexdigest()} {len(index)} main/binary-amd64/Packages.gz\n"
    )
    (folder / "dists/bookworm/InRelease").write_bytes(archive.sign(release.encode()))
    (folder / "key.asc").write_bytes(archive.keyring())


class _Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve(folder: Path) -> Iterator[str]:
    """Serve ``folder`` on loopback and yield its URL."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
