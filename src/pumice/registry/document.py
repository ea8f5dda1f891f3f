"""What a registry has and keeps, as a client gives it."""

from __future__ import annotations

from typing import Any

import msgspec

from pumice.errors import FormatError
from pumice.formats import oci


class Document(msgspec.Struct, frozen=True):
    """A manifest or index: the bytes as they were received, and what is known of them."""

    digest: str
    media_type: str
    data: bytes
    etag: str = ""
    """What the registry calls this state of the reference, where it says so."""

    @property
    def descriptor(self) -> oci.Descriptor:
        """A descriptor of it."""
        return oci.Descriptor(self.media_type, self.digest, len(self.data))

    def json(self) -> dict[str, Any]:
        """Return its JSON with everything in it; raises FormatError."""
        try:
            found = msgspec.json.decode(self.data)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            raise FormatError("the manifest is not a JSON object", where=self.digest)
        return found


class Stored(msgspec.Struct, frozen=True):
    """What became of a manifest: ``listed`` says that the registry lists it as a referrer by itself."""

    digest: str
    listed: bool
