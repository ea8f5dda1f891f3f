"""A client for OCI registries (distribution-spec 1.1).

Small and blocking; one client serves any number of registries and threads. What it returns is frozen,
and documents are the bytes that were received. Protocols are in their own files, as generators; here
they get their connections, logins and patience.
"""

from __future__ import annotations

import io
import random
import threading
import time
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar, cast

import msgspec

from pumice.errors import PumiceError, TrustError, UsageError
from pumice.formats import oci
from pumice.formats.hosts import is_loopback
from pumice.progress import Silent
from pumice.registry import content, download, fallback, headers, listing, sites
from pumice.registry.auth import Authorised, Keys, scope_of
from pumice.registry.credentials import Anonymous
from pumice.registry.document import ACCEPT, Document, Stored, document_of, head_descriptor
from pumice.registry.errors import NotFoundError, RegistryError, refused
from pumice.registry.message import Request, literal
from pumice.registry.middleware import Redirecting, drive, plain
from pumice.registry.redirects import Confined
from pumice.registry.reference import Reference, Repository, api_host, check_host, is_digest
from pumice.registry.retry import Backoff, Policy, Retrying
from pumice.registry.sites import Site
from pumice.registry.transport import Tls, Urllib3Transport
from pumice.registry.upload import Upload

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pumice.progress import Progress
    from pumice.registry.credentials import Credentials
    from pumice.registry.listing import Link
    from pumice.registry.message import Ask, Header, Response, Result, Steps, Transport
    from pumice.registry.upload import Outcome

_Found = TypeVar("_Found")


class Settings(msgspec.Struct, frozen=True):
    """How a client goes about its work.

    ``plain_http`` asks without TLS; this machine's own addresses are asked so anyway unless ``tls``
    names files. ``chunk`` is the number of bytes of a request that sends a blob, 0: all of it.
    """

    plain_http: bool = False
    tls: Tls = Tls()
    chunk: int = 0
    policy: Policy = Policy()
    sites: tuple[Site, ...] = ()
    """What the configuration says of single registries."""


class Client:
    """Talks to registries. A context manager; safe for threads."""

    def __init__(
        self,
        credentials: Credentials | None = None,
        settings: Settings | None = None,
        *,
        transport: Transport | None = None,
        progress: Progress | None = None,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        pause: Callable[[float], object] = time.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """``progress`` hears of registries' warnings, each once. The last four are for tests."""
        self.settings = settings or Settings()
        self._transport = transport or Urllib3Transport(self.settings.tls, tls_of=self._tls_of)
        self._keys = Keys(credentials or Anonymous(), clock)
        self._progress: Progress = progress or Silent()
        self._now = now
        self._pause = pause
        self._jitter = jitter
        self._warned: set[tuple[str, str]] = set()
        self._guard = threading.Lock()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    # Manifests ------------------------------------------------------------------------------------

    def ping(self, host: str) -> None:
        """Check that ``host`` is a registry that accepts our login; raises RegistryError."""
        repository = Repository(host, "")
        response = self._run(self._ask(repository, "")(Request("GET", f"{self._base(host)}/v2/")))
        if response.status != 200:
            raise refused(response, host)

    def resolve(self, reference: Reference) -> oci.Descriptor:
        """Return the descriptor of what a reference stands for now; raises NotFoundError."""
        found = self.find(reference)
        if found is None:
            found = self.manifest(reference).descriptor
        return found

    def find(self, reference: Reference, *, direct: bool = False) -> oci.Descriptor | None:
        """Return the descriptor of a reference, None if it is not there. ``direct`` asks no mirrors."""
        return self._first(reference.repository, lambda place: self._find(_at(reference, place)), direct)

    def _find(self, reference: Reference) -> oci.Descriptor | None:
        request = Request("HEAD", self._manifest_url(reference), (("Accept", ACCEPT),))
        response = self._run(self._ask(reference.repository, "pull")(request))
        if response.status == 404:
            return None
        descriptor = head_descriptor(response)
        if descriptor is None:
            return self._document(reference)
        if reference.digest and descriptor.digest != reference.digest:
            raise _other(descriptor.digest, str(reference))
        return descriptor

    def _document(self, reference: Reference) -> oci.Descriptor | None:
        """Ask for the whole document where the answer to a HEAD cannot be relied on."""
        try:
            return self._manifest(reference).descriptor
        except NotFoundError:
            return None

    def manifest(self, reference: Reference, *, direct: bool = False) -> Document:
        """Return a manifest or index; raises NotFoundError, TrustError, FormatError beyond 4 MiB."""
        return self._first(reference.repository, lambda place: self._manifest(_at(reference, place)), direct)

    def _manifest(self, reference: Reference) -> Document:
        where = str(reference)
        request = Request("GET", self._manifest_url(reference), (("Accept", ACCEPT),), limit=oci.MAX_DOCUMENT)
        response = self._run(self._ask(reference.repository, "pull")(request))
        if response.status != 200:
            raise refused(response, where)
        said = response.header("Docker-Content-Digest")
        digest = reference.digest or (said if is_digest(said) else content.digest_of(response.content))
        content.check(response.content, digest, where)
        return document_of(response, digest, where)

    def put_manifest(
        self, reference: Reference, data: bytes, media_type: str, *, conditions: Sequence[Header] = ()
    ) -> Stored:
        """Store a manifest or index under a tag or its digest; raises RegistryError.

        Where it has a ``subject`` and the registry does not list it by itself (`Stored.listed`), it is
        for the caller to `list_referrer` it. ``conditions`` are headers such as If-Match.
        """
        algorithm = reference.digest.partition(":")[0] or "sha256"
        digest = content.digest_of(data, algorithm)
        if reference.digest and reference.digest != digest:
            raise UsageError(f"the manifest's digest is {digest}", where=str(reference))
        url = f"{self._address(reference.repository)}/manifests/{reference.tag or digest}"
        request = Request("PUT", url, (("Content-Type", media_type), *conditions), body=literal(data))
        response = self._run(self._ask(reference.repository, "pull,push")(request))
        if response.status not in (200, 201, 202, 204):
            raise refused(response, str(reference))
        said = response.header("Docker-Content-Digest")
        if is_digest(said) and said.partition(":")[0] == algorithm and said != digest:
            raise _other(said, str(reference))
        return Stored(digest, listed=bool(response.header("OCI-Subject")))

    def delete(self, reference: Reference) -> None:
        """Delete a manifest, or only a tag if the reference has no digest; raises RegistryError."""
        self._delete(reference.repository, self._manifest_url(reference), str(reference))

    def _delete(self, repository: Repository, url: str, where: str) -> None:
        """Delete with the login that the specification names, else with the one that other clients use."""
        request = Request("DELETE", url)
        try:
            response = self._run(self._ask(repository, "delete,pull,push")(request))
            is_denied = response.status in (401, 403)
        except RegistryError:
            is_denied = True
        if is_denied:
            response = self._run(self._ask(repository, "*")(request))
        if response.status not in (200, 202, 204):
            raise refused(response, where, hint=_delete_hint(response))

    def remove(self, reference: Reference) -> None:
        """Delete a manifest or tag, and take a deleted referrer out of its subject's fallback list."""
        subject = ""
        if reference.digest:
            stated = self.manifest(reference).json().get("subject")
            subject = str(stated.get("digest")) if isinstance(stated, dict) else ""
        self.delete(reference)
        if is_digest(subject):
            self.unlist_referrer(reference.repository, subject, reference.digest)

    # Blobs ----------------------------------------------------------------------------------------

    def blob_size(self, repository: Repository, digest: str) -> int | None:
        """Return the size of a blob in bytes, None if it is not there."""
        ask = self._ask(repository, "pull")
        where = f"{repository}@{digest}"
        return self._run(download.size(ask, self._blob_url(repository, digest), where))

    def open_blob(
        self, repository: Repository, digest: str, size: int | None = None, *, checked: bool = True
    ) -> BinaryIO:
        """Open a blob for reading once, from its start; raises NotFoundError.

        Reading resumes where a connection broke, and raises TrustError when the content is not that of
        ``digest`` or ``size``. Without ``checked`` it is not hashed: for who does that where it goes.
        """
        where = f"{repository}@{digest}"

        def begin(place: Repository, start: int) -> tuple[Response, int]:
            ask = self._ask(place, "pull")
            return self._run(download.begin(ask, self._blob_url(place, digest), where, start))

        def opener(start: int) -> tuple[Response, int]:
            return self._first(repository, lambda place: begin(place, start))

        backoff = Backoff(self.settings.policy, self._jitter)
        reader = download.BlobReader(opener, digest, size, where, backoff, self._pause, checked=checked)
        return cast("BinaryIO", reader)

    def upload(
        self,
        repository: Repository,
        descriptor: oci.Descriptor,
        source: Callable[[], BinaryIO] | bytes,
        *,
        mount: Repository | None = None,
        sent: Callable[[int], object] = lambda _: None,
    ) -> Outcome:
        """Make sure that a repository has a blob; return what it took.

        ``source`` opens the content (as often as is needed) and is not opened if the blob is there or
        can be mounted from ``mount``. ``sent`` hears of bytes that went out. Raises RegistryError,
        TransportError, TrustError when the content is not what the descriptor says.
        """
        pull = self._ask(repository, "pull")
        if self._run(download.is_there(pull, self._blob_url(repository, descriptor.digest))):
            return "present"
        opener = (lambda: io.BytesIO(source)) if isinstance(source, bytes) else source
        carried = content.Content(descriptor.digest, descriptor.size, opener, sent)
        here = sites.target(self.settings.sites, repository)
        there = sites.target(self.settings.sites, mount) if mount else here
        origin = there.name if there.host == here.host and there != here else ""
        # Only for mounting: a token service may refuse, or narrow, a token for two repositories.
        mounting = self._ask(repository, "pull,push", scopes=[scope_of(there, "pull")]) if origin else None
        ask = self._ask(repository, "pull,push")
        backoff = Backoff(self.settings.policy, self._jitter)
        upload = Upload(ask, self._address(repository), carried, backoff, chunk=self.settings.chunk)
        try:
            return self._run(upload.steps(origin, mounting))
        finally:
            carried.close()

    def delete_blob(self, repository: Repository, digest: str) -> None:
        """Delete a blob; raises RegistryError."""
        self._delete(repository, self._blob_url(repository, digest), f"{repository}@{digest}")

    # Lists ----------------------------------------------------------------------------------------

    def tags(self, repository: Repository, *, page: int = 0) -> list[str]:
        """Return every tag of a repository; ``page`` is the number to ask for at once, 0: the registry's."""
        ask = self._ask(repository, "pull")
        return self._run(listing.tags(ask, self._address(repository), str(repository), page))

    def some_tags(self, repository: Repository, count: int) -> tuple[tuple[str, ...], bool]:
        """Return the first ``count`` tags or so, and whether these are all."""
        url = f"{self._address(repository)}/tags/list?n={count}"
        found, onward = self._run(listing.tags_page(self._ask(repository, "pull"), url, str(repository)))
        # Some registries cut a list at what was asked for and say nothing of the rest.
        return found, not onward and len(found) < count

    def referrers(self, repository: Repository, digest: str, artifact_type: str = "") -> list[Link]:
        """Return what refers to a manifest, from the referrers API or the fallback tag."""
        ask = self._ask(repository, "pull")
        where = f"{repository}@{digest}"
        return self._run(listing.referrers(ask, self._address(repository), digest, where, artifact_type))

    def referrers_by_tag(self, repository: Repository, digest: str) -> list[Link]:
        """Return what the fallback tag lists, whatever the referrers API says."""
        ask = self._ask(repository, "pull")
        return self._run(listing.by_tag(ask, self._address(repository), digest, f"{repository}@{digest}"))

    def list_referrer(self, repository: Repository, subject: str, entries: Sequence[dict[str, Any]]) -> None:
        """List descriptors as referrers of ``subject`` under the fallback tag, unless they are there.

        For registries without the referrers API.
        """
        self._run(self._listing(repository, subject).add(entries))

    def unlist_referrer(self, repository: Repository, subject: str, digest: str) -> None:
        """Take a descriptor out of the fallback list of ``subject``, where there is one."""
        self._run(self._listing(repository, subject).remove(digest))

    # Connections ----------------------------------------------------------------------------------

    def _first(
        self, repository: Repository, ask: Callable[[Repository], _Found], direct: bool = False
    ) -> _Found:
        """Ask the mirrors of a repository until one has it, and then the repository itself."""
        for mirror in () if direct else sites.mirrors(self.settings.sites, repository):
            try:
                found = ask(mirror)
            except NotFoundError:
                continue
            except PumiceError as error:
                self._warn(mirror.host, f"{mirror} is passed over: {error.message}")
                continue
            if found is not None:
                return found
        return ask(repository)

    def _listing(self, repository: Repository, subject: str) -> fallback.Listing:
        ask = self._ask(repository, "pull,push")
        where = f"{repository}@{subject}"
        return fallback.Listing(ask, self._address(repository), subject, where, self._jitter)

    def _run(self, steps: Steps[Result]) -> Result:
        return drive(steps, self._transport, self._pause)

    def _ask(self, repository: Repository, actions: str, *, scopes: Sequence[str] = ()) -> Ask:
        """One request with its login, retries and redirections."""
        repository = sites.target(self.settings.sites, repository)
        own = [scope_of(repository, actions)] if actions else []
        scope = tuple(sorted([*own, *scopes]))
        base = self._base(repository.host)
        patient = Retrying(Confined(plain, base), self.settings.policy, self._jitter, self._now)
        ask = Redirecting(Authorised(patient, self._keys, repository, scope, base))

        def heard(request: Request) -> Steps[Response]:
            response = yield from ask(request)
            self._hear(response, repository.host)
            return response

        return heard

    def _hear(self, response: Response, host: str) -> None:
        """Pass a registry's warnings on, each once."""
        for text in headers.warnings(response.all("Warning")):
            self._warn(host, f"{host} says: {text}")

    def _warn(self, host: str, text: str) -> None:
        with self._guard:
            fresh = (host, text) not in self._warned and len(self._warned) < 1000
            self._warned.add((host, text))
        if fresh:
            self._progress.warn(text)

    def _tls_of(self, address: str) -> Tls | None:
        site = sites.reach(self.settings.sites, check_host(address))
        return site.tls if site and self.settings.tls == Tls() else None

    def _base(self, host: str) -> str:
        address = api_host(host)
        site = sites.reach(self.settings.sites, host)
        tls = self.settings.tls != Tls() or bool(site and site.tls != Tls())
        clear = self.settings.plain_http or bool(site and site.insecure) or (is_loopback(address) and not tls)
        return f"{'http' if clear else 'https'}://{address}"

    def _address(self, repository: Repository) -> str:
        repository = sites.target(self.settings.sites, repository)
        return f"{self._base(repository.host)}/v2/{repository.name}"

    def _manifest_url(self, reference: Reference) -> str:
        return f"{self._address(reference.repository)}/manifests/{reference.asked}"

    def _blob_url(self, repository: Repository, digest: str) -> str:
        content.hasher(digest)
        return f"{self._address(repository)}/blobs/{digest}"


def _at(reference: Reference, repository: Repository) -> Reference:
    return msgspec.structs.replace(reference, repository=repository)


def _other(digest: str, where: str) -> TrustError:
    return TrustError(f"the registry says that its digest is {digest}", where=where)


def _delete_hint(response: Response) -> str | None:
    return "deleting may be switched off in the registry" if response.status == 405 else None
