"""Registries for tests: Debian's docker-registry, and one in memory that can inject faults.

`Registry` is small and strict about what distribution-spec asks of clients: a wrong Content-Range, a
rebuilt upload location or a missing Accept is refused.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from tests.support import ports, waiting
from tests.support.peers import need

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.quirks import Quirk

INDEX = "application/vnd.oci.image.index.v1+json"
_BLOB = re.compile(r"/v2/(?P<name>.+)/blobs/(?P<digest>sha\d+:[0-9a-f]+)")
_MANIFEST = re.compile(r"/v2/(?P<name>.+)/manifests/(?P<ref>[^/]+)")
_START = re.compile(r"/v2/(?P<name>.+)/blobs/uploads/")
_UPLOAD = re.compile(r"/opaque/(?P<number>\d+)")
_TAGS = re.compile(r"/v2/(?P<name>.+)/tags/list")
_REFERRERS = re.compile(r"/v2/(?P<name>.+)/referrers/(?P<digest>.+)")


@dataclass
class Upload:
    name: str
    data: bytearray = field(default_factory=bytearray)
    state: int = 0
    """Part of the location: only the latest one is valid."""


@dataclass
class Registry:
    """The content, behavior and request log of a registry in memory."""

    referrers: bool = True
    ranges: bool = True
    resumes: bool = True
    mounts: bool = True
    etags: bool = False
    page: int = 0
    minimum: int = 0
    largest: int = 0
    """Bytes of the largest PATCH before a 413 response; 0: no limit."""
    moves: bool = True
    """Whether an upload has another location after each chunk."""
    takes: int = 0
    """Bytes of a PATCH that are stored and reported; 0: all."""
    users: dict[str, str] = field(default_factory=dict)
    tokens: bool = False
    """Whether authentication uses tokens instead of passwords."""
    token_uses: int = 0
    """How many requests a token is valid for; 0: any number."""
    busy: int = 0
    """How many more requests get a 429 response."""
    retry_after: str = "0"
    warning: str = ""
    elsewhere: str = ""
    """The target of redirects for blobs."""
    lies: bytes = b""
    """Sent instead of every blob."""
    blobs: dict[tuple[str, str], bytes] = field(default_factory=dict)
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    tags: dict[str, dict[str, str]] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)
    log: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    issued: dict[str, int] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)
    host: str = ""
    quirk: Quirk | None = None
    quirks_shown: int = 0

    def odd(self, method: str, path: str) -> Quirk | None:
        """Return the quirk that still applies to a request, if any."""
        quirk = self.quirk
        if quirk is None or self.quirks_shown >= quirk.times or not quirk.matches(method, path):
            return None
        return quirk

    def logged_paths(self, method: str, path_part: str = "") -> list[str]:
        return [path for verb, path, _ in self.log if verb == method and path_part in path]

    def put(self, name: str, data: bytes, media_type: str, *tags: str) -> str:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        self.manifests[name, digest] = (media_type, data)
        for tag in tags:
            self.tags.setdefault(name, {})[tag] = digest
        return digest


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    registry: Registry

    def log_message(self, *arguments: Any) -> None:
        pass

    def handle_one_request(self) -> None:
        with suppress(ConnectionError, ValueError):
            super().handle_one_request()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._do
        raise AttributeError(name)

    def _do(self) -> None:
        registry = self.registry
        length = int(self.headers.get("Content-Length") or 0)
        url = urlsplit(self.path)
        self.query = {key: values[0] for key, values in parse_qs(url.query).items()}
        with registry.lock:
            registry.log.append((self.command, self.path, dict(self.headers.items())))
        quirk = registry.odd(self.command, self.path)
        if quirk is not None and quirk.instead:
            self.rfile.read(length)
            self._respond(quirk.status)
            return
        if self.command == "PATCH" and (upload := self._upload(url.path)):
            self._patch(upload, length)
            return
        self.body = self.rfile.read(length)
        if len(self.body) != length:
            self.close_connection = True
            return
        with registry.lock:
            if url.path == "/token":
                self._token()
            elif registry.busy > 0:
                registry.busy -= 1
                self._respond(429, {"Retry-After": registry.retry_after})
            elif not self._is_authorized():
                self._challenge()
            else:
                self._route(url.path)

    def _respond(self, status: int, headers: dict[str, str] | None = None, body: bytes = b"") -> None:
        response_headers = {"Content-Length": str(len(body))} | (headers or {})
        if quirk := self.registry.odd(self.command, self.path):
            status, response_headers, body = quirk.change_response(status, response_headers, body)
            self.registry.quirks_shown += 1
        self.send_response(status)
        if self.registry.warning:
            response_headers["Warning"] = self.registry.warning
        for name, value in response_headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refuse(self, status: int, code: str) -> None:
        body = json.dumps({"errors": [{"code": code, "message": code.lower().replace("_", " ")}]}).encode()
        self._respond(status, {"Content-Type": "application/json"}, body)

    # Logging in

    def _is_authorized(self) -> bool:
        registry = self.registry
        authorization = self.headers.get("Authorization", "")
        if not registry.users:
            return True
        if not registry.tokens:
            return authorization in {f"Basic {_basic(*pair)}" for pair in registry.users.items()}
        token = authorization.removeprefix("Bearer ")
        if registry.issued.get(token, 0) <= 0:
            return False
        registry.issued[token] -= 1
        return True

    def _challenge(self) -> None:
        realm = f'Bearer realm="http://{self.registry.host}/token",service="the registry"'
        value = realm if self.registry.tokens else 'Basic realm="the registry"'
        self._respond(401, {"WWW-Authenticate": value})

    def _token(self) -> None:
        registry = self.registry
        form = {key: values[0] for key, values in parse_qs(self.body.decode()).items()}
        authorization = self.headers.get("Authorization", "")
        is_known_user = authorization in {f"Basic {_basic(*pair)}" for pair in registry.users.items()}
        if not is_known_user and form.get("refresh_token") != "identity":
            self._refuse(401, "UNAUTHORIZED")
            return
        token = f"token-{len(registry.issued)}"
        registry.issued[token] = registry.token_uses or 1 << 30
        self._respond(200, {}, json.dumps({"access_token": token, "expires_in": 300}).encode())

    # What there is

    def _route(self, path: str) -> None:
        for pattern, serve in (
            (_START, self._start),
            (_UPLOAD, self._finish),
            (_BLOB, self._blob),
            (_MANIFEST, self._manifest),
            (_TAGS, self._tags),
            (_REFERRERS, self._referrers),
        ):
            match = pattern.fullmatch(path)
            if match:
                serve(**match.groupdict())
                return
        if path == "/v2/":
            self._respond(200)
        elif path == "/v2/_catalog":
            self._catalog()
        else:
            self._refuse(404, "NOT_FOUND")

    def _blob(self, name: str, digest: str) -> None:
        registry = self.registry
        data = registry.blobs.get((name, digest))
        if data is None:
            self._refuse(404, "BLOB_UNKNOWN")
            return
        if self.command == "DELETE":
            del registry.blobs[name, digest]
            self._respond(202)
            return
        if registry.elsewhere and self.command == "GET":
            self._respond(307, {"Location": f"{registry.elsewhere}/{name}/{digest}"})
            return
        data = registry.lies or data
        range_match = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if range_match and registry.ranges:
            start = int(range_match[1])
            range_headers = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"}
            self._respond(206, range_headers, data[start:])
            return
        self._respond(200, {"Docker-Content-Digest": digest}, data)

    def _manifest(self, name: str, ref: str) -> None:
        registry = self.registry
        tags = registry.tags.setdefault(name, {})
        digest = ref if ":" in ref else tags.get(ref, "")
        if self.command == "PUT":
            self._put_manifest(name, ref)
        elif (name, digest) not in registry.manifests:
            self._refuse(404, "MANIFEST_UNKNOWN")
        elif self.command == "DELETE":
            if ref == digest:
                del registry.manifests[name, digest]
            registry.tags[name] = {
                tag: target for tag, target in tags.items() if tag != ref and target != ref
            }
            self._respond(202)
        else:
            media_type, data = registry.manifests[name, digest]
            if media_type not in self.headers.get("Accept", ""):
                self._refuse(404, "MANIFEST_UNKNOWN")
                return
            etag = {"ETag": f'"{digest}"'} if registry.etags else {}
            self._respond(200, {"Content-Type": media_type, "Docker-Content-Digest": digest} | etag, data)

    def _put_manifest(self, name: str, ref: str) -> None:
        registry = self.registry
        digest = f"sha256:{hashlib.sha256(self.body).hexdigest()}"
        document = json.loads(self.body)
        if ":" in ref and ref != digest:
            self._refuse(400, "DIGEST_INVALID")
            return
        tags = registry.tags.setdefault(name, {})
        condition = self.headers.get("If-Match")
        if condition and condition != f'"{tags.get(ref)}"':
            self._respond(412)
            return
        if registry.etags and self.headers.get("If-None-Match") == "*" and ref in tags:
            self._respond(412)
            return
        missing = [
            blob_descriptor["digest"]
            for blob_descriptor in [document.get("config"), *document.get("layers", [])]
            if blob_descriptor
            and "urls" not in blob_descriptor
            and (name, blob_descriptor["digest"]) not in registry.blobs
        ]
        missing += [
            descriptor["digest"]
            for descriptor in document.get("manifests", [])
            if (name, descriptor["digest"]) not in registry.manifests
            and (name, descriptor["digest"]) not in registry.blobs
        ]
        if missing:
            self._refuse(404, "MANIFEST_BLOB_UNKNOWN")
            return
        registry.put(name, self.body, self.headers["Content-Type"], *([] if ":" in ref else [ref]))
        subject = {"OCI-Subject": document["subject"]["digest"]} if document.get("subject") else {}
        self._respond(201, {"Docker-Content-Digest": digest} | (subject if registry.referrers else {}))

    def _tags(self, name: str) -> None:
        tags = sorted(tag for tag in self.registry.tags.get(name, {}))
        last = self.query.get("last", "")
        tags = [tag for tag in tags if tag > last]
        page = min(self.registry.page or 1 << 30, int(self.query.get("n", 1 << 30)))
        page_tags, remaining = tags[:page], tags[page:]
        link = (
            {"Link": f'</v2/{name}/tags/list?n={page}&last={page_tags[-1]}>; rel="next"'} if remaining else {}
        )
        self._respond(200, link, json.dumps({"name": name, "tags": page_tags}).encode())

    def _catalog(self) -> None:
        names = sorted({*self.registry.tags, *(name for name, _ in self.registry.manifests)})
        names = [name for name in names if name > self.query.get("last", "")]
        page = min(self.registry.page or 1 << 30, int(self.query.get("n", 1 << 30)))
        link = {"Link": f'</v2/_catalog?n={page}&last={names[page - 1]}>; rel="next"'} if names[page:] else {}
        self._respond(200, link, json.dumps({"repositories": names[:page]}).encode())

    def _referrers(self, name: str, digest: str) -> None:
        if not self.registry.referrers:
            self._refuse(404, "NOT_FOUND")
            return
        referrers = []
        for (repository, manifest_digest), (media_type, data) in self.registry.manifests.items():
            document = json.loads(data)
            if repository == name and (document.get("subject") or {}).get("digest") == digest:
                entry = {
                    "mediaType": media_type,
                    "digest": manifest_digest,
                    "size": len(data),
                    "org.example.more": 1,
                }
                entry["artifactType"] = document.get("artifactType") or document["config"]["mediaType"]
                referrers.append(entry | {"annotations": document.get("annotations", {})})
        start = int(self.query.get("from", 0))
        page = self.registry.page or len(referrers) or 1
        next_link = f"</v2/{name}/referrers/{digest}?from={start + page}>; rel=next"
        link = {"Link": next_link} if start + page < len(referrers) else {}
        body = {"schemaVersion": 2, "mediaType": INDEX, "manifests": referrers[start : start + page]}
        self._respond(200, {"Content-Type": INDEX} | link, json.dumps(body).encode())

    # Uploads

    def _start(self, name: str) -> None:
        registry = self.registry
        mount, origin = self.query.get("mount", ""), self.query.get("from", "")
        if registry.mounts and (origin, mount) in registry.blobs:
            registry.blobs[name, mount] = registry.blobs[origin, mount]
            self._respond(201, {"Location": f"/v2/{name}/blobs/{mount}"})
            return
        number = str(len(registry.uploads))
        registry.uploads[number] = Upload(name)
        minimum = {"OCI-Chunk-Min-Length": str(registry.minimum)} if registry.minimum else {}
        self._respond(202, self._location(number) | minimum)

    def _location(self, number: str) -> dict[str, str]:
        upload = self.registry.uploads[number]
        location = {"Location": f"/opaque/{number}?state={upload.state}"}
        return location | ({"Range": f"0-{len(upload.data) - 1}"} if upload.data else {})

    def _upload(self, path: str) -> Upload | None:
        upload = _UPLOAD.fullmatch(path)
        return self.registry.uploads.get(upload["number"]) if upload else None

    def _patch(self, upload: Upload, length: int) -> None:
        registry = self.registry
        number = next(key for key, value in registry.uploads.items() if value is upload)
        start, _, end = self.headers.get("Content-Range", "").partition("-")
        if not start.isdigit() or not end.isdigit() or int(end) - int(start) + 1 != length:
            self.rfile.read(length)
            self._refuse(400, "BLOB_UPLOAD_INVALID")
            return
        if registry.largest and length > registry.largest:
            self.rfile.read(length)
            self._refuse(413, "SIZE_INVALID")
            return
        if not self._is_authorized():
            self.rfile.read(length)
            self._challenge()
            return
        if int(start) != len(upload.data) or self.query.get("state") != str(upload.state):
            self.rfile.read(length)
            self._respond(416, self._location(number))
            return
        kept_size = 0
        while length > 0:
            data = self.rfile.read1(min(length, 1 << 16))
            if not data:
                self.close_connection = True
                break
            with registry.lock:
                remaining = registry.takes - kept_size if registry.takes else len(data)
                upload.data += data[: max(0, remaining)]
            kept_size += len(data)
            length -= len(data)
        upload.state += registry.moves
        if not length:
            self._respond(202, self._location(number))

    def _finish(self, number: str) -> None:
        registry = self.registry
        upload = registry.uploads.get(number)
        if upload is None or (self.command == "GET" and not registry.resumes):
            self._refuse(404, "BLOB_UPLOAD_UNKNOWN")
        elif self.command == "GET":
            self._respond(204, self._location(number))
        elif self.query.get("state") != str(upload.state):
            self._refuse(400, "BLOB_UPLOAD_INVALID")
        else:
            data = bytes(upload.data) + self.body
            digest = self.query["digest"]
            algorithm, _, digits = digest.partition(":")
            if hashlib.new(algorithm, data).hexdigest() != digits:
                self._refuse(400, "DIGEST_INVALID")
                return
            del registry.uploads[number]
            registry.uploads[f"gone-{number}"] = upload
            registry.blobs[upload.name, digest] = data
            self._respond(201, {"Location": f"/v2/{upload.name}/blobs/{digest}"})


def _basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


@contextmanager
def serving(registry: Registry) -> Iterator[str]:
    """Serve a registry in memory on loopback; yield its host and port."""
    handler = type("Handler", (_Handler,), {"registry": registry})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    registry.host = f"127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield registry.host
    finally:
        server.shutdown()
        server.server_close()


@contextmanager
def debian(folder: Path, *, htpasswd: str = "") -> Iterator[str]:
    """Run Debian's docker-registry on loopback; yield its host and port."""
    program = need("docker-registry")
    with ports.reserve() as port:
        yield from _serve_debian(program, folder, port, htpasswd)


def _serve_debian(program: str, folder: Path, port: int, htpasswd: str) -> Iterator[str]:
    auth = f"auth: {{htpasswd: {{realm: test, path: {htpasswd}}}}}\n" if htpasswd else ""
    (folder / "registry.yml").write_text(
        "version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {folder}/registry}}, delete: {{enabled: true}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n{auth}"
    )
    with (folder / "registry.log").open("wb") as log:
        # docker-registry reads its configuration from variables that begin with REGISTRY_.
        environment = {key: value for key, value in os.environ.items() if not key.startswith("REGISTRY_")}
        command = [program, "serve", str(folder / "registry.yml")]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        try:
            waiting.for_server(port, process, (folder / "registry.log").read_text)
            yield f"127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait()
