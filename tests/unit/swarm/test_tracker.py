from __future__ import annotations

import random
from typing import Any, cast
from urllib.parse import urlencode

import pytest

from pumice.formats import bencode
from pumice.formats.http1 import Request
from pumice.swarm.tracker import INTERVAL, Tracker

HASH = b"\x00+%&" + bytes(16)


def tracker() -> Tracker:
    new_tracker = Tracker(random.Random(0))
    new_tracker.add([HASH])
    return new_tracker


def announce(
    to: Tracker, number: int, *, now: float = 0.0, address: str = "203.0.113.1", **fields: Any
) -> dict[bytes, Any]:
    query = {"info_hash": HASH, "peer_id": b"%020d" % number, "port": 1000 + number, "left": 1} | fields
    response = to.respond(Request("GET", "/announce", urlencode(query)), address, now)
    assert response.status == 200
    document = bencode.decode(response.body)
    assert isinstance(document, dict)
    return cast("dict[bytes, Any]", document)


def ports(response: dict[bytes, Any]) -> list[int]:
    peers = response[b"peers"]
    assert isinstance(peers, bytes)
    return sorted(int.from_bytes(peers[at + 4 : at + 6], "big") for at in range(0, len(peers), 6))


def test_a_peer_learns_of_those_before_it() -> None:
    swarm = tracker()
    assert ports(announce(swarm, 1)) == []
    assert ports(announce(swarm, 2)) == [1001]
    response = announce(swarm, 3, address="203.0.113.9")
    assert ports(response) == [1001, 1002]
    assert response[b"peers"][:4] == bytes([203, 0, 113, 1])
    assert (response[b"complete"], response[b"incomplete"]) == (0, 3)


def test_peers_leave_and_expire() -> None:
    swarm = tracker()
    announce(swarm, 1)
    announce(swarm, 2)
    announce(swarm, 1, event="stopped")
    assert ports(announce(swarm, 3)) == [1002]
    assert ports(announce(swarm, 3, now=10 * INTERVAL)) == []


def test_seeds_are_not_told_of_each_other() -> None:
    swarm = tracker()
    announce(swarm, 1, left=0)
    assert ports(announce(swarm, 2, left=0)) == []
    assert ports(announce(swarm, 3)) == [1001, 1002]


def test_addresses_of_version_6_are_listed_on_their_own() -> None:
    swarm = tracker()
    announce(swarm, 1, address="2001:db8::1")
    response = announce(swarm, 2)
    assert response[b"peers"] == b""
    assert len(response[b"peers6"]) == 18


def test_only_a_peer_on_this_machine_can_state_another_address() -> None:
    swarm = tracker()
    announce(swarm, 1, ip="198.51.100.7")
    announce(swarm, 2, ip="198.51.100.7", address="127.0.0.1")
    announce(swarm, 3, ip="nonsense", address="127.0.0.1")
    peers = announce(swarm, 4)[b"peers"]
    addresses = sorted(tuple(peers[at : at + 4]) for at in range(0, 18, 6))
    assert addresses == [(127, 0, 0, 1), (198, 51, 100, 7), (203, 0, 113, 1)]


@pytest.mark.parametrize(
    ("stated", "asker", "hosts"),
    [
        ("192.168.1.7", "203.0.113.1", [(192, 168, 1, 7), (203, 0, 113, 1)]),
        ("192.168.1.7", "203.0.113.2", [(203, 0, 113, 1)]),
        ("198.51.100.7", "203.0.113.1", [(203, 0, 113, 1)]),
        ("127.0.0.1", "203.0.113.1", [(203, 0, 113, 1)]),
        ("169.254.169.254", "203.0.113.1", [(203, 0, 113, 1)]),
        ("fd00::1", "203.0.113.1", [(203, 0, 113, 1)]),
        (b"\xff", "203.0.113.1", [(203, 0, 113, 1)]),
    ],
)
def test_only_peers_behind_the_same_nat_are_told_private_addresses(
    stated: str, asker: str, hosts: list[tuple[int, ...]]
) -> None:
    swarm = tracker()
    announce(swarm, 1, ip=stated)
    peers = announce(swarm, 2, address=asker)[b"peers"]
    assert sorted(tuple(peers[at : at + 4]) for at in range(0, len(peers), 6)) == hosts


def test_at_most_fifty_peers_are_returned() -> None:
    swarm = tracker()
    for number in range(100):
        announce(swarm, number)
    assert len(ports(announce(swarm, 200, numwant=10_000))) == 50
    assert len(ports(announce(swarm, 200, numwant=3))) == 3


def test_a_swarm_is_bounded() -> None:
    swarm = tracker()
    for number in range(2000):
        announce(swarm, number)
    assert b"too many peers" in announce(swarm, 5000)[b"failure reason"]
    assert b"interval" in announce(swarm, 1)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"info_hash": b"x" * 20}, b"does not know the torrent"),
        ({"info_hash": b"x"}, b"20 bytes"),
        ({"peer_id": b""}, b"20 bytes"),
        ({"port": 0}, b"not a port"),
        ({"port": 65536}, b"not a port"),
        ({"port": "-1"}, b"port is not a number"),
        ({"port": "9" * 100}, b"port is not a number"),
        ({"left": "many"}, b"left is not a number"),
        ({"left": "٣"}, b"left is not a number"),
        ({"numwant": "1e9"}, b"numwant is not a number"),
        ({"x": "y" * 3000}, b"too long"),
        ({f"f{number}": 1 for number in range(40)}, b"too long"),
    ],
)
def test_malformed_announcements_are_refused(fields: dict[str, Any], reason: bytes) -> None:
    response = announce(tracker(), 1, **fields)
    assert response[b"failure reason"].find(reason) >= 0


def test_other_paths_and_methods_are_refused() -> None:
    swarm = tracker()
    assert swarm.respond(Request("GET", "/"), "203.0.113.1", 0).status == 404
    assert swarm.respond(Request("POST", "/announce"), "203.0.113.1", 0).status == 405


def test_scrape_counts_the_peers() -> None:
    swarm = tracker()
    announce(swarm, 1, left=0)
    announce(swarm, 2)
    response = swarm.respond(Request("GET", "/scrape", urlencode({"info_hash": HASH})), "203.0.113.1", 0)
    document = bencode.decode(response.body)
    assert document == {b"files": {HASH: {b"complete": 1, b"downloaded": 0, b"incomplete": 1}}}
