"""A key server on loopback with a response per path and a log of the requested paths."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl


@contextmanager
def serving(
    responses: Mapping[str, bytes | str], tls: ssl.SSLContext | None = None
) -> Iterator[tuple[int, list[str]]]:
    """Serve ``responses`` by path (a text is a redirect target); yield the port and the requested paths."""
    requested_paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requested_paths.append(self.path)
            response = responses.get(self.path)
            if isinstance(response, str):
                self.send_response(302)
                self.send_header("Location", response)
            else:
                self.send_response(404 if response is None else 200)
            body = response if isinstance(response, bytes) else b""
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1], requested_paths
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
