"""Thousands of mixed operations by concurrent clients on a registry of ours, held against a model.

Each client has repositories of its own, so that the model knows at every moment what must be there; one
more repository is everybody's. What is done comes from a seed, and so does every byte.
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
"""Collects every other second; what is older than two hours and nobody needs goes."""
_OLD = 1_000_000_000
_PATIENT = ClientSettings(retry_policy=RetryPolicy(attempts=8, initial_delay=0.01, max_delay=0.2))


class Repo:
    """What one repository must have."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.tags: dict[str, str] = {}
        self.manifests: dict[str, bytes] = {}
        self.gone: set[str] = set()
        self.blobs: dict[str, bytes] = {}
        self.about: dict[str, set[str]] = {}

    def needed(self) -> set[str]:
        """Return the blobs that manifests name."""
        found: set[str] = set()
        for data in self.manifests.values():
            document = json.loads(data)
            found |= {one["digest"] for one in (document["config"], *document["layers"])}
        return found


class Done(msgspec.Struct, frozen=True):
    """What a run did and found."""

    operations: dict[str, int]
    problems: list[str]
    memory: int
    """Bytes that the server had resident at its worst."""


class Worker:
    """One client with its repositories, its connection and its dice."""

    def __init__(self, number: int, seed: int, host: str, root: Path) -> None:
        self.dice = random.Random(f"{seed}/{number}")
        self.repos = [Repo(f"client{number}/repo{index}") for index in range(3)]
        self.garbage = f"garbage/of{number}"
        self.shared: set[str] = set()
        self.done: dict[str, int] = {}
        self.problems: list[str] = []
        self._host = host
        self._root = root
        self._client = Client(settings=_PATIENT)
        self._wire = HTTPConnection(host, timeout=60)
        self._count = 0

    def work(self, operations: int) -> None:
        """Do so many operations; what goes wrong is remembered."""
        table = [self.push, self.push, self.chunked, self.mount, self.move, self.pull, self.pull, self.part]
        table += [self.untag, self.delete, self.delete_blob, self.listing, self.refer, self.referrers]
        table += [self.contend, self.collect]
        with self._client:
            for _ in range(operations):
                step = self.dice.choice(table)
                self.done[step.__name__] = self.done.get(step.__name__, 0) + 1
                try:
                    step()
                except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
                    self.problems.append(f"{step.__name__}: {error!r}")
            self._wire.close()

    def ask(
        self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
    ) -> Reply:
        self._wire.request(method, path, body, headers or {})
        answer = self._wire.getresponse()
        return Reply(answer.status, answer.headers, answer.read())

    def expect(self, is_so: bool, what: str) -> None:
        if not is_so:
            self.problems.append(what)

    def any_repo(self) -> Repo:
        return self.dice.choice(self.repos)

    def fresh(self, most: int = 20_000) -> bytes:
        self._count += 1
        return self.dice.randbytes(self.dice.randrange(1, most))

    # What a client does -------------------------------------------------------------------------------

    def push(self) -> None:
        repo = self.any_repo()
        layer = self.fresh(200_000 if self.dice.random() < 0.05 else 20_000)
        for data in (b"{}", layer):
            self._client.upload_blob(_at(self._host, repo.name), _described(data), data)
            repo.blobs[digest_of(data)] = data
        self.put(repo, f"v{self.dice.randrange(12)}", image(layer))

    def put(self, repo: Repo, tag: str, document: bytes) -> None:
        path = f"/v2/{repo.name}/manifests/{tag}"
        answer = self.ask("PUT", path, document, {"Content-Type": MANIFEST})
        self.expect(answer.status == 201, f"PUT {path}: {answer.status}")
        digest = digest_of(document)
        repo.manifests[digest] = document
        repo.gone.discard(digest)
        if ":" not in tag:
            repo.tags[tag] = digest

    def chunked(self) -> None:
        repo, data = self.any_repo(), self.fresh(100_000)
        place = self.ask("POST", f"/v2/{repo.name}/blobs/uploads/").headers["Location"]
        for start in range(0, len(data), 30_000):
            piece = data[start : start + 30_000]
            headers = {"Content-Range": f"{start}-{start + len(piece) - 1}"}
            answer = self.ask("PATCH", place, piece, headers)
            self.expect(answer.status == 202, f"PATCH: {answer.status}")
            place = answer.headers["Location"]
        answer = self.ask("PUT", f"{place}{'&' if '?' in place else '?'}digest={digest_of(data)}", b"")
        self.expect(answer.status == 201, f"PUT of an upload: {answer.status}")
        repo.blobs[digest_of(data)] = data

    def mount(self) -> None:
        one, two = self.dice.sample(self.repos, 2)
        if one.blobs:
            digest = self.dice.choice(sorted(one.blobs))
            query = f"mount={quote(digest)}&from={quote(one.name, safe='')}"
            answer = self.ask("POST", f"/v2/{two.name}/blobs/uploads/?{query}")
            self.expect(answer.status == 201, f"mount: {answer.status}")
            two.blobs[digest] = one.blobs[digest]

    def move(self) -> None:
        repo = self.any_repo()
        if repo.manifests:
            document = repo.manifests[self.dice.choice(sorted(repo.manifests))]
            self.put(repo, f"v{self.dice.randrange(12)}", document)

    def pull(self) -> None:
        repo = self.any_repo()
        tag = f"v{self.dice.randrange(12)}"
        answer = self.ask("GET", f"/v2/{repo.name}/manifests/{tag}", None, {"Accept": MANIFEST})
        digest = repo.tags.get(tag)
        if digest is None:
            self.expect(answer.status == 404, f"GET of a tag that is not there: {answer.status}")
            return
        self.expect(answer.body == repo.manifests[digest], f"{repo.name}:{tag} is another manifest")
        for layer in json.loads(repo.manifests[digest])["layers"]:
            with self._client.open_blob(_at(self._host, repo.name), layer["digest"], layer["size"]) as file:
                self.expect(file.read() == repo.blobs[layer["digest"]], "a layer is another")

    def part(self) -> None:
        repo = self.any_repo()
        if repo.blobs:
            digest = self.dice.choice(sorted(repo.blobs))
            data = repo.blobs[digest]
            start = self.dice.randrange(len(data))
            end = self.dice.randrange(start, len(data))
            headers = {"Range": f"bytes={start}-{end}"}
            answer = self.ask("GET", f"/v2/{repo.name}/blobs/{digest}", None, headers)
            self.expect(answer.status in (200, 206), f"range: {answer.status}")
            wanted = data if answer.status == 200 else data[start : end + 1]
            self.expect(answer.body == wanted, "a range has other bytes")

    def untag(self) -> None:
        repo = self.any_repo()
        if repo.tags:
            tag = self.dice.choice(sorted(repo.tags))
            answer = self.ask("DELETE", f"/v2/{repo.name}/manifests/{tag}")
            self.expect(answer.status == 202, f"DELETE of a tag: {answer.status}")
            del repo.tags[tag]

    def delete(self) -> None:
        repo = self.any_repo()
        if repo.manifests:
            digest = self.dice.choice(sorted(repo.manifests))
            answer = self.ask("DELETE", f"/v2/{repo.name}/manifests/{digest}")
            self.expect(answer.status == 202, f"DELETE of a manifest: {answer.status}")
            del repo.manifests[digest]
            repo.gone.add(digest)
            repo.tags = {tag: one for tag, one in repo.tags.items() if one != digest}
            for some in repo.about.values():
                some.discard(digest)

    def delete_blob(self) -> None:
        repo = self.any_repo()
        unneeded = sorted(repo.blobs.keys() - repo.needed())
        if unneeded:
            digest = self.dice.choice(unneeded)
            answer = self.ask("DELETE", f"/v2/{repo.name}/blobs/{digest}")
            self.expect(answer.status == 202, f"DELETE of a blob: {answer.status}")
            del repo.blobs[digest]

    def listing(self) -> None:
        repo = self.any_repo()
        found: list[str] = []
        path = f"/v2/{repo.name}/tags/list?n=3"
        while path:
            answer = self.ask("GET", path)
            if answer.status == 404 and not (repo.tags or repo.manifests or repo.blobs):
                return
            found += answer.json.get("tags") or []
            path = answer.headers.get("Link", "").partition("<")[2].partition(">")[0]
        self.expect(found == sorted(repo.tags), f"{repo.name} lists {found}, not {sorted(repo.tags)}")

    def refer(self) -> None:
        repo = self.any_repo()
        if not repo.manifests:
            return
        subject = self.dice.choice(sorted(repo.manifests))
        data = self.fresh(500)
        for blob in (b"{}", data):
            self._client.upload_blob(_at(self._host, repo.name), _described(blob), blob)
            repo.blobs[digest_of(blob)] = blob
        about = descriptor(repo.manifests[subject], MANIFEST)
        document = image(data, subject=about, artifactType=f"application/x-{self.dice.randrange(3)}")
        self.put(repo, digest_of(document), document)
        repo.about.setdefault(subject, set()).add(digest_of(document))

    def referrers(self) -> None:
        repo = self.any_repo()
        if repo.about:
            subject = self.dice.choice(sorted(repo.about))
            self.expect(_listed(self.ask, repo, subject) == repo.about[subject], "other referrers")

    def contend(self) -> None:
        """Move a tag that all others move as well."""
        layer = self.fresh(1000)
        for data in (b"{}", layer):
            self._client.upload_blob(_at(self._host, "everybody"), _described(data), data)
        document = image(layer)
        headers = {"Content-Type": MANIFEST}
        answer = self.ask("PUT", "/v2/everybody/manifests/latest", document, headers)
        self.expect(answer.status == 201, f"PUT of the shared tag: {answer.status}")
        self.shared.add(digest_of(document))
        answer = self.ask("GET", "/v2/everybody/manifests/latest", None, {"Accept": MANIFEST})
        said = answer.headers["Docker-Content-Digest"]
        self.expect(answer.status == 200 and digest_of(answer.body) == said, "the shared tag is damaged")

    def collect(self) -> None:
        """Leave something that nobody needs, and make it old: the collector comes for it."""
        data = self.fresh(1000)
        repository = _at(self._host, self.garbage)
        self._client.upload_blob(repository, _described(data), data)
        for file in (self._root / "repositories").rglob(f"*{digest_of(data).partition(':')[2]}*"):
            os.utime(file, (_OLD, _OLD))


def _at(host: str, name: str) -> Repository:
    return Repository(host, name)


def _described(data: bytes) -> oci.Descriptor:
    return oci.Descriptor("application/octet-stream", digest_of(data), len(data))


def _listed(ask: Callable[..., Reply], repo: Repo, subject: str) -> set[str]:
    found: set[str] = set()
    path = f"/v2/{repo.name}/referrers/{subject}"
    while path:
        answer = ask("GET", path, None, {"Accept": INDEX})
        found |= {one["digest"] for one in answer.json["manifests"]}
        path = answer.headers.get("Link", "").partition("<")[2].partition(">")[0]
    return found


def resident(pid: int) -> int:
    """Return the bytes that a process and its children had resident at their worst."""
    total = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            fields = dict(line.split(":", 1) for line in status.read_text().splitlines() if ":" in line)
        except OSError:
            continue  # it has ended
        if int(fields["Pid"]) == pid or int(fields["PPid"]) == pid:
            total += int(fields.get("VmHWM", "0 kB").split()[0]) << 10
    return total


def compare(registry: Registry, workers: list[Worker]) -> list[str]:
    """Return where the registry differs from the model."""
    problems: list[str] = []

    def expect(is_so: bool, what: str) -> None:
        problems.extend([] if is_so else [what])

    for repo in (repo for worker in workers for repo in worker.repos):
        tags: Any = registry.ask("GET", f"/v2/{repo.name}/tags/list")
        there = (tags.json.get("tags") or []) if tags.status == 200 else []
        expect(there == sorted(repo.tags), f"{repo.name} has the tags {there}, not {sorted(repo.tags)}")
        for digest, data in repo.manifests.items():
            got = registry.ask("GET", f"/v2/{repo.name}/manifests/{digest}", None, {"Accept": MANIFEST})
            expect(got.body == data, f"{repo.name}@{digest}: {got.status}")
        for digest in repo.gone:
            got = registry.ask("HEAD", f"/v2/{repo.name}/manifests/{digest}")
            expect(got.status == 404, f"{repo.name}@{digest} is there, and was deleted")
        for digest in repo.blobs:
            got = registry.ask("GET", f"/v2/{repo.name}/blobs/{digest}")
            expect(got.body == repo.blobs[digest], f"{repo.name}@{digest}: {got.status}")
        for subject, digests in repo.about.items():
            expect(_listed(registry.ask, repo, subject) == digests, f"{subject} has other referrers")
    last = registry.ask("HEAD", "/v2/everybody/manifests/latest").headers["Docker-Content-Digest"]
    written = {digest for worker in workers for digest in worker.shared}
    expect(not written or last in written, f"the shared tag is {last}, which nobody pushed")
    return problems


def run(root: Path, operations: int, *, seed: int = 0) -> Done:
    """Do ``operations`` in all on a registry in ``root``, and look at everything in the end."""
    with serving(root, *OPTIONS) as registry:
        workers = [Worker(number, seed, registry.host, root) for number in range(CLIENTS)]
        share = operations // CLIENTS
        threads = [threading.Thread(target=worker.work, args=(share,)) for worker in workers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        problems = [problem for worker in workers for problem in worker.problems]
        problems += compare(registry, workers)
        memory = resident(registry.process.pid)
        if registry.stop():
            problems.append("the server did not end well")
    with serving(root) as registry:  # and all of it is on the disk
        problems += compare(registry, workers)
    with open_storage(root) as storage:
        found = check(storage)
        problems += [f"{one.where}: {one.message}" for one in (*found.damaged, *found.incomplete)]
    done: dict[str, int] = {}
    for worker in workers:
        for name, count in worker.done.items():
            done[name] = done.get(name, 0) + count
    return Done(done, problems, memory)
