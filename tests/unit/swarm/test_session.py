from __future__ import annotations

import sys
from collections.abc import Generator
from pathlib import Path

import pytest

from pumice.errors import FetchError, UsageError
from pumice.formats import torrent
from pumice.swarm import session
from pumice.swarm.session import SwarmSession, require_library, trusted_trackers


def test_a_session_talks_to_nobody_by_itself() -> None:
    with SwarmSession(require_library(), listen="127.0.0.1:0") as opened:
        settings = opened._session.get_settings()
    for name in ("enable_dht", "enable_lsd", "enable_upnp", "enable_natpmp"):
        assert settings[name] is False
    assert settings["webtorrent_stun_server"] == ""


def test_a_session_has_one_port_at_all_addresses() -> None:
    """Peers tell each other only one, and a NAT can be crossed only to the port that the others know."""
    with SwarmSession(require_library()) as opened:
        settings = opened._session.get_settings()
    ports = {text.rpartition(":")[2] for text in settings["listen_interfaces"].split(",")}
    assert len(ports) == 1
    assert ports != {"0"}


@pytest.mark.parametrize("address", ["127.0.0.1", "169.254.169.254", "::1", "fe80::1", "::ffff:127.0.0.1"])
def test_a_tracker_of_another_machine_cannot_name_local_peers(address: str) -> None:
    rules = session._refuse_local_addresses(require_library())
    assert rules.access(address)
    assert not rules.access("192.168.1.7")
    assert not rules.access("2001:db8::1")


def test_without_libtorrent_the_error_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "libtorrent", None)
    with pytest.raises(UsageError, match="not installed") as caught:
        require_library()
    assert "pumice[p2p]" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("url", "is_trusted"),
    [
        ("http://registry.example:6969/announce", True),
        ("https://registry.example/announce", True),
        ("http://other.example/announce", False),
        ("http://registry.example.evil.example/announce", False),
        ("http://registry.example@other.example/", False),
        ("udp://registry.example:6969", False),
        ("http://127.0.0.1/announce", False),
        ("http://[::1/announce", False),
        ("", False),
    ],
)
def test_only_trackers_on_the_host_of_the_torrent_are_contacted(url: str, is_trusted: bool) -> None:
    assert trusted_trackers([url], "registry.example") == ([url] if is_trusted else [])


def test_an_origin_that_fails_ends_the_download_if_there_are_no_peers(tmp_path: Path) -> None:
    def fail(start: int, length: int) -> Generator[bytes, None, None]:
        yield bytes(min(length, 1000))
        raise FetchError("the origin broke")

    data = torrent.make_torrent("content", 3_000_000, [bytes(3_000_000)])
    with (
        SwarmSession(require_library(), listen="127.0.0.1:0") as opened,
        pytest.raises(FetchError, match="the origin broke"),
    ):
        opened.download(torrent.read_torrent(data), data, tmp_path, [], fail)


def test_closing_the_session_ends_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = torrent.make_torrent("content", 3_000_000, [bytes(3_000_000)])
    opened = SwarmSession(require_library(), listen="127.0.0.1:0")

    def close(start: int, length: int) -> Generator[bytes, None, None]:
        opened.close()
        yield b""

    with pytest.raises(FetchError, match="cancelled"):
        opened.download(torrent.read_torrent(data), data, tmp_path, [], close)
    assert session.load_library() is not None
