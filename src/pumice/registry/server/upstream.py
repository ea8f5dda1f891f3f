"""The registry behind `pumice serve --proxy`; its methods block and are called in threads."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import urlsplit

from pumice.errors import FormatError, PumiceError, StoreError, TrustError, UsageError
from pumice.registry.errors import DeniedError, NotFoundError, RegistryError
from pumice.registry.message import TransportError
from pumice.registry.reference import Reference, Repository, parse_repository
from pumice.registry.server import responses

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.formats.oci import Descriptor
    from pumice.registry.client import Client
    from pumice.registry.raw_manifest import RawManifest
    from pumice.registry.server.responses import ServerResponse

_TEMPORARY_STATUSES = frozenset({408, 425, 429})


def parse_upstream_url(url: str) -> tuple[str, bool]:
    """Return ``HOST`` or ``HOST/PREFIX`` of a registry's URL, and whether the URL is plain HTTP.

    Raises UsageError.
    """
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and not (parts.username or parts.query or parts.fragment):
            location = (parts.netloc + parts.path).rstrip("/")
            parse_repository(f"{location}/x/y")
            return location, parts.scheme == "http"
    except (ValueError, UsageError):
        pass
    without_password = url.rpartition("@")[2][:200]
    hint = "use a URL such as https://registry.example, without a user name or password"
    raise UsageError(f"{without_password!r} is not a registry URL", hint=hint)


class Upstream:
    """A registry, or the repositories below a prefix of it. Methods raise what the client raises."""

    def __init__(self, client: Client, location: str) -> None:
        """``location`` is what `parse_upstream_url` returns."""
        self._client = client
        self._location = location

    def repository(self, name: str) -> Repository:
        """Return the upstream repository for the name of one here."""
        return parse_repository(f"{self._location}/{name}")

    def resolve_tag(self, name: str, tag: str) -> Descriptor | None:
        """Return the descriptor that a tag points to now; None if there is no such tag."""
        return self._client.head_manifest(self.repository(name).with_tag(tag))

    def fetch_manifest(self, name: str, digest: str) -> RawManifest:
        """Return a manifest, which matches its digest; raises NotFoundError."""
        return self._client.get_manifest(Reference(self.repository(name), digest=digest))

    def blob_size(self, name: str, digest: str) -> int | None:
        """Return the size of a blob; 0 if the registry does not tell, None if there is no such blob."""
        return self._client.head_blob(self.repository(name), digest)

    def open_blob(self, name: str, digest: str, size: int | None) -> BinaryIO:
        """Open a blob, which is checked while it is read."""
        return self._client.open_blob(self.repository(name), digest, size)

    def list_tags(self, name: str) -> Sequence[str]:
        """Return all tags."""
        return self._client.list_tags(self.repository(name))

    def list_referrers(self, name: str, subject: str) -> Sequence[bytes]:
        """Return the descriptors of the manifests that refer to ``subject``."""
        return [link.raw for link in self._client.list_referrers(self.repository(name), subject)]


def is_temporary(error: PumiceError) -> bool:
    """Return whether the registry may be down for now, so that cached content can be served."""
    if isinstance(error, RegistryError):
        return error.status >= 500 or error.status in _TEMPORARY_STATUSES
    return isinstance(error, TransportError)


def error_response(error: PumiceError, not_found: responses.Code) -> ServerResponse:
    """Return the response to a client for an error of the upstream registry.

    Raises errors of this registry's own storage.
    """
    if isinstance(error, StoreError):
        raise error
    if isinstance(error, NotFoundError):
        return responses.error(not_found)
    if isinstance(error, DeniedError):
        return responses.error(responses.UPSTREAM_DENIED)
    if isinstance(error, TrustError):
        return responses.error(responses.UPSTREAM_MISMATCH)
    if isinstance(error, FormatError):
        return responses.error(responses.UPSTREAM_INVALID)
    return responses.error(
        responses.UPSTREAM_UNREACHABLE if is_temporary(error) else responses.UPSTREAM_INVALID
    )
