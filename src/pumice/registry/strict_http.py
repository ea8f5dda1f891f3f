"""HTTP connections that are stricter than those of Python's http.client.

If a connection breaks within the headers, http.client treats that as the end of the headers, so that the
response may for example lack its Location. Here it is a connection error. Also, a connection to a URL that
a remote registry supplied fails if the host name resolves to a local address.
"""

from __future__ import annotations

import http.client
import socket
from typing import TYPE_CHECKING, Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection

from pumice.formats import hosts
from pumice.registry import address_checks

if TYPE_CHECKING:
    from collections.abc import Mapping


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


class _Http(HTTPConnection):
    response_class = _StrictResponse


class _Https(HTTPSConnection):
    response_class = _StrictResponse


class _HttpPool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Http


class _HttpsPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _Https


class _HttpNonLocal(_Http):
    def _new_conn(self) -> socket.socket:
        return _reject_local_peer(super()._new_conn(), f"http://{self.host}:{self.port}")


class _HttpsNonLocal(_Https):
    def _new_conn(self) -> socket.socket:
        return _reject_local_peer(super()._new_conn(), f"https://{self.host}:{self.port}")


class _HttpPoolNonLocal(urllib3.HTTPConnectionPool):
    ConnectionCls = _HttpNonLocal


class _HttpsPoolNonLocal(urllib3.HTTPSConnectionPool):
    ConnectionCls = _HttpsNonLocal


def _reject_local_peer(connection: socket.socket, target: str) -> socket.socket:
    """Return a new connection; raises RegistryError if its peer has a loopback or link-local address."""
    try:
        peer = connection.getpeername()[0]
    except OSError:
        peer = ""  # closed already: sending will fail
    if hosts.is_local(peer):
        connection.close()
        raise address_checks.local_address_error(target)
    return connection


POOLS: Mapping[str, Any] = {"http": _HttpPool, "https": _HttpsPool}
"""Pool classes for a `urllib3.PoolManager`."""

NON_LOCAL_POOLS: Mapping[str, Any] = {"http": _HttpPoolNonLocal, "https": _HttpsPoolNonLocal}
"""Pool classes that refuse connections to local addresses."""
