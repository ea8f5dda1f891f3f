"""A blocking client for OCI registries (distribution-spec 1.1).

One client talks to any number of registries and serves any number of threads. Its results are frozen,
and manifests are the bytes that were received. Each operation is a generator in a module of its own;
`pumice.registry.connector` adds connections, authentication and retries.
"""

from __future__ import annotations

import io
from contextlib import closing
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

import msgspec

from pumice.errors import UsageError
from pumice.formats import oci
from pumice.registry import blob_content, download, listing, manifests
from pumice.registry.auth import scope_of
from pumice.registry.connector import Connector
from pumice.registry.errors import RegistryError, response_error
from pumice.registry.fallback_index import FallbackIndex
from pumice.registry.message import Request, TransportError, bytes_body
from pumice.registry.raw_manifest import PushedManifest, RawManifest
from pumice.registry.reference import Reference, Repository, is_digest
from pumice.registry.settings import ClientSettings
from pumice.registry.upload import Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence

    from pumice.progress import Progress
    from pumice.registry.credentials import Credentials
    from pumice.registry.listing import Referrer
    from pumice.registry.message import Exchange, Header, Response, SendRequest, Transport
    from pumice.registry.time_sources import TimeSources
    from pumice.registry.upload import Outcome

__all__ = ["Client", "ClientSettings"]

_CHUNK = 1 << 18
_Result = TypeVar("_Result")


class Client:
    """Reads from and writes to registries. A context manager; safe for threads.

    Every method raises RegistryError for an error response (NotFoundError, DeniedError) and
    TransportError when the connection fails.
    """

    def __init__(
        self,
        credentials: Credentials | None = None,
        settings: ClientSettings | None = None,
        *,
        transport: Transport | None = None,
        progress: Progress | None = None,
        time_sources: TimeSources | None = None,
    ) -> None:
        """``progress`` receives the warnings of registries, each once; ``time_sources`` is for tests."""
        self._connector = Connector(
            credentials, settings, transport=transport, progress=progress, time_sources=time_sources
        )

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._connector.close()

    @property
    def settings(self) -> ClientSettings:
        """The settings that the client was created with."""
        return self._connector.settings

    # Manifests ------------------------------------------------------------------------------------

    def ping(self, host: str) -> None:
        """Check that ``host`` is a registry that accepts the login ("Determining Support")."""
        send_request = self._connector.sender(Repository(host, ""), "")
        response = self._connector.run(
            send_request(Request("GET", f"{self._connector.registry_url(host)}/v2/"))
        )
        if response.status != 200:
            raise response_error(response, host)

    def resolve(self, reference: Reference) -> oci.Descriptor:
        """Return the descriptor of the manifest that a reference names; raises NotFoundError."""
        descriptor = self.head_manifest(reference)
        if descriptor is None:
            descriptor = self.get_manifest(reference).descriptor
        return descriptor

    def head_manifest(self, reference: Reference, *, skip_mirrors: bool = False) -> oci.Descriptor | None:
        """Return the descriptor of a manifest, or None if the registry does not have it.

        If the response to HEAD is incomplete, the whole manifest is requested instead.
        """
        return self._read_manifest(manifests.head_manifest, reference, skip_mirrors=skip_mirrors)

    def get_manifest(self, reference: Reference, *, skip_mirrors: bool = False) -> RawManifest:
        """Return a manifest or index ("Pulling manifests").

        Raises NotFoundError, TrustError for another digest than the reference's, and FormatError for
        content that is not a manifest or larger than 4 MiB.
        """
        return self._read_manifest(manifests.get_manifest, reference, skip_mirrors=skip_mirrors)

    def _read_manifest(
        self,
        operation: Callable[[SendRequest, str, Reference], Exchange[_Result]],
        reference: Reference,
        *,
        skip_mirrors: bool,
    ) -> _Result:
        def read_from(repository: Repository) -> _Result:
            source = msgspec.structs.replace(reference, repository=repository)
            send_request = self._connector.sender(repository, "pull")
            return self._connector.run(operation(send_request, self._connector.manifest_url(source), source))

        return self._connector.try_mirrors(reference.repository, read_from, skip_mirrors=skip_mirrors)

    def put_manifest(
        self, reference: Reference, data: bytes, media_type: str, *, extra_headers: Sequence[Header] = ()
    ) -> PushedManifest:
        """Store a manifest or index under a tag or its digest ("Pushing Manifests").

        If the manifest has a ``subject`` and the result's ``is_listed`` is False, the registry has no
        referrers API: call `add_fallback_referrers`. ``extra_headers`` are conditions such as If-Match.
        Raises UsageError if the reference has another digest than ``data``.
        """
        algorithm = reference.digest.partition(":")[0] or "sha256"
        digest = blob_content.digest_of(data, algorithm)
        if reference.digest and reference.digest != digest:
            raise UsageError(f"the manifest has the digest {digest}", where=str(reference))
        url = f"{self._connector.repository_url(reference.repository)}/manifests/{reference.tag or digest}"
        request = Request("PUT", url, (("Content-Type", media_type), *extra_headers), body=bytes_body(data))
        send_request = self._connector.sender(reference.repository, "pull,push")
        return self._connector.run(manifests.put_manifest(send_request, request, digest, str(reference)))

    def delete(self, reference: Reference) -> None:
        """Delete a tag or manifest; a referrer is also removed from the fallback index of its subject."""
        subject = ""
        if reference.digest:
            subject_field = self.get_manifest(reference).json().get("subject")
            subject = str(subject_field.get("digest")) if isinstance(subject_field, dict) else ""
        self.delete_manifest(reference)
        if is_digest(subject):
            self.remove_fallback_referrer(reference.repository, subject, reference.digest)

    def delete_manifest(self, reference: Reference) -> None:
        """Delete a manifest, or only the tag if the reference has no digest ("Deleting Manifests")."""
        self._delete(reference.repository, self._connector.manifest_url(reference), str(reference))

    def _delete(self, repository: Repository, url: str, where: str) -> None:
        """Delete with the scope of the token specification, else with the one that other clients use."""
        request = Request("DELETE", url)
        try:
            response = self._connector.run(self._connector.sender(repository, "delete,pull,push")(request))
            is_denied = response.status in (401, 403)
        except RegistryError:
            is_denied = True
        if is_denied:
            response = self._connector.run(self._connector.sender(repository, "*")(request))
        if response.status not in (200, 202, 204):
            raise response_error(response, where, hint=_delete_hint(response))

    # Blobs ----------------------------------------------------------------------------------------

    def head_blob(self, repository: Repository, digest: str) -> int | None:
        """Return the size of a blob in bytes, or None if the registry does not have it."""
        send_request = self._connector.sender(repository, "pull")
        url = self._connector.blob_url(repository, digest)
        return self._connector.run(download.head_blob(send_request, url, f"{repository}@{digest}"))

    def open_blob(
        self, repository: Repository, digest: str, size: int | None = None, *, verify: bool = True
    ) -> BinaryIO:
        """Open a blob for reading once, from start to end ("Pulling blobs"); raises NotFoundError.

        Reading resumes after a broken connection and raises TrustError if the content does not have
        ``digest`` or ``size`` (bytes). With ``verify=False`` the caller computes the digest.
        """
        where = f"{repository}@{digest}"

        def open_at(source: Repository, start: int) -> tuple[Response, int]:
            send_request = self._connector.sender(source, "pull")
            url = self._connector.blob_url(source, digest)
            return self._connector.run(download.open_blob_at(send_request, url, where, start))

        def opener(start: int) -> tuple[Response, int]:
            return self._connector.try_mirrors(repository, lambda source: open_at(source, start))

        backoff, sleep = self._connector.backoff(), self._connector.time_sources.sleep
        reader = download.BlobReader(opener, digest, size, where, backoff, sleep, verify=verify)
        return cast("BinaryIO", reader)

    def read_blob_range(
        self, repository: Repository, digest: str, start: int, length: int
    ) -> Generator[bytes, None, None]:
        """Yield ``length`` bytes of a blob from byte ``start`` on, in chunks; nothing is verified.

        Raises RegistryError if the registry does not send parts of blobs.
        """
        where = f"{repository}@{digest}"

        def open_range(source: Repository) -> Response:
            send_request = self._connector.sender(source, "pull")
            url = self._connector.blob_url(source, digest)
            return self._connector.run(download.open_blob_range(send_request, url, where, start, length))

        with closing(self._connector.try_mirrors(repository, open_range).stream) as stream:
            while length > 0 and (data := stream.read(min(length, _CHUNK))):
                yield data
                length -= len(data)
        if length:
            raise TransportError("the connection was closed unexpectedly", where=where)

    def upload_blob(
        self,
        repository: Repository,
        descriptor: oci.Descriptor,
        content: Callable[[], BinaryIO] | bytes,
        *,
        mount_from: Repository | None = None,
        on_sent: Callable[[int], object] = lambda _: None,
    ) -> Outcome:
        """Upload a blob unless the repository has it ("Pushing Blobs").

        Returns "present", "mounted" (from ``mount_from``) or "sent". ``content`` is the bytes, or a
        function that opens them from the start; it is called again for a retry, and not at all if nothing
        has to be sent. ``on_sent`` is called with the number of bytes of each piece sent. Raises TrustError
        if the content does not match the descriptor.
        """
        send_read = self._connector.sender(repository, "pull")
        if self._connector.run(
            download.has_blob(send_read, self._connector.blob_url(repository, descriptor.digest))
        ):
            return "present"
        opener = (lambda: io.BytesIO(content)) if isinstance(content, bytes) else content
        blob = blob_content.BlobContent(descriptor.digest, descriptor.size, opener, on_sent)
        mount_name = self._mount_name(repository, mount_from)
        # Only for mounting: a token service may refuse, or narrow, a token for two repositories.
        mount_scopes = [scope_of(self._connector.rewrite(mount_from), "pull")] if mount_from else []
        upload = Upload(
            self._connector.sender(repository, "pull,push"),
            self._connector.repository_url(repository),
            blob,
            self._connector.backoff(),
            chunk_size=self.settings.chunk_size,
        )
        send_mount = self._connector.sender(repository, "pull,push", extra_scopes=mount_scopes)
        try:
            return self._connector.run(upload.run(mount_name, send_mount))
        finally:
            blob.close()

    def _mount_name(self, repository: Repository, mount_from: Repository | None) -> str:
        """Return the name to mount from, "" if that is not another repository of the same registry."""
        if mount_from is None:
            return ""
        target, source = self._connector.rewrite(repository), self._connector.rewrite(mount_from)
        return source.name if source.host == target.host and source != target else ""

    def delete_blob(self, repository: Repository, digest: str) -> None:
        """Delete a blob ("Deleting Blobs")."""
        url = self._connector.blob_url(repository, digest)
        self._delete(repository, url, f"{repository}@{digest}")

    # Tags and referrers ---------------------------------------------------------------------------

    def list_repositories(self, host: str) -> list[str]:
        """Return the names of the repositories that ``host`` lists, in its order.

        Many registries list none, or only to administrators.
        """
        send_request = self._connector.sender(Repository(host, ""), "")
        url = self._connector.registry_url(host)
        return self._connector.run(listing.list_repositories(send_request, url, host))

    def list_tags(self, repository: Repository, *, page_size: int = 0) -> list[str]:
        """Return every tag of a repository, in the registry's order ("Listing Tags").

        ``page_size`` is the number of tags to request at once, 0 for the registry's default.
        """
        send_request = self._connector.sender(repository, "pull")
        url = self._connector.repository_url(repository)
        return self._connector.run(listing.list_tags(send_request, url, str(repository), page_size))

    def list_first_tags(self, repository: Repository, count: int) -> tuple[tuple[str, ...], bool]:
        """Return one page of about ``count`` tags, and whether the repository has no others."""
        send_request = self._connector.sender(repository, "pull")
        url = f"{self._connector.repository_url(repository)}/tags/list?n={count}"
        tags, next_url = self._connector.run(listing.list_tags_page(send_request, url, str(repository)))
        # Some registries cut a list at the requested length without a link to the rest.
        return tags, not next_url and len(tags) < count

    def list_referrers(self, repository: Repository, digest: str, artifact_type: str = "") -> list[Referrer]:
        """Return the referrers of a manifest ("Listing Referrers").

        They come from the referrers API or, where the registry has none, from the fallback tag.
        """
        send_request = self._connector.sender(repository, "pull")
        url, where = self._connector.repository_url(repository), f"{repository}@{digest}"
        return self._connector.run(listing.list_referrers(send_request, url, digest, where, artifact_type))

    def list_fallback_referrers(self, repository: Repository, digest: str) -> list[Referrer]:
        """Return the referrers listed under the fallback tag, even if the registry has the referrers API."""
        send_request = self._connector.sender(repository, "pull")
        url, where = self._connector.repository_url(repository), f"{repository}@{digest}"
        return self._connector.run(listing.list_fallback_referrers(send_request, url, digest, where))

    def add_fallback_referrers(
        self, repository: Repository, subject: str, entries: Sequence[dict[str, Any]]
    ) -> None:
        """Add descriptors to the index under the fallback tag of ``subject``, unless it has them.

        For registries without the referrers API ("Referrers Tag Schema"). Safe against other clients that
        change the index at the same time.
        """
        self._connector.run(self._fallback_index(repository, subject).add(entries))

    def remove_fallback_referrer(self, repository: Repository, subject: str, digest: str) -> None:
        """Remove a descriptor from the index under the fallback tag of ``subject``, if there is one."""
        self._connector.run(self._fallback_index(repository, subject).remove(digest))

    def _fallback_index(self, repository: Repository, subject: str) -> FallbackIndex:
        send_request = self._connector.sender(repository, "pull,push")
        url, where = self._connector.repository_url(repository), f"{repository}@{subject}"
        return FallbackIndex(send_request, url, subject, where, self._connector.time_sources.jitter)


def _delete_hint(response: Response) -> str | None:
    return "deletion may be disabled in the registry" if response.status == 405 else None
