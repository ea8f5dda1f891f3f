"""Thousands of mixed operations by concurrent clients on a registry, compared with a model.

Each client has repositories of its own, so that the model always knows their content; one more repository
is shared. All operations and all content are derived from a seed.
"""

from __future__ import annotations

import json
import os
import random
import threading
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec

from pumice.formats import oci
from pumice.registry import Client, ClientSettings, Repository, RetryPolicy
from pumice.registry.server.integrity import check
from pumice.registry.server.storage.disk.storage import open_storage
from tests.support.serving import INDEX, MANIFEST, Registry, Reply, descriptor, digest_of, image, serving

CLIENTS = 8
OPTIONS = ("--gc", "0.0005", "--keep-untagged", "2")
"""Collect every other second what is not needed and older than two hours."""
_OLD = 1_000_000_000
_PATIENT = ClientSettings(retry_policy=RetryPolicy(attempts=8, initial_delay=0.01, max_delay=0.2))


class RepositoryModel:
    """The expected content of one repository."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tags: dict[str, str] = {}
        self.manifests: dict[str, bytes] = {}
        self.deleted: set[str] = set()
        self.blobs: dict[str, bytes] = {}
        self.referrers: dict[str, set[str]] = {}

    def needed_blobs(self) -> set[str]:
        """Return the digests of the blobs that manifests refer to."""
        digests: set[str] = set()
        for data in self.manifests.values():
            document = json.loads(data)
            digests |= {descriptor["digest"] for descriptor in (document["config"], *document["layers"])}
        return digests


class SoakResult(msgspec.Struct, frozen=True):
    """The operations and findings of a run."""

    operations: dict[str, int]
    problems: list[str]
    memory: int
    """Peak resident memory of the server in bytes."""


class Worker:
    """A client with its repositories, connection and random numbers."""

    def __init__(self, number: int, seed: int, host: str, root: Path) -> None:
        self.random = random.Random(f"{seed}/{number}")
        self.repos = [RepositoryModel(f"client{number}/repo{index}") for index in range(3)]
        self.garbage = f"garbage/of{number}"
        self.shared: set[str] = set()
        self.operation_counts: dict[str, int] = {}
        self.problems: list[str] = []
        self._host = host
        self._root = root
        self._client = Client(settings=_PATIENT)
        self._connection = HTTPConnection(host, timeout=60)
        self._count = 0

    def work(self, operations: int) -> None:
        """Do ``operations`` operations and record the problems."""
        table = [
            self.push,
            self.push,
            self.push_in_chunks,
            self.mount,
            self.move_tag,
            self.pull,
            self.pull,
            self.pull_range,
        ]
        table += [
            self.untag,
            self.delete,
            self.delete_blob,
            self.list_tags,
            self.push_referrer,
            self.list_referrers,
        ]
        table += [self.move_shared_tag, self.push_garbage]
        with self._client:
            for _ in range(operations):
                step = self.random.choice(table)
                self.operation_counts[step.__name__] = self.operation_counts.get(step.__name__, 0) + 1
                try:
                    step()
                except Exception as error:  # noqa: BLE001 - any error is a finding
                    self.problems.append(f"{step.__name__}: {error!r}")
            self._connection.close()

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        self._connection.request(method, path, body, headers or {})
        response = self._connection.getresponse()
        return Reply(response.status, response.headers, response.read())

    def expect(self, is_true: bool, problem: str) -> None:
        if not is_true:
            self.problems.append(problem)

    def choose_repository(self) -> RepositoryModel:
        return self.random.choice(self.repos)

    def random_bytes(self, most: int = 20_000) -> bytes:
        self._count += 1
        return self.random.randbytes(self.random.randrange(1, most))

    # Operations ---------------------------------------------------------------------------------------

    def push(self) -> None:
        repo = self.choose_repository()
        layer = self.random_bytes(200_000 if self.random.random() < 0.05 else 20_000)
        for data in (b"{}", layer):
            self._client.upload_blob(_at(self._host, repo.name), _described(data), data)
            repo.blobs[digest_of(data)] = data
        self.put(repo, f"v{self.random.randrange(12)}", image(layer))

    def put(self, repo: RepositoryModel, tag: str, document: bytes) -> None:
        path = f"/v2/{repo.name}/manifests/{tag}"
        response = self.ask("PUT", path, document, {"Content-Type": MANIFEST})
        self.expect(response.status == 201, f"PUT {path}: {response.status}")
        digest = digest_of(document)
        repo.manifests[digest] = document
        repo.deleted.discard(digest)
        if ":" not in tag:
            repo.tags[tag] = digest

    def push_in_chunks(self) -> None:
        repo, data = self.choose_repository(), self.random_bytes(100_000)
        location = self.ask("POST", f"/v2/{repo.name}/blobs/uploads/").headers["Location"]
        for start in range(0, len(data), 30_000):
            chunk = data[start : start + 30_000]
            headers = {"Content-Range": f"{start}-{start + len(chunk) - 1}"}
            response = self.ask("PATCH", location, chunk, headers)
            self.expect(response.status == 202, f"PATCH: {response.status}")
            location = response.headers["Location"]
        response = self.ask(
            "PUT", f"{location}{'&' if '?' in location else '?'}digest={digest_of(data)}", b""
        )
        self.expect(response.status == 201, f"PUT of an upload: {response.status}")
        repo.blobs[digest_of(data)] = data

    def mount(self) -> None:
        source, target = self.random.sample(self.repos, 2)
        if source.blobs:
            digest = self.random.choice(sorted(source.blobs))
            query = f"mount={quote(digest)}&from={quote(source.name, safe='')}"
            response = self.ask("POST", f"/v2/{target.name}/blobs/uploads/?{query}")
            self.expect(response.status == 201, f"mount: {response.status}")
            target.blobs[digest] = source.blobs[digest]

    def move_tag(self) -> None:
        repo = self.choose_repository()
        if repo.manifests:
            document = repo.manifests[self.random.choice(sorted(repo.manifests))]
            self.put(repo, f"v{self.random.randrange(12)}", document)

    def pull(self) -> None:
        repo = self.choose_repository()
        tag = f"v{self.random.randrange(12)}"
        response = self.ask("GET", f"/v2/{repo.name}/manifests/{tag}", None, {"Accept": MANIFEST})
        digest = repo.tags.get(tag)
        if digest is None:
            self.expect(response.status == 404, f"GET of a tag that is not there: {response.status}")
            return
        self.expect(response.body == repo.manifests[digest], f"{repo.name}:{tag} has another manifest")
        for layer in json.loads(repo.manifests[digest])["layers"]:
            with self._client.open_blob(_at(self._host, repo.name), layer["digest"], layer["size"]) as file:
                self.expect(file.read() == repo.blobs[layer["digest"]], "a layer has other content")

    def pull_range(self) -> None:
        repo = self.choose_repository()
        if repo.blobs:
            digest = self.random.choice(sorted(repo.blobs))
            data = repo.blobs[digest]
            start = self.random.randrange(len(data))
            end = self.random.randrange(start, len(data))
            headers = {"Range": f"bytes={start}-{end}"}
            response = self.ask("GET", f"/v2/{repo.name}/blobs/{digest}", None, headers)
            self.expect(response.status in (200, 206), f"range: {response.status}")
            expected = data if response.status == 200 else data[start : end + 1]
            self.expect(response.body == expected, "a range has other bytes")

    def untag(self) -> None:
        repo = self.choose_repository()
        if repo.tags:
            tag = self.random.choice(sorted(repo.tags))
            response = self.ask("DELETE", f"/v2/{repo.name}/manifests/{tag}")
            self.expect(response.status == 202, f"DELETE of a tag: {response.status}")
            del repo.tags[tag]

    def delete(self) -> None:
        repo = self.choose_repository()
        if repo.manifests:
            digest = self.random.choice(sorted(repo.manifests))
            response = self.ask("DELETE", f"/v2/{repo.name}/manifests/{digest}")
            self.expect(response.status == 202, f"DELETE of a manifest: {response.status}")
            del repo.manifests[digest]
            repo.deleted.add(digest)
            repo.tags = {tag: target for tag, target in repo.tags.items() if target != digest}
            for digests in repo.referrers.values():
                digests.discard(digest)

    def delete_blob(self) -> None:
        repo = self.choose_repository()
        unneeded = sorted(repo.blobs.keys() - repo.needed_blobs())
        if unneeded:
            digest = self.random.choice(unneeded)
            response = self.ask("DELETE", f"/v2/{repo.name}/blobs/{digest}")
            self.expect(response.status == 202, f"DELETE of a blob: {response.status}")
            del repo.blobs[digest]

    def list_tags(self) -> None:
        repo = self.choose_repository()
        tags: list[str] = []
        path = f"/v2/{repo.name}/tags/list?n=3"
        while path:
            response = self.ask("GET", path)
            if response.status == 404 and not (repo.tags or repo.manifests or repo.blobs):
                return
            tags += response.json.get("tags") or []
            path = response.headers.get("Link", "").partition("<")[2].partition(">")[0]
        self.expect(tags == sorted(repo.tags), f"{repo.name} lists {tags}, not {sorted(repo.tags)}")

    def push_referrer(self) -> None:
        repo = self.choose_repository()
        if not repo.manifests:
            return
        subject = self.random.choice(sorted(repo.manifests))
        data = self.random_bytes(500)
        for blob in (b"{}", data):
            self._client.upload_blob(_at(self._host, repo.name), _described(blob), blob)
            repo.blobs[digest_of(blob)] = blob
        about = descriptor(repo.manifests[subject], MANIFEST)
        document = image(data, subject=about, artifactType=f"application/x-{self.random.randrange(3)}")
        self.put(repo, digest_of(document), document)
        repo.referrers.setdefault(subject, set()).add(digest_of(document))

    def list_referrers(self) -> None:
        repo = self.choose_repository()
        if repo.referrers:
            subject = self.random.choice(sorted(repo.referrers))
            self.expect(
                _list_referrers(self.ask, repo, subject) == repo.referrers[subject], "other referrers"
            )

    def move_shared_tag(self) -> None:
        """Move a tag that all clients move."""
        layer = self.random_bytes(1000)
        for data in (b"{}", layer):
            self._client.upload_blob(_at(self._host, "everybody"), _described(data), data)
        document = image(layer)
        headers = {"Content-Type": MANIFEST}
        response = self.ask("PUT", "/v2/everybody/manifests/latest", document, headers)
        self.expect(response.status == 201, f"PUT of the shared tag: {response.status}")
        self.shared.add(digest_of(document))
        response = self.ask("GET", "/v2/everybody/manifests/latest", None, {"Accept": MANIFEST})
        declared_digest = response.headers["Docker-Content-Digest"]
        self.expect(
            response.status == 200 and digest_of(response.body) == declared_digest,
            "the shared tag is damaged",
        )

    def push_garbage(self) -> None:
        """Push an unreferenced blob and make it old, so that a collection removes it."""
        data = self.random_bytes(1000)
        repository = _at(self._host, self.garbage)
        self._client.upload_blob(repository, _described(data), data)
        for file in (self._root / "repositories").rglob(f"*{digest_of(data).partition(':')[2]}*"):
            os.utime(file, (_OLD, _OLD))


def _at(host: str, name: str) -> Repository:
    return Repository(host, name)


def _described(data: bytes) -> oci.Descriptor:
    return oci.Descriptor("application/octet-stream", digest_of(data), len(data))


def _list_referrers(ask: Callable[..., Reply], repo: RepositoryModel, subject: str) -> set[str]:
    digests: set[str] = set()
    path = f"/v2/{repo.name}/referrers/{subject}"
    while path:
        reply = ask("GET", path, None, {"Accept": INDEX})
        digests |= {descriptor["digest"] for descriptor in reply.json["manifests"]}
        path = reply.headers.get("Link", "").partition("<")[2].partition(">")[0]
    return digests


def peak_memory(pid: int) -> int:
    """Return the peak resident memory of a process and its children in bytes."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        except OSError:
            continue  # the process has ended
        if int(fields["Pid"]) == pid or int(fields["PPid"]) == pid:
            total += int(fields.get("VmHWM", "0 kB").split()[0]) << 10
    return total


def compare(registry: Registry, workers: list[Worker]) -> list[str]:
    """Return the differences between the registry and the model."""
    problems: list[str] = []

    def expect(is_true: bool, problem: str) -> None:
        problems.extend([] if is_true else [problem])

    for repo in (repo for worker in workers for repo in worker.repos):
        tags: Any = registry.ask("GET", f"/v2/{repo.name}/tags/list")
        stored_tags = (tags.json.get("tags") or []) if tags.status == 200 else []
        expect(
            stored_tags == sorted(repo.tags),
            f"{repo.name} has the tags {stored_tags}, not {sorted(repo.tags)}",
        )
        for digest, data in repo.manifests.items():
            response = registry.ask("GET", f"/v2/{repo.name}/manifests/{digest}", None, {"Accept": MANIFEST})
            expect(response.body == data, f"{repo.name}@{digest}: {response.status}")
        for digest in repo.deleted:
            response = registry.ask("HEAD", f"/v2/{repo.name}/manifests/{digest}")
            expect(response.status == 404, f"{repo.name}@{digest} was deleted, but still exists")
        for digest in repo.blobs:
            response = registry.ask("GET", f"/v2/{repo.name}/blobs/{digest}")
            expect(response.body == repo.blobs[digest], f"{repo.name}@{digest}: {response.status}")
        for subject, digests in repo.referrers.items():
            expect(_list_referrers(registry.ask, repo, subject) == digests, f"{subject} has other referrers")
    last = registry.ask("HEAD", "/v2/everybody/manifests/latest").headers["Docker-Content-Digest"]
    pushed = {digest for worker in workers for digest in worker.shared}
    expect(not pushed or last in pushed, f"the shared tag is {last}, which was not pushed")
    return problems


def run(root: Path, operations: int, *, seed: int = 0) -> SoakResult:
    """Do ``operations`` operations on a registry in ``root``, and compare everything in the end."""
    with serving(root, *OPTIONS) as registry:
        workers = [Worker(number, seed, registry.host, root) for number in range(CLIENTS)]
        operations_per_client = operations // CLIENTS
        threads = [threading.Thread(target=worker.work, args=(operations_per_client,)) for worker in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        problems = [problem for worker in workers for problem in worker.problems]
        problems += compare(registry, workers)
        memory = peak_memory(registry.process.pid)
        if registry.stop():
            problems.append("the server did not end well")
    with serving(root) as registry:  # everything must be on disk
        problems += compare(registry, workers)
    with open_storage(root) as storage:
        findings = check(storage)
        problems += [
            f"{finding.where}: {finding.message}" for finding in (*findings.damaged, *findings.incomplete)
        ]
    operation_counts: dict[str, int] = {}
    for worker in workers:
        for name, count in worker.operation_counts.items():
            operation_counts[name] = operation_counts.get(name, 0) + count
    return SoakResult(operation_counts, problems, memory)
