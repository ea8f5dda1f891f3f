"""The tree of files that a static registry consists of, wherever it is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pumice.errors import PumiceError
from pumice.formats import oci

if TYPE_CHECKING:
    from collections.abc import Iterable

JSON = "application/json"
BYTES = "application/octet-stream"

MANIFEST_SUFFIXES = {
    oci.INDEX: ".ocii",
    oci.MANIFEST: ".ocim",
    oci.DOCKER_INDEX: ".dkrl",
    oci.DOCKER_MANIFEST: ".dkrm",
}
"""The suffix of the file of a manifest by its media type, for web servers that choose the Content-Type by it.

The order matters: if a tag has several files, the first is the one that is served.
"""


class ChangedError(PumiceError):
    """Another process replaced a file since it was read."""


class Tree(Protocol):
    """Files by their path in the URL, such as ``v2/app/manifests/1.0``. All methods raise PumiceError."""

    def list_files(self) -> dict[str, int]:
        """Return the size in bytes of each file."""

    def read(self, path: str) -> bytes | None:
        """Return the content of a document, None if there is none."""

    def write(self, path: str, media_type: str, chunks: Iterable[bytes], *, since_read: bool = False) -> None:
        """Write or replace a file atomically. If ``chunks`` raises, the file stays as it was.

        With ``since_read`` raises ChangedError if it is not what `read` returned last.
        """

    def link(self, source: str, path: str) -> bool:
        """Make ``path`` a copy of a blob of the tree without reading it; return False if it cannot."""

    def remove(self, path: str) -> None:
        """Remove a file; it is not an error if there is none."""
