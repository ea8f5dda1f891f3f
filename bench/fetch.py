"""Measure how fast an image is fetched from a web server, compared with curl and its own slowest stage.

    python -m bench.fetch [--megabytes N] [--runs N] [--gigabit]

nginx serves a signed image over TLS: on loopback, or with ``--gigabit`` on another machine (a network
namespace, so it needs root) behind a link of 1 Gbit/s. ``download`` is the download alone, ``fetch`` the
whole command, into an empty store. Needs nginx and curl.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.measure import Contender, interleave
from tests.support import lan, nginx, websites
from tests.support.handmade import file, folder
from tests.support.publishers import read_fingerprint, write_image

HERE = Path(__file__).parent
GIGABIT = 125
"""MB per second."""
PUMICE = (sys.executable, "-m", "pumice")
DOWNLOAD = """
import sys, time
from pumice.discovery.download import Download
from pumice.discovery.session import DiscoverySession
from pumice.progress import Silent
from pumice.registry.credentials import Anonymous
from pumice.registry.settings import ClientSettings
from pumice.registry.transport import TlsFiles
from pumice.store.home import Home
url, ca, store = sys.argv[1:]
with Home(store) as home:
    settings = ClientSettings(tls=TlsFiles(ca=ca))
    with DiscoverySession(home, Anonymous(), settings, Silent(), environ={}) as session:
        Download(session.web(), url, home, Silent()).run(None, time.time)
"""
INFLATE = """
import sys
from pumice.formats.compression import DecompressedStream
with open(sys.argv[1], "rb") as file:
    stream = DecompressedStream(file)
    while stream.read_some(1 << 20):
        pass
"""
SHA512 = """
import hashlib, sys
data, state = bytes(1 << 20), hashlib.sha512()
for _ in range(int(sys.argv[1])):
    state.update(data)
"""


class Site(NamedTuple):
    """A web server, and the words before a command that runs on the machine of a client."""

    host: str
    port: int
    root: Path
    ca: Path
    prefix: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """The URL of the root."""
        return f"https://{self.host}:{self.port}"

    @property
    def name(self) -> str:
        """The name of the image."""
        return f"{self.host}/big"

    @property
    def image_url(self) -> str:
        """The URL of the image."""
        return f"{self.url}/aci/{self.name}-1.0-linux-amd64.aci"


def main() -> None:
    """Measure, and write ``bench/results/fetch.json``."""
    parser = argparse.ArgumentParser(prog="python -m bench.fetch", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=400, help="size of the files (default: 400)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each command (default: 5)")
    parser.add_argument("--gigabit", action="store_true", help="over a link of 1 Gbit/s")
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as scratch,
        (_serve_gigabit if options.gigabit else _serve_loopback)(Path(scratch)) as site,
    ):
        size = _publish(Path(scratch), site, options.megabytes)
        contenders = list(_contenders(Path(scratch), site, options.megabytes))
        interleave(contenders, options.runs)
    link = "1 Gbit/s" if options.gigabit else "loopback"
    result = _summarize(contenders) | {"image": size, "link": link}
    print(json.dumps(result, indent=1))
    path = HERE / "results" / "fetch.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    results[link] = result
    path.write_text(json.dumps(results, indent=1) + "\n")


@contextmanager
def _serve_loopback(scratch: Path) -> Iterator[Site]:
    with websites.serving(scratch / "www", scratch / "nginx") as site:
        yield Site("127.0.0.1", site.port, site.root, site.ca)


@contextmanager
def _serve_gigabit(scratch: Path) -> Iterator[Site]:
    root = scratch / "www"
    directives = f"root {root}; location / {{ try_files $uri $uri/index.html =404; }}"
    with (
        lan.network(2) as (origin, client),
        nginx.serving(scratch / "nginx", directives, address=origin.address, prefix=origin.prefix) as server,
    ):
        lan.limit_rate(origin, GIGABIT)
        yield Site(origin.address, 8443, root, server.ca, client.prefix)


def _environment(scratch: Path) -> dict[str, str]:
    return {
        "PUMICE_HOME": str(scratch / "store"),
        "XDG_CONFIG_HOME": str(scratch / "config"),
        "PUMICE_KEY_PASSPHRASE": "secret",
    }


def _publish(scratch: Path, site: Site, megabytes: int) -> int:
    """Publish an image of files that compress to half of their size; return the size of its file."""
    content = random.Random(0)
    files = [
        file(f"f/{number}", content.randbytes(1 << 19) + b"%09d\n" % number * 52429)
        for number in range(megabytes)
    ]
    write_image(scratch / "big.aci", site.name, "1.0", items=[folder("f"), *files])
    environment = {**os.environ, **_environment(scratch)}

    def call(*arguments: str) -> None:
        subprocess.run(
            [*PUMICE, *arguments], check=True, cwd=scratch, env=environment, stdout=subprocess.DEVNULL
        )

    call("key", "generate", "--openpgp", "Bench <bench@example.com>", "--output", "release")
    call("publish", "-q", "--appc", str(site.root), "--url", site.url, "--key", "release.key", "aci:big.aci")
    fingerprint = read_fingerprint(str(scratch / "release.pub"))
    call("trust", "add", "--prefix", site.host, "release.pub", "--fingerprint", fingerprint)
    return (scratch / "big.aci").stat().st_size


def _contenders(scratch: Path, site: Site, megabytes: int) -> Iterator[Contender]:
    environment = _environment(scratch)
    ca, store = str(site.ca), scratch / "store"

    def empty(_: int) -> None:
        shutil.rmtree(store, ignore_errors=True)

    fetch = (*PUMICE, "fetch", "-q", "--ca", ca, "--port", str(site.port), f"{site.name}:1.0")
    download = (sys.executable, "-c", DOWNLOAD, site.image_url, ca, str(store))
    curl = ("curl", "-sS", "--cacert", ca, "-o", str(scratch / "curl.aci"), site.image_url)
    yield Contender("fetch", lambda _: (*site.prefix, *fetch), empty, environment)
    yield Contender("download", lambda _: (*site.prefix, *download), empty, environment)
    yield Contender("curl", lambda _: (*site.prefix, *curl))
    yield Contender("inflate", lambda _: (sys.executable, "-c", INFLATE, str(scratch / "big.aci")))
    yield Contender("sha512", lambda _: (sys.executable, "-c", SHA512, str(megabytes)))


def _summarize(contenders: list[Contender]) -> dict[str, object]:
    walls = {contender.name: contender.wall for contender in contenders}
    slowest = max(walls["curl"], walls["inflate"], walls["sha512"])
    processors = {
        contender.name: round(min(run.processor for run in contender.runs), 2) for contender in contenders
    }
    return {
        "wall": {name: round(wall, 2) for name, wall in walls.items()},
        "processor": processors,
        "download/curl": round(walls["curl"] / walls["download"], 2),
        "fetch/slowest": round(slowest / walls["fetch"], 2),
    }


if __name__ == "__main__":
    main()
