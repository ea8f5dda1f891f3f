"""A Pumice registry as a process: started on a free port, used over HTTP, and stopped."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


class Reply(NamedTuple):
    """A response."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The error code of the first error."""
        return str(self.json["errors"][0]["code"])


class Registry:
    """A running server."""

    def __init__(self, url: str, process: subprocess.Popen[bytes]) -> None:
        self.url = url
        self.process = process
        self.host = urlsplit(url).netloc

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        *,
        chunked: bool = False,
        **query: Any,
    ) -> Reply:
        """Send a request and return the response.

        ``query`` is added to the path; lists become repeated parameters.
        """
        if query:
            path += ("&" if "?" in path else "?") + urlencode(query, doseq=True)
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            encoded_body = iter([body]) if chunked else body
            connection.request(method, path, encoded_body, dict(headers or {}), encode_chunked=chunked)
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())
        finally:
            connection.close()

    def push_blob(self, repository: str, data: bytes, algorithm: str = "sha256") -> str:
        """Push a blob with POST and PUT; return its digest."""
        digest = digest_of(data, algorithm)
        session = self.ask("POST", f"/v2/{repository}/blobs/uploads/")
        assert session.status == 202, session
        response = self.ask("PUT", session.headers["Location"], data, digest=digest)
        assert response.status == 201, response
        return digest

    def push_image(
        self, repository: str, tag: str, layer: bytes = b"layer", **fields: Any
    ) -> tuple[str, bytes]:
        """Push an image of one layer; return its digest and bytes."""
        document = image(layer, **fields)
        self.push_blob(repository, b"{}")
        self.push_blob(repository, layer)
        response = self.put(repository, tag, document)
        assert response.status == 201, response
        return digest_of(document), document

    def put(
        self, repository: str, reference: str, document: bytes, media_type: str = MANIFEST, **query: Any
    ) -> Reply:
        """Push a manifest."""
        path = f"/v2/{repository}/manifests/{reference}"
        return self.ask("PUT", path, document, {"Content-Type": media_type}, **query)

    def kill(self) -> None:
        """Kill the server."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Stop the server with SIGTERM; return its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def descriptor(data: bytes, media_type: str, algorithm: str = "sha256", **fields: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(data, algorithm), "size": len(data), **fields}


def image(layer: bytes = b"layer", algorithm: str = "sha256", **fields: Any) -> bytes:
    """Return a manifest of the config ``{}`` and one layer."""
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(b"{}", "application/vnd.oci.image.config.v1+json", algorithm),
        "layers": [descriptor(layer, "application/vnd.oci.image.layer.v1.tar", algorithm)],
        **fields,
    }
    return json.dumps(document).encode()


IMPATIENT_SERVER = """
import sys
from pumice.clock import SystemClock
from pumice.registry.server import serve
from pumice.registry.server.access import Policy
from pumice.registry.server.app import Options

settings = serve.Settings(
    location=sys.argv[1], host="127.0.0.1", port=0, policy=Policy("write"),
    options=Options(body_timeout=1.0), header_seconds=1.0,
)
serve.serve(settings, clock=SystemClock(), ready=lambda url: print(url, flush=True))
"""
"""A program that runs a server with short timeouts."""


@contextmanager
def impatient(root: Path) -> Iterator[Registry]:
    """Run a server that waits one second for headers, and for the next bytes of a body."""
    with running([sys.executable, "-c", IMPATIENT_SERVER, str(root)]) as registry:
        yield registry


@contextmanager
def serving(
    root: Path, *options: str, listen: str = "127.0.0.1:0", inside: Sequence[str] = ()
) -> Iterator[Registry]:
    """Run ``pumice serve`` on a free port; it is stopped at the end of the block.

    ``inside`` is a command that runs it, such as one that mounts a file system first.
    """
    with running(
        [*inside, sys.executable, "-m", "pumice", "serve", "--listen", listen, "--root", str(root), *options]
    ) as registry:
        yield registry


@contextmanager
def running(command: list[str]) -> Iterator[Registry]:
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        url = process.stdout.readline().decode().strip()
        if not url:
            process.wait(60)
            raise AssertionError(f"the registry did not start: {process.stderr.read().decode()}")
        yield Registry(url, process)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        process.stdout.close()
        process.stderr.close()
