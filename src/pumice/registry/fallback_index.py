"""Keeping the list of referrers where a registry does not (distribution-spec 1.1, "Referrers Tag Schema").

The list is an index under a tag, and several clients may change it at once: the registry is asked to
write only what it was read as (ETag, where it has one), and it is read again afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from pumice.errors import FormatError
from pumice.formats import oci
from pumice.registry.errors import RegistryError, response_error
from pumice.registry.listing import FALLBACK_HEADERS, is_missing_tag, parse_referrers_index
from pumice.registry.message import Pause, Request, bytes_body
from pumice.registry.reference import fallback_tag

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

from pumice.registry.message import Exchange, SendRequest

_ATTEMPTS = 24
_MAX_CONTRADICTIONS = 3


class _State(msgspec.Struct, frozen=True):
    """What is under the tag: all of the index's JSON, and the validator to write it back with."""

    index: dict[str, Any]
    etag: str
    is_absent: bool = False


class FallbackIndex:
    """The fallback list of one subject."""

    def __init__(
        self,
        send_request: SendRequest,
        repository_url: str,
        subject: str,
        where: str,
        jitter: Callable[[], float],
    ) -> None:
        """``jitter`` gives numbers from 0 to 1."""
        self._jitter = jitter
        self._send_request = send_request
        self._url = f"{repository_url}/manifests/{fallback_tag(subject)}"
        self._subject = subject
        self._where = where
        self._contradictions = 0
        """Times that a registry did not have the tag and would not create it either."""

    def add(self, entries: Sequence[dict[str, Any]]) -> Exchange[None]:
        """Make sure that ``entries`` (descriptors) are listed.

        Raises RegistryError when others change the list faster than we can.
        """
        for attempt in range(_ATTEMPTS):
            state = yield from self._read()
            missing = _missing_entries(entries, state.index)
            if not missing:
                return
            manifests = [*state.index.get("manifests", []), *missing]
            data = _encode({**state.index, "manifests": manifests})
            if not (yield from self._write(data, state)):
                yield Pause(min(1.0, 0.05 * (attempt + 1)) * (0.5 + self._jitter()))
        raise RegistryError("others keep changing the list of referrers", where=self._where, hint="try again")

    def remove(self, digest: str) -> Exchange[None]:
        """Make sure that ``digest`` is not listed."""
        for attempt in range(_ATTEMPTS):
            state = yield from self._read()
            manifests = state.index.get("manifests", [])
            remaining = [
                entry
                for entry in manifests
                if not (isinstance(entry, dict) and entry.get("digest") == digest)
            ]
            if len(remaining) == len(manifests):
                return
            data = _encode({**state.index, "manifests": remaining})
            if not (yield from self._write(data, state)):
                yield Pause(min(1.0, 0.05 * (attempt + 1)) * (0.5 + self._jitter()))
        raise RegistryError("others keep changing the list of referrers", where=self._where, hint="try again")

    def _read(self) -> Exchange[_State]:
        response = yield from self._send_request(Request("GET", self._url, FALLBACK_HEADERS))
        if is_missing_tag(response):
            return _State(_empty_index(), "", is_absent=True)
        if response.status != 200:
            raise response_error(response, self._where)
        index = parse_referrers_index(response.content, self._subject)
        if index is None:
            # Nothing of it is kept: a list merged into a manifest would be one image to some readers
            # and another to others (CVE-2021-41190).
            return _State(_empty_index(), "")
        index["manifests"] = index.get("manifests") or []
        return _State(index, response.header("ETag"))

    def _write(self, data: bytes, state: _State) -> Exchange[bool]:
        """Write the list; say whether that happened, rather than somebody else being faster."""
        if len(data) > oci.MAX_DOCUMENT:
            raise FormatError("the list of referrers would be larger than 4 MiB", where=self._where)
        request_headers = [("Content-Type", oci.INDEX)]
        if state.is_absent and self._contradictions < _MAX_CONTRADICTIONS:
            request_headers.append(("If-None-Match", "*"))
        elif state.etag and not state.etag.startswith("W/"):
            request_headers.append(("If-Match", state.etag))
        response = yield from self._send_request(
            Request("PUT", self._url, tuple(request_headers), body=bytes_body(data))
        )
        if response.status in (409, 412):
            self._contradictions += state.is_absent
            return False
        if response.status not in (200, 201, 202, 204):
            raise response_error(response, self._where)
        return True


def _empty_index() -> dict[str, Any]:
    return {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": []}


def _encode(content: dict[str, Any]) -> bytes:
    """The list as JSON: what others wrote into it is kept, whatever it is."""
    return msgspec.json.encode(content, order="deterministic")


def _missing_entries(entries: Sequence[dict[str, Any]], content: dict[str, Any]) -> list[dict[str, Any]]:
    listed_digests = {
        listed_entry.get("digest")
        for listed_entry in content.get("manifests", [])
        if isinstance(listed_entry, dict)
    }
    return [entry for entry in entries if entry["digest"] not in listed_digests]
