"""Static files behind a real nginx, over TLS on loopback."""

from __future__ import annotations

import contextlib
import os
import ssl
import subprocess
import urllib.error
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from tests.support import peers, ports, tls, waiting

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_CONFIGURATION = """
daemon off;
{user}
pid {folder}/nginx.pid;
error_log {folder}/error.log;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
    access_log {folder}/access.log combined;
    types {{ text/html html; application/json json; }}
    default_type application/octet-stream;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    {servers}
}}
"""
_SERVER = "server {{ listen {address}:{port} ssl; root {root}; {extra} }}\n"


class Website(NamedTuple):
    """A web server: its port, the CA to trust, its document root, and its log."""

    port: int
    ca: Path
    root: Path
    log: Path

    @property
    def url(self) -> str:
        """The URL of the root."""
        return f"https://127.0.0.1:{self.port}"

    def requests(self) -> list[str]:
        """Return the method, path and status of each request so far, in order."""
        marker = f"/marker-{os.urandom(8).hex()}"
        context = ssl.create_default_context(cafile=self.ca)
        with contextlib.suppress(urllib.error.HTTPError):  # nginx writes its log later than its responses
            urllib.request.urlopen(f"{self.url}{marker}", context=context).close()

        def read_lines() -> list[str]:
            lines = [line.split('"') for line in self.log.read_text().splitlines()]
            found = [" ".join([*line[1].split()[:2], line[2].split()[0]]) for line in lines]
            return found if any(marker in line for line in found) else []

        return [line for line in waiting.until(read_lines) if "/marker-" not in line]


@contextmanager
def serving(root: Path, folder: Path, extra: str = "") -> Iterator[Website]:
    """Serve ``root`` until the end; ``folder`` is for nginx's files, ``extra`` goes into its ``server``."""
    folder.mkdir(exist_ok=True)
    root.mkdir(exist_ok=True)
    certificate, key = tls.self_signed(folder)
    with ports.reserve() as port:
        server = _SERVER.format(address="127.0.0.1", port=port, root=root, extra=extra)
        with running_nginx(folder, server, (certificate, key)) as process:
            waiting.for_server(port, process, (folder / "error.log").read_text)
            yield Website(port, certificate, root, folder / "access.log")


@contextmanager
def serving_hosts(
    roots: dict[str, Path], folder: Path, certificate: tuple[Path, Path], prefix: Sequence[str]
) -> Iterator[Path]:
    """Serve a folder at port 443 of each address; give the log. ``prefix`` is where nginx is run."""
    folder.mkdir(exist_ok=True)
    servers = [
        _SERVER.format(address=address, port=443, root=root, extra="") for address, root in roots.items()
    ]
    with running_nginx(folder, "".join(servers), certificate, prefix):
        yield folder / "access.log"


@contextmanager
def running_nginx(
    folder: Path, servers: str, certificate: tuple[Path, Path], prefix: Sequence[str] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """Run nginx until the end."""
    configuration = folder / "nginx.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            folder=folder,
            certificate=certificate[0],
            key=certificate[1],
            servers=servers,
            user="user root;" if os.geteuid() == 0 else "",  # it reads folders that only we may read
        )
    )
    command = (*prefix, peers.need("nginx"), "-c", str(configuration))
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(waiting.PATIENCE_SECONDS)
