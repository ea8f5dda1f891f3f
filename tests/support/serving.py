"""A registry of ours, as a process: started on a free port, spoken to over HTTP, and ended."""

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
    """What came back."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The first error's code."""
        return str(self.json["errors"][0]["code"])


class Registry:
    """A server that runs: where it is, and a way to speak to it."""

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
        """Make one request; ``query`` is added to the path, lists as repeated parameters."""
        if query:
            path += ("&" if "?" in path else "?") + urlencode(query, doseq=True)
        connection = http.client.HTTPConnection(self.host, timeout=60)
        try:
            sent = iter([body]) if chunked else body
            connection.request(method, path, sent, dict(headers or {}), encode_chunked=chunked)
            answer = connection.getresponse()
            return Reply(answer.status, answer.headers, answer.read())
        finally:
            connection.close()

    def push_blob(self, repository: str, data: bytes, algorithm: str = "sha256") -> str:
        """Push a blob the usual way; return its digest."""
        digest = digest_of(data, algorithm)
        begun = self.ask("POST", f"/v2/{repository}/blobs/uploads/")
        assert begun.status == 202, begun
        done = self.ask("PUT", begun.headers["Location"], data, digest=digest)
        assert done.status == 201, done
        return digest

    def push_image(
        self, repository: str, tag: str, layer: bytes = b"layer", **more: Any
    ) -> tuple[str, bytes]:
        """Push an image of one layer; return its digest and bytes."""
        document = image(layer, **more)
        self.push_blob(repository, b"{}")
        self.push_blob(repository, layer)
        done = self.put(repository, tag, document)
        assert done.status == 201, done
        return digest_of(document), document

    def put(
        self, repository: str, reference: str, document: bytes, media_type: str = MANIFEST, **query: Any
    ) -> Reply:
        """Put a manifest."""
        path = f"/v2/{repository}/manifests/{reference}"
        return self.ask("PUT", path, document, {"Content-Type": media_type}, **query)

    def kill(self) -> None:
        """End it as a power failure would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """End it as an operator would; return the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


def descriptor(data: bytes, media_type: str, algorithm: str = "sha256", **more: Any) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": digest_of(data, algorithm), "size": len(data), **more}


def image(layer: bytes = b"layer", algorithm: str = "sha256", **more: Any) -> bytes:
    """Return a manifest of the config ``{}`` and one layer."""
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(b"{}", "application/vnd.oci.image.config.v1+json", algorithm),
        "layers": [descriptor(layer, "application/vnd.oci.image.layer.v1.tar", algorithm)],
        **more,
    }
    return json.dumps(document).encode()


IMPATIENT = """
import sys
from pumice.clock import SystemClock
from pumice.registry.server import serve
from pumice.registry.server.access import Policy
from pumice.registry.server.app import Options

settings = serve.Settings(
    location=sys.argv[1], host="127.0.0.1", port=0, policy=Policy("write"),
    options=Options(body_timeout=0.2), header_seconds=0.2,
)
serve.serve(settings, clock=SystemClock(), ready=lambda url: print(url, flush=True))
"""
"""A server that waits for nobody, as a program."""


@contextmanager
def impatient(root: Path) -> Iterator[Registry]:
    """Run a server that waits a fifth of a second for headers, and for what comes next of a body."""
    with running([sys.executable, "-c", IMPATIENT, str(root)]) as one:
        yield one


@contextmanager
def serving(
    root: Path, *options: str, listen: str = "127.0.0.1:0", inside: Sequence[str] = ()
) -> Iterator[Registry]:
    """Run ``pumice serve`` on a free port; it is ended by its process, whatever happens.

    ``inside`` is a command that becomes it, such as one that mounts something first.
    """
    with running(
        [*inside, sys.executable, "-m", "pumice", "serve", "--listen", listen, "--root", str(root), *options]
    ) as one:
        yield one


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
        line = process.stdout.readline().decode().strip()
        if not line:
            process.wait(60)
            raise AssertionError(f"the registry did not start: {process.stderr.read().decode()}")
        yield Registry(line, process)
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
