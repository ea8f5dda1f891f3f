"""Sending a blob (distribution-spec 1.1, "Pushing Blobs").

The location of an upload is the registry's own affair: it is used as it was given, and the latest one
counts. Where a connection breaks, the registry is asked how much arrived; one that does not know any
more gets the blob from the start.

An accepted part counts as stored, whatever ``Range`` says about it: registries answer with a stale, a
short or a wrong one and have everything. Only when such an upload is then refused is the blob sent once
more by what ``Range`` says. Every other way back to an earlier byte is counted, so that no registry can
make a client send a blob forever.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal
from urllib.parse import quote, urlencode

import msgspec

from pumice.registry import headers, redirects
from pumice.registry.errors import RegistryError, refused, shown
from pumice.registry.message import Body, Request, TransportError
from pumice.registry.reference import is_digest

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
_MAX_RESUMES = 200
"""Times that one blob may go on from an earlier byte: more is a registry that makes fun of us."""
_TAKEN = frozenset({200, 201, 202, 204})
_BROKEN = frozenset({500, 502, 504})
"""Answers after which nobody knows what has arrived."""
_WRONG_CONTENT = frozenset({400, 416})
"""Answers to a closing request for an upload whose bytes are not the blob's."""


class _State(msgspec.Struct, frozen=True):
    location: str
    offset: int = 0
    least: int = 0
    """The smallest chunk that the registry takes, in bytes."""


class _GoneError(Exception):
    """The registry knows nothing of this upload any more."""


class _BrokenError(Exception):
    """The registry failed in the middle; ``refusal`` is what it said."""

    def __init__(self, refusal: RegistryError) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal


class Upload:
    """One blob on its way to one repository."""

    def __init__(self, ask: Ask, address: str, content: Content, backoff: Backoff, *, chunk: int = 0) -> None:
        """``address`` is the repository's, ``…/v2/NAME``; ``chunk`` the bytes of one request, 0: all."""
        self._ask = ask
        self._address = address
        self._content = content
        self._backoff = backoff
        self._chunk = chunk
        self._resumes = 0
        self._furthest = 0
        self._is_range_odd = False
        self._obeys_range = False

    def steps(self, mount_from: str = "", ask_to_mount: Ask | None = None) -> Steps[Outcome]:
        """Send it. ``mount_from`` names a repository of the same registry that has the blob.

        ``ask_to_mount`` asks with a login that may read from there. Raises RegistryError,
        TransportError, TrustError if the content is not what it should be.
        """
        opened = (yield from self._mount(mount_from, ask_to_mount or self._ask)) if mount_from else None
        if opened is True:
            return "mounted"
        for _ in range(_RESTARTS):
            state = opened or (yield from self._begin())
            opened = None
            try:
                yield from self._send(state)
            except _GoneError:
                if (yield from self._is_there()):
                    return "sent"
                continue
            return "sent"
        raise RegistryError("the registry keeps losing the upload", where=shown(self._address))

    def _mount(self, mount_from: str, ask: Ask) -> Steps[_State | Literal[True] | None]:
        """Try to mount; True if that worked, else the upload that was opened instead, if one was.

        A mount saves time and no more: whatever speaks against it, the blob can still be sent.
        """
        url = f"{self._address}/blobs/uploads/"
        query = urlencode({"mount": self._content.digest, "from": mount_from})
        try:
            response = yield from ask(Request("POST", f"{url}?{query}"))
        except RegistryError:
            return None
        if response.status == 201:
            return True
        if response.status == 202 and response.header("Location"):
            return self._opened(response, url)
        return None

    def _begin(self) -> Steps[_State]:
        """Open an upload."""
        url = f"{self._address}/blobs/uploads/"
        response = yield from self._ask(Request("POST", url))
        if response.status not in _TAKEN:
            raise refused(response, shown(self._address))
        return self._opened(response, url)

    def _opened(self, response: Response, url: str) -> _State:
        least = headers.number(response.header("OCI-Chunk-Min-Length")) or 0
        return _State(self._location(response, url), least=min(least, 1 << 40))

    def _location(self, response: Response, base: str, known: str = "") -> str:
        """Return where to go on; ``known`` is where we were, for an answer that says nothing new."""
        if known and not response.header("Location"):
            return known
        location = redirects.follow(response.url or base, response.header("Location"))
        if not location:
            raise RegistryError("the registry does not say where to send the blob", where=shown(base))
        return location

    def _send(self, state: _State) -> Steps[None]:
        whole = self._content.size <= _ONE_PIECE
        while True:
            try:
                while not whole and state.offset < self._content.size:
                    state = yield from self._patch(state)
                    self._note_progress(state)
                yield from self._close(state)
            except (TransportError, _BrokenError) as error:
                pause = self._backoff.failed()
                if isinstance(error, TransportError) and (error.lasting or pause is None):
                    raise
                if isinstance(error, _BrokenError) and pause is None:
                    raise error.refusal from None
                if pause is not None:
                    yield pause
                state = yield from self._recall(state)
                self._note_progress(state)
                whole = False
                continue
            return

    def _note_progress(self, state: _State) -> None:
        """Be patient again once more has arrived than ever before."""
        if state.offset > self._furthest:
            self._furthest = state.offset
            self._backoff.succeeded()

    def _patch(self, state: _State) -> Steps[_State]:
        """Send one chunk; return how things are afterwards."""
        start = state.offset
        end = self._content.size
        if self._chunk:
            end = min(end, start + max(self._chunk, state.least))
        sent = (_OCTETS, ("Content-Range", f"{start}-{end - 1}"))
        request = Request("PATCH", state.location, sent, body=self._part(start, end), again=False)
        response = yield from self._ask(request)
        if response.status in _TAKEN:
            location = self._location(response, state.location, state.location)
            done = self._stored(response, end)
            if done <= start:
                raise RegistryError("the registry stores nothing of the blob", where=shown(state.location))
            if done < end:
                self._count_resume()
            return _State(location, done, state.least)
        if response.status == 416:
            pause = self._backoff.failed()
            if pause is None:
                raise refused(response, shown(state.location))
            yield pause
            return (yield from self._recall(state))
        if response.status == 413 and (not self._chunk or self._chunk > _SMALLER) and end - start > _SMALLER:
            self._chunk = _SMALLER
            return (yield from self._recall(state))
        if response.status == 404:
            raise _GoneError
        raise self._refused(response, state)

    def _stored(self, response: Response, end: int) -> int:
        """Return up to which byte the registry has the blob after it took the part before ``end``."""
        stated = headers.uploaded(response.header("Range"))
        if stated is None or stated == end:
            return end
        self._is_range_odd = True
        return min(stated, end) if self._obeys_range else end

    def _close(self, state: _State) -> Steps[None]:
        """Send what is left and say what the whole is."""
        size = self._content.size
        joint = "&" if "?" in state.location else "?"
        url = f"{state.location}{joint}digest={quote(self._content.digest, safe='')}"
        body = self._part(state.offset, size) if state.offset < size else None
        response = yield from self._ask(Request("PUT", url, (_OCTETS,), body=body, again=False))
        if response.status == 404:
            raise _GoneError
        if response.status in _WRONG_CONTENT and self._is_range_odd and not self._obeys_range:
            self._obeys_range = True
            raise _GoneError
        if response.status not in _TAKEN:
            raise self._refused(response, state)
        stated = response.header("Docker-Content-Digest")
        if is_digest(stated) and stated != self._content.digest and stated[:7] == self._content.digest[:7]:
            raise RegistryError(
                f"the registry says that it keeps the blob as {stated}", where=shown(self._address)
            )

    def _refused(self, response: Response, state: _State) -> Exception:
        refusal = refused(response, shown(state.location))
        return _BrokenError(refusal) if response.status in _BROKEN else refusal

    def _count_resume(self) -> None:
        self._resumes += 1
        if self._resumes > _MAX_RESUMES:
            raise RegistryError("the upload does not get on", where=shown(self._address))

    def _part(self, start: int, end: int) -> Body:
        return Body(end - start, lambda: self._content.part(start, end))

    def _recall(self, state: _State) -> Steps[_State]:
        """Ask how much has arrived; raises _GoneError when the registry cannot say."""
        self._count_resume()
        response = yield from self._ask(Request("GET", state.location))
        if response.status not in (200, 202, 204):
            raise _GoneError
        location = self._location(response, state.location, state.location)
        done = headers.uploaded(response.header("Range"))
        # "0-0" stands for one byte and, in some registries, for none: neither is worth going on from.
        if done is None or done <= 1 or done > self._content.size:
            raise _GoneError
        return _State(location, done, state.least)

    def _is_there(self) -> Steps[bool]:
        """Whether the blob arrived after all: what broke may have been the answer only."""
        url = f"{self._address}/blobs/{self._content.digest}"
        response = yield from self._ask(Request("HEAD", url))
        return response.status == 200
