"""Measure how fast an image is fetched from a web server, compared with curl and its own slowest stage.

    python -m bench.fetch [--megabytes N] [--runs N] [--rate 125m]

nginx serves a signed image over TLS on loopback, with ``--rate`` at so many bytes per second. ``download`` is
the download alone, ``fetch`` the whole command, into an empty store. Needs nginx and curl.
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
from pathlib import Path

from bench.measure import Contender, interleave
from tests.support import websites
from tests.support.handmade import file, folder
from tests.support.publishers import read_fingerprint, write_image
from tests.support.websites import Website

HERE = Path(__file__).parent
NAME = "127.0.0.1/big"
FILE = f"aci/{NAME}-1.0-linux-amd64.aci"
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


def main() -> None:
    """Measure, and write ``bench/results/fetch.json``."""
    parser = argparse.ArgumentParser(prog="python -m bench.fetch", description=__doc__)
    parser.add_argument("--megabytes", type=int, default=400, help="size of the files (default: 400)")
    parser.add_argument("--runs", type=int, default=5, help="runs of each command (default: 5)")
    parser.add_argument("--rate", default="", help="limit of nginx in bytes per second, such as 125m")
    options = parser.parse_args()
    limit = f"limit_rate {options.rate};" if options.rate else ""
    with (
        tempfile.TemporaryDirectory(prefix="bench-") as scratch,
        websites.serving(Path(scratch, "www"), Path(scratch, "nginx"), limit) as site,
    ):
        size = _publish(Path(scratch), site, options.megabytes)
        contenders = list(_contenders(Path(scratch), site, options.megabytes))
        interleave(contenders, options.runs)
    result = _summarize(contenders) | {"image": size, "rate": options.rate or "loopback"}
    print(json.dumps(result, indent=1))
    path = HERE / "results" / "fetch.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    results[result["rate"]] = result
    path.write_text(json.dumps(results, indent=1) + "\n")


def _environment(scratch: Path) -> dict[str, str]:
    return {
        "PUMICE_HOME": str(scratch / "store"),
        "XDG_CONFIG_HOME": str(scratch / "config"),
        "PUMICE_KEY_PASSPHRASE": "secret",
    }


def _publish(scratch: Path, site: Website, megabytes: int) -> int:
    """Publish an image of files that compress to half of their size; return the size of its file."""
    content = random.Random(0)
    files = [
        file(f"f/{number}", content.randbytes(1 << 19) + b"%09d\n" % number * 52429)
        for number in range(megabytes)
    ]
    write_image(scratch / "big.aci", NAME, "1.0", items=[folder("f"), *files])
    environment = {**os.environ, **_environment(scratch)}

    def call(*arguments: str) -> None:
        subprocess.run(
            [*PUMICE, *arguments], check=True, cwd=scratch, env=environment, stdout=subprocess.DEVNULL
        )

    call("key", "generate", "--openpgp", "Bench <bench@example.com>", "--output", "release")
    call("publish", "-q", "--appc", str(site.root), "--url", site.url, "--key", "release.key", "aci:big.aci")
    fingerprint = read_fingerprint(str(scratch / "release.pub"))
    call("trust", "add", "--prefix", "127.0.0.1", "release.pub", "--fingerprint", fingerprint)
    return (scratch / "big.aci").stat().st_size


def _contenders(scratch: Path, site: Website, megabytes: int) -> Iterator[Contender]:
    environment = _environment(scratch)
    url, ca = f"{site.url}/{FILE}", str(site.ca)
    store = scratch / "store"

    def empty(_: int) -> None:
        shutil.rmtree(store, ignore_errors=True)

    fetch = (*PUMICE, "fetch", "-q", "--ca", ca, "--port", str(site.port), f"{NAME}:1.0")
    download = (sys.executable, "-c", DOWNLOAD, url, ca, str(store))
    curl = ("curl", "-sS", "--cacert", ca, "-o", str(scratch / "curl.aci"), url)
    yield Contender("fetch", lambda _: fetch, empty, environment)
    yield Contender("download", lambda _: download, empty, environment)
    yield Contender("curl", lambda _: curl)
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
