"""The registry behind this one, for `pumice serve --proxy`: asked with blocking calls, from threads."""

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
    from pumice.registry.server.responses import Answer

_BUSY = frozenset({408, 425, 429})


def where(url: str) -> tuple[str, bool]:
    """Return ``HOST`` or ``HOST/PREFIX`` of a registry's URL, and whether it is asked without TLS.

    Raises UsageError.
    """
    try:
        parts = urlsplit(url)
        if parts.scheme in ("http", "https") and not (parts.username or parts.query or parts.fragment):
            place = (parts.netloc + parts.path).rstrip("/")
            parse_repository(f"{place}/x/y")
            return place, parts.scheme == "http"
    except (ValueError, UsageError):
        pass
    shown = url.rpartition("@")[2][:200]  # a password may stand before it
    hint = "such as https://registry.example, with no login in it"
    raise UsageError(f"{shown!r} is no address of a registry", hint=hint)


class Upstream:
    """A registry, or what is below a prefix of one. Raises what its client does."""

    def __init__(self, client: Client, place: str) -> None:
        """``place`` is what `where` returns."""
        self._client = client
        self._place = place

    def repository(self, name: str) -> Repository:
        """Return what a repository of ours is called there."""
        return parse_repository(f"{self._place}/{name}")

    def find(self, name: str, tag: str) -> Descriptor | None:
        """Return what a tag points to now."""
        return self._client.head_manifest(self.repository(name).with_tag(tag))

    def manifest(self, name: str, digest: str) -> RawManifest:
        """Return a manifest, which has its digest; raises NotFoundError."""
        return self._client.get_manifest(Reference(self.repository(name), digest=digest))

    def size(self, name: str, digest: str) -> int | None:
        """Return the size of a blob, 0 if that is not told, None if there is none."""
        return self._client.head_blob(self.repository(name), digest)

    def open(self, name: str, digest: str, size: int | None) -> BinaryIO:
        """Open a blob, which is checked while it is read."""
        return self._client.open_blob(self.repository(name), digest, size)

    def tags(self, name: str) -> Sequence[str]:
        """Return every tag."""
        return self._client.list_tags(self.repository(name))

    def referrers(self, name: str, subject: str) -> Sequence[bytes]:
        """Return the descriptors of what refers to a manifest."""
        return [link.raw for link in self._client.list_referrers(self.repository(name), subject)]


def is_passing(problem: PumiceError) -> bool:
    """Say whether the registry may just be down: then what is kept of it will do."""
    if isinstance(problem, RegistryError):
        return problem.status >= 500 or problem.status in _BUSY
    return isinstance(problem, TransportError)


def refusal(problem: PumiceError, unknown: responses.Code) -> Answer:
    """Return what to tell our client about an error of the upstream's; raises our own disk's errors."""
    if isinstance(problem, StoreError):
        raise problem
    if isinstance(problem, NotFoundError):
        return responses.error(unknown)
    if isinstance(problem, DeniedError):
        return responses.error(responses.UPSTREAM_DENIES)
    if isinstance(problem, TrustError):
        return responses.error(responses.UPSTREAM_LIES)
    if isinstance(problem, FormatError):
        return responses.error(responses.UPSTREAM_ODD)
    return responses.error(responses.UPSTREAM_DOWN if is_passing(problem) else responses.UPSTREAM_ODD)
