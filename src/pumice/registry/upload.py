"""Sending a blob (distribution-spec 1.1, "Pushing Blobs").

The location of an upload is the registry's own affair: it is used as it was given, and the latest one
counts. Where a connection breaks, the registry is asked how much arrived; one that does not know any
more gets the blob from the start.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, urlencode

import msgspec

from pumice.registry import headers, onward
from pumice.registry.message import Body, Request, TransportError
from pumice.registry.reference import is_digest
from pumice.registry.refusal import RegistryError, refused, shown

if TYPE_CHECKING:
    from pumice.registry.content import Content
    from pumice.registry.message import Ask, Response, Steps
    from pumice.registry.retry import Backoff

Outcome = Literal["present", "mounted", "sent"]

_OCTETS = ("Content-Type", "application/octet-stream")
_ONE_PIECE = 1 << 20
"""Bytes up to which a blob goes with the closing request: one round trip less."""
_SMALLER = 16 << 20
"""Bytes of a chunk for a registry, or a proxy before it, that finds the whole blob too large."""
_RESTARTS = 5


class _State(msgspec.Struct, frozen=True):
    location: str
    offset: int = 0
    least: int = 0
    """The smallest chunk that the registry takes, in bytes."""


class _GoneError(Exception):
    """The registry knows nothing of this upload any more."""


class Upload:
    """One blob on its way to one repository."""

    def __init__(self, ask: Ask, address: str, content: Content, backoff: Backoff, *, chunk: int = 0) -> None:
        """``address`` is the repository's, ``…/v2/NAME``; ``chunk`` the bytes of one request, 0: all."""
        self._ask = ask
        self._address = address
        self._content = content
        self._backoff = backoff
        self._chunk = chunk

    def steps(self, mount_from: str = "") -> Steps[Outcome]:
        """Send it. ``mount_from`` names a repository of the same registry that has the blob.

        Raises RegistryError, TransportError, TrustError if the content is not what it should be.
        """
        for _ in range(_RESTARTS):
            state = yield from self._begin(mount_from)
            if state is None:
                return "mounted"
            mount_from = ""
            try:
                yield from self._send(state)
            except _GoneError:
                if (yield from self._is_there()):
                    return "sent"
                continue
            return "sent"
        raise RegistryError("the registry keeps losing the upload", where=shown(self._address))

    def _begin(self, mount_from: str) -> Steps[_State | None]:
        """Open an upload; None if the blob could be mounted instead."""
        url = f"{self._address}/blobs/uploads/"
        if mount_from:
            url += "?" + urlencode({"mount": self._content.digest, "from": mount_from})
        response = yield from self._ask(Request("POST", url))
        if response.status == 201 and mount_from:
            return None
        if response.status not in (201, 202):
            raise refused(response, shown(self._address))
        least = headers.number(response.header("OCI-Chunk-Min-Length")) or 0
        return _State(self._location(response, url), least=min(least, 1 << 40))

    def _location(self, response: Response, base: str) -> str:
        location = onward.follow(response.url or base, response.header("Location"))
        if not location:
            raise RegistryError("the registry does not say where to send the blob", where=shown(base))
        return location

    def _send(self, state: _State) -> Steps[None]:
        whole = self._content.size <= _ONE_PIECE
        while True:
            before = state.offset
            try:
                while not whole and state.offset < self._content.size:
                    state = yield from self._patch(state)
                    self._backoff.succeeded()
                yield from self._close(state)
            except TransportError as error:
                pause = self._backoff.failed()
                if error.lasting or pause is None:
                    raise
                yield pause
                state = yield from self._recall(state)
                if state.offset > before:
                    self._backoff.succeeded()
                whole = False
                continue
            return

    def _patch(self, state: _State) -> Steps[_State]:
        """Send one chunk; return how things are afterwards."""
        start = state.offset
        end = self._content.size
        if self._chunk:
            end = min(end, start + max(self._chunk, state.least))
        sent = (_OCTETS, ("Content-Range", f"{start}-{end - 1}"))
        request = Request("PATCH", state.location, sent, body=self._part(start, end), again=False)
        response = yield from self._ask(request)
        if response.status == 202:
            done = headers.uploaded(response.header("Range"))
            location = self._location(response, state.location)
            return _State(location, end if done is None else min(done, end), state.least)
        if response.status == 416:
            return (yield from self._recall(state))
        if response.status == 413 and (not self._chunk or self._chunk > _SMALLER) and end - start > _SMALLER:
            self._chunk = _SMALLER
            return (yield from self._recall(state))
        if response.status == 404:
            raise _GoneError
        raise refused(response, shown(state.location))

    def _close(self, state: _State) -> Steps[None]:
        """Send what is left and say what the whole is."""
        size = self._content.size
        joint = "&" if "?" in state.location else "?"
        url = f"{state.location}{joint}digest={quote(self._content.digest, safe='')}"
        body = self._part(state.offset, size) if state.offset < size else None
        response = yield from self._ask(Request("PUT", url, (_OCTETS,), body=body, again=False))
        if response.status == 404:
            raise _GoneError
        if response.status not in (201, 204):
            raise refused(response, shown(state.location))
        said = response.header("Docker-Content-Digest")
        if is_digest(said) and said != self._content.digest and said[:7] == self._content.digest[:7]:
            raise RegistryError(
                f"the registry says that it keeps the blob as {said}", where=shown(self._address)
            )

    def _part(self, start: int, end: int) -> Body:
        return Body(end - start, lambda: self._content.part(start, end))

    def _recall(self, state: _State) -> Steps[_State]:
        """Ask how much has arrived; raises _GoneError when the registry cannot say."""
        response = yield from self._ask(Request("GET", state.location))
        if response.status not in (200, 202, 204):
            raise _GoneError
        location = onward.follow(response.url or state.location, response.header("Location"))
        done = headers.uploaded(response.header("Range"))
        # "0-0" stands for one byte and, in some registries, for none: neither is worth going on from.
        if done is None or done <= 1 or done > self._content.size:
            raise _GoneError
        return _State(location or state.location, done, state.least)

    def _is_there(self) -> Steps[bool]:
        """Whether the blob arrived after all: what broke may have been the answer only."""
        url = f"{self._address}/blobs/{self._content.digest}"
        response = yield from self._ask(Request("HEAD", url))
        return response.status == 200
