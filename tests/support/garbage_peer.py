"""A peer that claims to have everything, and sends noise: ``python -m tests.support.garbage_peer``."""

from __future__ import annotations

import os
import socket
import struct
import sys
import threading
import urllib.parse
import urllib.request
from pathlib import Path

from pumice.formats.torrent import Torrent, read_torrent

_UNCHOKE, _BITFIELD, _REQUEST, _PIECE = 1, 5, 6, 7
_PEER_ID = b"-XX0000-garbage-peer"


def main() -> None:
    """Announce the torrent in the file that is named, and serve noise for ever."""
    torrent = read_torrent(Path(sys.argv[1]).read_bytes())
    listener = socket.create_server(("", 0))
    port = listener.getsockname()[1]
    for info_hash in torrent.info_hashes:
        fields = {"info_hash": info_hash, "peer_id": _PEER_ID, "port": port, "left": 0, "event": "started"}
        url = f"{torrent.trackers[0]}?{urllib.parse.urlencode(fields)}"
        urllib.request.urlopen(url, timeout=30).read()
    print("ready", flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=_serve, args=(connection, torrent), daemon=True).start()


def _serve(connection: socket.socket, torrent: Torrent) -> None:
    try:
        with connection, connection.makefile("rb") as stream:
            handshake = stream.read(68)  # length, protocol, 8 reserved bytes, info hash, peer id
            if handshake[28:48] not in torrent.info_hashes:
                return
            connection.sendall(b"\x13BitTorrent protocol" + bytes(8) + handshake[28:48] + _PEER_ID)
            everything = (1 << torrent.piece_count) - 1
            size = -(-torrent.piece_count // 8)
            bits = everything << (size * 8 - torrent.piece_count)
            _send(connection, _BITFIELD, bits.to_bytes(size, "big"))
            _send(connection, _UNCHOKE, b"")
            while head := stream.read(4):
                message = stream.read(struct.unpack("!I", head)[0])
                if message[:1] == bytes([_REQUEST]):
                    index, begin, length = struct.unpack("!III", message[1:13])
                    _send(connection, _PIECE, struct.pack("!II", index, begin) + os.urandom(length))
                    print("sent", flush=True)
    except OSError:
        pass


def _send(connection: socket.socket, kind: int, payload: bytes) -> None:
    connection.sendall(struct.pack("!IB", len(payload) + 1, kind) + payload)


if __name__ == "__main__":
    main()
