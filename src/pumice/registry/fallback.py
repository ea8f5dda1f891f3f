"""Keeping the list of referrers where a registry does not (distribution-spec 1.1, "Referrers Tag Schema").

The list is an index under a tag, and several clients may change it at once: the registry is asked to
write only what it was read as (ETag, where it has one), and it is read again afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pumice.errors import FormatError
from pumice.formats import oci
from pumice.registry.errors import RegistryError, refused
from pumice.registry.listing import FALLBACK_ACCEPT, has_no_tag, referrer_list
from pumice.registry.message import Pause, Request, literal
from pumice.registry.reference import fallback_tag

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

from pumice.registry.message import Ask, Steps

_ATTEMPTS = 24
_MAX_CONTRADICTIONS = 3


class _State(msgspec.Struct, frozen=True):
    """What is under the tag: all of the index's JSON, and the validator to write it back with."""

    content: dict[str, Any]
    etag: str
    absent: bool = False


class Listing:
    """The fallback list of one subject."""

    def __init__(self, ask: Ask, address: str, subject: str, where: str, jitter: Callable[[], float]) -> None:
        """``jitter`` gives numbers from 0 to 1."""
        self._jitter = jitter
        self._ask = ask
        self._url = f"{address}/manifests/{fallback_tag(subject)}"
        self._subject = subject
        self._where = where
        self._contradictions = 0
        """Times that a registry did not have the tag and would not create it either."""

    def add(self, entries: Sequence[dict[str, Any]]) -> Steps[None]:
        """Make sure that ``entries`` (descriptors) are listed.

        Raises RegistryError when others change the list faster than we can.
        """
        for attempt in range(_ATTEMPTS):
            state = yield from self._read()
            missing = _missing(entries, state.content)
            if not missing:
                return
            listed = [*state.content.get("manifests", []), *missing]
            data = _encoded({**state.content, "manifests": listed})
            if not (yield from self._write(data, state)):
                yield Pause(min(1.0, 0.05 * (attempt + 1)) * (0.5 + self._jitter()))
        raise RegistryError("others keep changing the list of referrers", where=self._where, hint="try again")

    def remove(self, digest: str) -> Steps[None]:
        """Make sure that ``digest`` is not listed."""
        for attempt in range(_ATTEMPTS):
            state = yield from self._read()
            listed = state.content.get("manifests", [])
            left = [one for one in listed if not (isinstance(one, dict) and one.get("digest") == digest)]
            if len(left) == len(listed):
                return
            data = _encoded({**state.content, "manifests": left})
            if not (yield from self._write(data, state)):
                yield Pause(min(1.0, 0.05 * (attempt + 1)) * (0.5 + self._jitter()))
        raise RegistryError("others keep changing the list of referrers", where=self._where, hint="try again")

    def _read(self) -> Steps[_State]:
        response = yield from self._ask(Request("GET", self._url, FALLBACK_ACCEPT))
        if has_no_tag(response):
            return _State(_empty(), "", absent=True)
        if response.status != 200:
            raise refused(response, self._where)
        content = referrer_list(response.content, self._subject)
        if content is None:
            # Nothing of it is kept: a list merged into a manifest would be one image to some readers
            # and another to others (CVE-2021-41190).
            return _State(_empty(), "")
        content["manifests"] = content.get("manifests") or []
        return _State(content, response.header("ETag"))

    def _write(self, data: bytes, state: _State) -> Steps[bool]:
        """Write the list; say whether that happened, rather than somebody else being faster."""
        if len(data) > oci.MAX_DOCUMENT:
            raise FormatError("the list of referrers would be larger than 4 MiB", where=self._where)
        sent = [("Content-Type", oci.INDEX)]
        if state.absent and self._contradictions < _MAX_CONTRADICTIONS:
            sent.append(("If-None-Match", "*"))
        elif state.etag and not state.etag.startswith("W/"):
            sent.append(("If-Match", state.etag))
        response = yield from self._ask(Request("PUT", self._url, tuple(sent), body=literal(data)))
        if response.status in (409, 412):
            self._contradictions += state.absent
            return False
        if response.status not in (200, 201, 202, 204):
            raise refused(response, self._where)
        return True


def _empty() -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": []}


def _encoded(content: dict[str, Any]) -> bytes:
    """The list as JSON: what others wrote into it is kept, whatever it is."""
    return msgspec.json.encode(content, order="deterministic")


def _missing(entries: Sequence[dict[str, Any]], content: dict[str, Any]) -> list[dict[str, Any]]:
    known = {one.get("digest") for one in content.get("manifests", []) if isinstance(one, dict)}
    return [entry for entry in entries if entry["digest"] not in known]
