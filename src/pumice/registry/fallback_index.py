"""Updates the fallback index of referrers (distribution-spec 1.1, "Referrers Tag Schema").

In a registry without the referrers API, the list is an index under a tag, which several clients may change
at once: each write is conditional (by ETag, if the registry has them), and is followed by another read.
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
    """The decoded index under the tag, and its ETag."""

    index: dict[str, Any]
    etag: str
    is_absent: bool = False


class FallbackIndex:
    """The index of the referrers of one subject."""

    def __init__(
        self,
        send_request: SendRequest,
        repository_url: str,
        subject: str,
        where: str,
        jitter: Callable[[], float],
    ) -> None:
        """``jitter`` returns numbers from 0 to 1."""
        self._jitter = jitter
        self._send_request = send_request
        self._url = f"{repository_url}/manifests/{fallback_tag(subject)}"
        self._subject = subject
        self._where = where
        self._contradictions = 0
        """How often the registry both lacked the tag and refused to create it."""

    def add(self, entries: Sequence[dict[str, Any]]) -> Exchange[None]:
        """Add the descriptors ``entries`` unless the index has them.

        Raises RegistryError if concurrent changes by other clients prevent it.
        """

        def add_missing(manifests: list[Any]) -> list[Any]:
            return [*manifests, *_missing_entries(entries, manifests)]

        yield from self._change(add_missing)

    def remove(self, digest: str) -> Exchange[None]:
        """Remove the descriptor with ``digest``, if there is one; raises RegistryError as `add`."""

        def without_digest(manifests: list[Any]) -> list[Any]:
            return [
                entry
                for entry in manifests
                if not (isinstance(entry, dict) and entry.get("digest") == digest)
            ]

        yield from self._change(without_digest)

    def _change(self, change: Callable[[list[Any]], list[Any]]) -> Exchange[None]:
        """Replace the manifests by what ``change`` returns; repeat it after a change by another client."""
        for attempt in range(_ATTEMPTS):
            state = yield from self._read()
            manifests = state.index.get("manifests", [])
            changed_manifests = change(manifests)
            if len(changed_manifests) == len(manifests):
                return
            data = _encode({**state.index, "manifests": changed_manifests})
            if not (yield from self._write(data, state)):
                yield Pause(min(1.0, 0.05 * (attempt + 1)) * (0.5 + self._jitter()))
        raise RegistryError(
            "cannot update the list of referrers: other clients keep changing it",
            where=self._where,
            hint="try again",
        )

    def _read(self) -> Exchange[_State]:
        response = yield from self._send_request(Request("GET", self._url, FALLBACK_HEADERS))
        if is_missing_tag(response):
            return _State(_empty_index(), "", is_absent=True)
        if response.status != 200:
            raise response_error(response, self._where)
        index = parse_referrers_index(response.content, self._subject)
        if index is None:
            # Replace it: an index merged with a manifest would be different images to different clients
            # (CVE-2021-41190).
            return _State(_empty_index(), "")
        index["manifests"] = index.get("manifests") or []
        return _State(index, response.header("ETag"))

    def _write(self, data: bytes, state: _State) -> Exchange[bool]:
        """Write the index; return False if another client changed it first."""
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
    """Return the index as JSON, with any fields that other clients added."""
    return msgspec.json.encode(content, order="deterministic")


def _missing_entries(entries: Sequence[dict[str, Any]], manifests: Sequence[Any]) -> list[dict[str, Any]]:
    listed_digests = {
        listed_entry.get("digest") for listed_entry in manifests if isinstance(listed_entry, dict)
    }
    return [entry for entry in entries if entry["digest"] not in listed_digests]
