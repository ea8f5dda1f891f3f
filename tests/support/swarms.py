"""An image with torrents behind nginx, a tracker, and machines that pull it, in a network of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

from pumice.cli.main import main
from pumice.image.transports import layout
from pumice.store.home import Home
from tests.support import handmade, lan, locations, nginx
from tests.support.handmade import ImageContents, file
from tests.support.lan import Host
from tests.support.nginx import Server

SIZE = 24_000_000
TRACKER_PORT = 6969


class Swarm(NamedTuple):
    """A server of an image with torrents, and machines that can pull it."""

    server: Server
    origin: Host
    leechers: Sequence[Host]
    folder: Path
    reference: str
    digest: str


@contextmanager
def swarm(
    folder: Path, leechers: int, *options: str, size: int = SIZE, ipv6: bool = False
) -> Iterator[Swarm]:
    """Publish an image of ``size`` bytes on a machine, and give others; with ``ipv6`` without IPv4."""
    content = handmade.random_bytes(size, "shared")
    locations.write(
        handmade.image(ImageContents([[file("data", content)]])), f"oci:{folder}/layout", version="1.0"
    )
    with ExitStack() as stack:
        origin, *others = stack.enter_context(lan.network(leechers + 1, ipv6=ipv6))
        url = f"https://{origin.url_host}:8443"
        tracker = f"http://{origin.url_host}:{TRACKER_PORT}/announce"
        publish = [
            "publish",
            "-q",
            "--oci",
            f"{folder}/tree",
            "--name",
            "team/big:1.0",
            f"oci:{folder}/layout",
        ]
        assert main([*publish, "--torrent", "--url", url, "--tracker", tracker, *options]) == 0
        server = stack.enter_context(
            nginx.serving(
                folder / "server",
                f"include {folder}/tree/nginx.conf;",
                address=origin.address,
                prefix=origin.prefix,
            )
        )
        digest = layout.read_layout(folder / "layout").root.digest
        yield Swarm(server, origin, others, folder, f"docker://{server.host}/team/big:1.0", digest)


@contextmanager
def seeding(swarm_: Swarm, *options: str) -> Iterator[None]:
    """Run ``pumice seed`` on the machine of the server."""
    listen = "[::]" if ":" in swarm_.origin.address else ""
    command = [
        *swarm_.origin.prefix,
        *pumice("seed", f"{swarm_.folder}/tree", "--tracker", f"{listen}:{TRACKER_PORT}"),
    ]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().endswith(f":{TRACKER_PORT}/announce\n")
            yield
        finally:
            process.terminate()
    assert process.returncode == 0


def pumice(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "pumice", *arguments]


def start_pull(swarm_: Swarm, number: int, *options: str) -> subprocess.Popen[str]:
    store = swarm_.folder / f"store-{number}"
    arguments = ("pull", "--allow-unsigned", f"--ca={swarm_.server.ca}", *options, swarm_.reference)
    return subprocess.Popen(
        [*swarm_.leechers[number].prefix, *pumice(*arguments)],
        env=os.environ | {"PUMICE_HOME": str(store)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(swarm_: Swarm, process: subprocess.Popen[str], number: int) -> str:
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert out.strip() == swarm_.digest
    with Home(swarm_.folder / f"store-{number}") as home:
        for name in home.blobs.digests():
            assert home.blobs.verify(name)
    return err
