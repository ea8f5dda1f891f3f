"""Peers share the blobs of a published image, on machines of their own; bytes are counted, not time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pumice.cli.main import main
from tests.support import handmade, lan, locations, nginx, waiting
from tests.support.handmade import ImageContents, file
from tests.support.swarms import SIZE, TRACKER_PORT, Swarm, finish, pumice, seeding, start_pull, swarm

pytestmark = pytest.mark.peer("nginx", "ip")


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


def test_machines_share_over_ipv6(tmp_path: Path) -> None:
    with swarm(tmp_path, 3, ipv6=True) as running, seeding(running, "--only-tracker"):
        lan.limit_rate(running.origin, 10)
        pulls = [start_pull(running, number) for number in range(3)]
        for number, process in enumerate(pulls):
            finish(running, process, number)
        assert running.server.sent_size() < SIZE * 2


def test_machines_behind_one_nat_share(tmp_path: Path) -> None:
    with swarm(tmp_path, 1) as running, lan.private_network(running.leechers[0], 1, 3) as leechers:
        inside = running._replace(leechers=leechers)
        with seeding(inside, "--only-tracker"):
            lan.limit_rate(inside.origin, 10)
            pulls = [start_pull(inside, number) for number in range(3)]
            for number, process in enumerate(pulls):
                finish(inside, process, number)
            assert inside.server.sent_size() < SIZE * 2.5  # three without peers


def test_no_peers_are_used_if_the_user_says_so(tmp_path: Path) -> None:
    with swarm(tmp_path, 1) as running, seeding(running):
        finish(running, start_pull(running, 0, "--no-peers"), 0)
        assert running.server.sent_size() >= SIZE
        assert not any("Range" in line or " 206 " in line for line in running.server.requests())


def test_the_others_finish_if_one_is_killed(tmp_path: Path) -> None:
    with swarm(tmp_path, 3) as running, seeding(running, "--only-tracker"):
        lan.limit_rate(running.origin, 10)
        victim, *others = [start_pull(running, number) for number in range(3)]

        def has_begun() -> bool:
            assert victim.poll() is None
            return any(" 206 " in line for line in running.server.requests())

        waiting.until(has_begun)
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


def test_app_container_images_are_shared_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PUMICE_KEY_PASSPHRASE", "a long and secret sentence")
    monkeypatch.chdir(tmp_path)
    content = handmade.random_bytes(SIZE, "shared")
    image = handmade.image(ImageContents([[handmade.folder(""), file("data", content)]]))
    locations.write(image, f"oci:{tmp_path}/layout", version="1.0")
    assert main(["key", "generate", "--openpgp", "ada@example.com", "--output", "ada"]) == 0
    with lan.network(2) as (origin, leecher):
        name = f"{origin.address}/team/big:1.0"
        assert main(["copy", "-q", "--allow-unsigned", "oci:layout", f"store:{name}"]) == 0
        url = f"https://{origin.address}:8443"
        tracker = f"http://{origin.address}:{TRACKER_PORT}/announce"
        publish = ["publish", "-q", "--appc", "tree", "--url", url, "--key", "ada.key", "--torrent"]
        assert main([*publish, "--tracker", tracker, name]) == 0
        directives = f"root {tmp_path}/tree; location / {{ try_files $uri $uri/index.html =404; }}"
        with nginx.serving(
            tmp_path / "server", directives, address=origin.address, prefix=origin.prefix
        ) as server:
            shared = Swarm(server, origin, [leecher], tmp_path, name, "")
            fetch = ["fetch", "--port", "8443", f"--ca={server.ca}", "--insecure-options=image", name]
            with seeding(shared):
                fetched = subprocess.run(
                    [*leecher.prefix, *pumice(*fetch)],
                    env=os.environ | {"PUMICE_HOME": str(tmp_path / "store-0")},
                    capture_output=True,
                    text=True,
                    timeout=300,
                    check=False,
                )
            assert fetched.returncode == 0, fetched.stderr
            assert fetched.stdout.strip() == name
            assert any(" 200 " in line and ".aci.torrent" in line for line in server.requests())
            assert server.sent_size() < SIZE / 2
