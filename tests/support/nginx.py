"""A real nginx on loopback, with TLS."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.support import tls, waiting
from tests.support.peers import need

_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_CONFIGURATION = """\
daemon off;
{user}
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
  access_log {folder}/access.log combined;
  {temporary}
  server {{
    listen {address} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    {directives}
  }}
}}
"""


class Server(NamedTuple):
    """A running nginx. ``ca`` is the certificate that clients trust."""

    host: str
    ca: Path
    folder: Path
    prefix: Sequence[str]

    def requests(self) -> list[str]:
        """Return the lines of the access log, of all responses that were received so far."""
        marker = f"/marker-{secrets.token_hex(8)}"
        command = (*self.prefix, need("curl"), "--silent", "--globoff", "--cacert", str(self.ca))
        url = f"https://{self.host}{marker}"
        subprocess.run([*command, "--output", "/dev/null", url], check=True, timeout=60)

        # nginx sends a response before it writes the line about it.
        def read_lines() -> list[str]:
            lines = (self.folder / "access.log").read_text().splitlines()
            return lines if any(marker in line for line in lines) else []

        return [line for line in waiting.until(read_lines) if "/marker-" not in line]

    def sent_size(self) -> int:
        """Return the bytes of all bodies that were sent."""
        return sum(int(line.split('" ')[1].split()[1]) for line in self.requests())


@contextmanager
def serving(
    folder: Path, directives: str, *, address: str = "127.0.0.1", prefix: Sequence[str] = ()
) -> Iterator[Server]:
    """Run nginx with ``directives`` in its server block; ``folder`` gets its files.

    ``prefix`` are the words before the command if it runs on another machine, which has ``address``.
    """
    program = need("nginx")
    folder.mkdir()
    certificate, key = tls.self_signed(folder, address=address)
    host = f"[{address}]" if ":" in address else address
    with ExitStack() as stack:
        port, inherited = 8443, {}
        if not prefix:
            # nginx takes over the socket, so that nobody else can get its port in between.
            listener = stack.enter_context(socket.create_server((address, 0)))
            port, inherited = listener.getsockname()[1], {"NGINX": f"{listener.fileno()};"}
        configuration = folder / "nginx.conf"
        configuration.write_text(
            _CONFIGURATION.format(
                folder=folder,
                address=f"{host}:{port}",
                certificate=certificate,
                key=key,
                user="user root;" if os.geteuid() == 0 else "",
                temporary=" ".join(f"{name}_temp_path {folder}/{name};" for name in _TEMPORARY),
                directives=directives,
            )
        )
        process = subprocess.Popen(
            [*prefix, program, "-c", str(configuration), "-e", str(folder / "error.log")],
            env=os.environ | inherited,
            pass_fds=[listener.fileno()] if inherited else [],
        )
        try:
            yield Server(f"{host}:{port}", certificate, folder, prefix)
        finally:
            process.terminate()
            process.wait(waiting.PATIENCE_SECONDS)
