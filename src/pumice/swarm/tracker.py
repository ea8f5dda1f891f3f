"""A BitTorrent tracker (BEP 3, 7, 23, 48): who else downloads a torrent. Nothing here does input or output.

Only torrents that were added are announced, so that nobody can use the tracker for others. The address of a
peer is that of its connection, whatever it says, so that nobody can point a swarm at a third party. Peers
behind one NAT have the same address, at which they cannot reach each other. So a peer may also state its
address in a private network, which only those are told that have the same address otherwise.
"""

from __future__ import annotations

import ipaddress
import random
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

import msgspec

from pumice.formats import bencode
from pumice.formats.http1 import Response
from pumice.swarm.private_addresses import is_private_address

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pumice.formats.http1 import Request

INTERVAL = 30
"""Seconds after which a peer announces itself again."""

_EXPIRY = 3 * INTERVAL
_MAX_PEERS = 2000
_MAX_RETURNED = 50
_MAX_FIELDS = 32
_MAX_QUERY = 2048
_COMPACT_SIZE = 6
"""Bytes of an IPv4 address and a port."""


class TrackerError(Exception):
    """A request that is refused; the message is for the client."""


class Announce(msgspec.Struct, frozen=True):
    """A peer of a torrent announces itself: ``left`` bytes are missing, or it has ``stopped``."""

    info_hash: bytes
    peer_id: bytes
    address: str
    port: int
    left: int
    is_stopped: bool
    wanted: int
    private_address: str = ""


class _Peer(msgspec.Struct, frozen=True):
    address: str
    port: int
    left: int
    seen_at: float
    private_address: str = ""


def parse_announce(query: str, address: str) -> Announce:
    """Return the announcement in the query of a request from ``address``; raises TrackerError."""
    fields = _parse_query(query)
    info_hash, peer_id = fields.get("info_hash", b""), fields.get("peer_id", b"")
    if len(info_hash) != 20 or len(peer_id) != 20:
        raise TrackerError("info_hash and peer_id have 20 bytes")
    port = _number(fields, "port", 0)
    if not 0 < port < 65536:
        raise TrackerError("port is not a port")
    source, address = address, _read_address(fields, address)
    return Announce(
        private_address=_read_private_address(fields, source),
        info_hash=info_hash,
        peer_id=peer_id,
        address=address,
        port=port,
        left=_number(fields, "left", 0),
        is_stopped=fields.get("event") == b"stopped",
        wanted=min(_number(fields, "numwant", _MAX_RETURNED), _MAX_RETURNED),
    )


class Tracker:
    """The peers of a set of torrents."""

    def __init__(self, choose: random.Random | None = None) -> None:
        self._swarms: dict[bytes, dict[bytes, _Peer]] = {}
        self._random = choose or random.SystemRandom()

    def add(self, info_hashes: Iterable[bytes]) -> None:
        """Track torrents from now on; ``info_hashes`` are 20 bytes each."""
        for info_hash in info_hashes:
            self._swarms.setdefault(info_hash, {})

    def respond(self, request: Request, address: str, now: float) -> Response:
        """Return the response to a request from ``address`` at the time ``now`` (seconds, monotonic)."""
        if request.path not in ("/announce", "/scrape"):
            return Response(404, b"not found\n")
        if request.method not in ("GET", "HEAD"):
            return Response(405, b"method not allowed\n", headers=(("Allow", "GET, HEAD"),))
        try:
            if request.path == "/scrape":
                return _encode(self._scrape(request.query, now))
            return _encode(self.announce(parse_announce(request.query, address), now))
        except TrackerError as error:
            return _encode({"failure reason": str(error)})

    def announce(self, announce: Announce, now: float) -> dict[str, object]:
        """Enter or remove a peer; return the response, with some of the others."""
        swarm = self._find_swarm(announce.info_hash, now)
        if announce.is_stopped:
            swarm.pop(announce.peer_id, None)
            return {"interval": INTERVAL, "peers": b""}
        if announce.peer_id not in swarm and len(swarm) >= _MAX_PEERS:
            raise TrackerError("the torrent has too many peers")
        others = [
            peer
            for peer_id, peer in swarm.items()
            if peer_id != announce.peer_id and (announce.left or peer.left)  # seeds do not need each other
        ]
        swarm[announce.peer_id] = _Peer(
            announce.address, announce.port, announce.left, now, announce.private_address
        )
        chosen = self._random.sample(others, min(announce.wanted, len(others)))
        seeds, leechers = _count(swarm)
        entries = [entry for peer in chosen for entry in _compact(peer, announce.address)]
        return {
            "interval": INTERVAL,
            "min interval": INTERVAL // 2,
            "complete": seeds,
            "incomplete": leechers,
            "peers": b"".join(entry for entry in entries if len(entry) == _COMPACT_SIZE),
            "peers6": b"".join(entry for entry in entries if len(entry) > _COMPACT_SIZE),
        }

    def _scrape(self, query: str, now: float) -> dict[str, object]:
        info_hash = _parse_query(query).get("info_hash", b"")
        seeds, leechers = _count(self._find_swarm(info_hash, now))
        return {"files": {info_hash: {"complete": seeds, "downloaded": 0, "incomplete": leechers}}}

    def _find_swarm(self, info_hash: bytes, now: float) -> dict[bytes, _Peer]:
        swarm = self._swarms.get(info_hash)
        if swarm is None:
            raise TrackerError("this tracker does not know the torrent")
        for peer_id in [peer_id for peer_id, peer in swarm.items() if peer.seen_at < now - _EXPIRY]:
            del swarm[peer_id]
        return swarm


def _count(swarm: dict[bytes, _Peer]) -> tuple[int, int]:
    """Return the numbers of peers that have everything, and of the others."""
    seeds = sum(not peer.left for peer in swarm.values())
    return seeds, len(swarm) - seeds


def _compact(peer: _Peer, asker: str) -> list[bytes]:
    """Return the addresses of a peer for one whose address is ``asker``."""
    addresses = [peer.address]
    if peer.private_address and peer.address == asker:
        addresses.append(peer.private_address)
    return [ipaddress.ip_address(each).packed + peer.port.to_bytes(2, "big") for each in addresses]


def _encode(document: dict[str, object]) -> Response:
    return Response(200, bencode.encode(document))


def _parse_query(query: str) -> dict[str, bytes]:
    parts = query.split("&")
    if len(query) > _MAX_QUERY or len(parts) > _MAX_FIELDS:
        raise TrackerError("the query is too long")
    pairs = [part.partition("=") for part in parts]
    # A plus sign is a byte of a digest here, not a space.
    return {name: unquote_to_bytes(value) for name, _, value in pairs}


def _read_address(fields: dict[str, bytes], address: str) -> str:
    """Return the address of a peer: one on this machine may say under which others reach it."""
    try:
        source = ipaddress.ip_address(address)
        stated = ipaddress.ip_address(fields.get("ip", b"").decode()) if source.is_loopback else source
    except ValueError:
        return address
    return str(stated)


def _read_private_address(fields: dict[str, bytes], source: str) -> str:
    """Return the address that a peer states, if it is one of a private network and not its own."""
    stated = fields.get("ip", b"").decode(errors="replace")
    return stated if is_private_address(stated) and stated != source else ""


def _number(fields: dict[str, bytes], name: str, default: int) -> int:
    text = fields.get(name, b"")
    if not text:
        return default
    if len(text) > 18 or not text.isdigit():
        raise TrackerError(f"{name} is not a number")
    return int(text)
