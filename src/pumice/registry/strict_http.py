"""HTTP connections that are stricter than those of Python's http.client.

If a connection breaks within the headers, http.client treats that as the end of the headers, so that the
response may for example lack its Location. Here it is a connection error. Also, a connection to a URL that
a remote registry supplied fails if the host name resolves to a local address.
"""

from __future__ import annotations

import http.client
from typing import TYPE_CHECKING, Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from pumice.formats import hosts
from pumice.registry import address_checks

if TYPE_CHECKING:
    import socket


class _LineRecorder:
    """A file wrapper that records the last line read."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.last = b"\n"

    def readline(self, limit: int = -1) -> bytes:
        self.last = self._file.readline(limit)
        return self.last

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class _StrictResponse(http.client.HTTPResponse):
    def begin(self) -> None:
        file = self.fp
        lines: Any = _LineRecorder(file)
        self.fp = lines
        try:
            super().begin()
        finally:
            current: Any = self.fp
            if current is lines:
                self.fp = file
        if lines.last not in (b"\r\n", b"\n"):
            raise http.client.IncompleteRead(lines.last)


class _CheckedPeer:
    """Records the address that a connection leads to, and refuses it where `find_pools` says so."""

    peer_address = ""
    refuse_local = False
    refuse_private = False

    def _new_conn(self) -> socket.socket:
        connection: socket.socket = super()._new_conn()  # type: ignore[misc]  # a mixin of urllib3's connections
        try:
            peer = str(connection.getpeername()[0])
        except OSError:
            peer = ""  # closed already: sending will fail
        is_local = self.refuse_local and hosts.is_local(peer)
        if is_local or (self.refuse_private and hosts.is_private(peer)):
            connection.close()
            target: Any = self
            kind = "local" if is_local else "private"
            raise address_checks.refused_address_error(f"{target.host}:{target.port}", kind)
        self.peer_address = peer
        return connection


class _Http(_CheckedPeer, HTTPConnection):
    response_class = _StrictResponse


class _Https(_CheckedPeer, HTTPSConnection):
    response_class = _StrictResponse


class _HttpNonLocal(_Http):
    refuse_local = True


class _HttpsNonLocal(_Https):
    refuse_local = True


class _HttpPublic(_HttpNonLocal):
    refuse_private = True


class _HttpsPublic(_HttpsNonLocal):
    refuse_private = True


def _make_pools(http: type[HTTPConnection], https: type[HTTPSConnection]) -> dict[str, Any]:
    return {
        "http": type("HttpPool", (urllib3.HTTPConnectionPool,), {"ConnectionCls": http}),
        "https": type("HttpsPool", (urllib3.HTTPSConnectionPool,), {"ConnectionCls": https}),
    }


_POOLS = _make_pools(_Http, _Https)
_NON_LOCAL_POOLS = _make_pools(_HttpNonLocal, _HttpsNonLocal)
_PUBLIC_POOLS = _make_pools(_HttpPublic, _HttpsPublic)


def find_pools(refuse_local: bool, refuse_private: bool) -> dict[str, Any]:
    """Return the pool classes for a `urllib3.PoolManager` that refuse connections to such addresses.

    What refuses private addresses refuses local ones as well.
    """
    if refuse_private:
        return dict(_PUBLIC_POOLS)
    return dict(_NON_LOCAL_POOLS if refuse_local else _POOLS)
