"""Peers share the blobs of a published image, on machines of their own; bytes are counted, not time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from pumice.cli.main import main
from pumice.image.transports import layout
from pumice.store.home import Home
from tests.support import handmade, lan, locations, nginx
from tests.support.handmade import ImageContents, file
from tests.support.lan import Host
from tests.support.nginx import Server

SIZE = 24_000_000
TRACKER_PORT = 6969

pytestmark = pytest.mark.peer("nginx", "ip")


class Swarm(NamedTuple):
    """A server of an image with torrents, and machines that can pull it."""

    server: Server
    origin: Host
    leechers: Sequence[Host]
    folder: Path
    reference: str
    digest: str


@contextmanager
def swarm(folder: Path, leechers: int, *options: str) -> Iterator[Swarm]:
    """Publish an image of `SIZE` bytes on a machine, and give others."""
    content = handmade.random_bytes(SIZE, "shared")
    locations.write(
        handmade.image(ImageContents([[file("data", content)]])), f"oci:{folder}/layout", version="1.0"
    )
    with ExitStack() as stack:
        origin, *others = stack.enter_context(lan.network(leechers + 1))
        url = f"https://{origin.address}:8443"
        tracker = f"http://{origin.address}:{TRACKER_PORT}/announce"
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
    command = [
        *swarm_.origin.prefix,
        *pumice("seed", f"{swarm_.folder}/tree", "--tracker", f":{TRACKER_PORT}"),
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
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    assert out.strip() == swarm_.digest
    with Home(swarm_.folder / f"store-{number}") as home:
        for name in home.blobs.digests():
            assert home.blobs.verify(name)
    return err


def test_four_downloaders_take_about_one_copy_from_the_server(tmp_path: Path) -> None:
    with swarm(tmp_path, 4) as running, seeding(running, "--only-tracker"):
        lan.limit_rate(running.origin, 10)
        pulls = [start_pull(running, number) for number in range(4)]
        for number, process in enumerate(pulls):
            finish(running, process, number)
        copies = running.server.sent_size() / SIZE
    assert 0.99 < copies < 2.5  # four without peers; `bench` has the exact number for a larger image


def test_a_seed_sends_everything_that_the_server_would(tmp_path: Path) -> None:
    with swarm(tmp_path, 1) as running, seeding(running):
        finish(running, start_pull(running, 0), 0)
        assert running.server.sent_size() < SIZE / 2


@pytest.mark.parametrize("options", [(), ("--torrent-v2",)])
def test_without_a_tracker_the_server_sends_everything_once(tmp_path: Path, options: tuple[str, ...]) -> None:
    with swarm(tmp_path, 1, *options) as running:
        finish(running, start_pull(running, 0), 0)
        assert SIZE <= running.server.sent_size() < SIZE * 1.2


def test_no_peers_are_used_if_the_user_says_so(tmp_path: Path) -> None:
    with swarm(tmp_path, 1) as running, seeding(running):
        finish(running, start_pull(running, 0, "--no-peers"), 0)
        assert running.server.sent_size() >= SIZE
        assert not any("Range" in line or " 206 " in line for line in running.server.requests())


def test_the_others_finish_if_one_is_killed(tmp_path: Path) -> None:
    with swarm(tmp_path, 3) as running, seeding(running, "--only-tracker"):
        lan.limit_rate(running.origin, 10)
        victim, *others = [start_pull(running, number) for number in range(3)]
        while not any(" 206 " in line for line in running.server.requests()):
            assert victim.poll() is None
        victim.kill()
        victim.communicate()
        for number, process in enumerate(others, 1):
            finish(running, process, number)


def test_a_peer_that_sends_garbage_is_left(tmp_path: Path) -> None:
    with swarm(tmp_path, 2) as running, seeding(running, "--only-tracker"):
        lan.limit_rate(running.origin, 3)
        torrent_file = next(
            path
            for path in (tmp_path / "tree/v2/team/big/blobs").iterdir()
            if path.read_bytes().startswith(b"d8:announce")
        )
        garbage = [sys.executable, "-m", "tests.support.garbage_peer", str(torrent_file)]
        with subprocess.Popen(
            [*running.leechers[1].prefix, *garbage], stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                finish(running, start_pull(running, 0), 0)
            finally:
                process.kill()
            assert "sent" in process.stdout.read()
        assert running.server.sent_size() >= SIZE
