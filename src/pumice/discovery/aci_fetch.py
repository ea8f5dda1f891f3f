"""Fetches App Container images that were discovered, with the images that they depend on.

The signature comes first: an image is only downloaded if the signature names a trusted key. Afterwards the
signature is verified, and then name and labels are compared. Nothing is stored before all of that.
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice import digest
from pumice.appc.labels import find_value
from pumice.discovery import issuers, resolver
from pumice.discovery.download import MAX_IMAGE, Download, MissingFileError, lock_name, status_error
from pumice.discovery.labels import ImageRequest, check_manifest, make_request
from pumice.discovery.page_cache import Freshness
from pumice.discovery.protocol import explain_absence
from pumice.discovery.stream_conversion import StreamConversion
from pumice.discovery.stream_verification import StreamVerification, make_task
from pumice.errors import FetchError, FormatError, PumiceError, TrustError
from pumice.formats import openpgpsig
from pumice.image import aci_rendering
from pumice.image.aci_reader import ReadAci
from pumice.image.model import Archive
from pumice.image.transports import archive_members
from pumice.os_errors import translate_os_errors
from pumice.registry.errors import redact_url
from pumice.registry.message import TransportError
from pumice.trust import admission
from pumice.trust.archive_signatures import SUFFIX

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pumice.discovery.download import Downloaded
    from pumice.discovery.session import DiscoverySession
    from pumice.discovery.tags import Endpoint
    from pumice.discovery.web import Reach, Web
    from pumice.formats.oci import Platform
    from pumice.image.model import Image
    from pumice.image.uncommitted_layer import UncommittedLayer
    from pumice.trust.decision import Decision
    from pumice.trust.policy_files import PolicyDirectory

MAX_DEPENDENCIES = 64
_ACCEPTED = 202
"""The status of a signature that is not ready yet: it is asked for again after the image."""


class TrustOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How images are verified; ``insecure`` accepts images without a signature by a trusted key."""

    directories: tuple[PolicyDirectory, ...]
    now: int
    insecure: bool = False
    allow_older: bool = False


class FetchedAci(msgspec.Struct, frozen=True, kw_only=True):
    """An image that may be stored: ``image`` has its dependencies too, ``decision`` is about the file.

    ``layers`` are those of its layers that wait to be committed.
    """

    image: Image
    layers: tuple[UncommittedLayer, ...]
    name: str
    version: str
    image_id: str
    url: str
    size: int
    decision: Decision
    signature_digest: str
    freshness: Freshness | None


class UnchangedAci(msgspec.Struct, frozen=True):
    """The stored image is still the one of the server; ``freshness`` is what was said about it now."""

    freshness: Freshness | None


class _VerifiedFile(msgspec.Struct, frozen=True, kw_only=True):
    read: ReadAci
    layer: UncommittedLayer
    decision: Decision
    size: int
    signature_digest: str
    freshness: Freshness | None
    reach: Reach | None
    """How far the server may lead."""


@contextmanager
def fetch_aci(
    endpoint: Endpoint,
    request: ImageRequest,
    web: Web,
    session: DiscoverySession,
    trust: TrustOptions,
    platform: Platform,
    find_freshness: Callable[[], Freshness | None],
) -> Iterator[FetchedAci | UnchangedAci]:
    """Give the image at an endpoint, unless the stored one is the same; raises PumiceError.

    No other process fetches it meanwhile. ``find_freshness`` returns that of the stored image then.
    """
    with ExitStack() as stack:
        fetcher = _Fetcher(session, trust, platform, stack)
        verified = fetcher.fetch(endpoint, request, web, find_freshness)
        if isinstance(verified, UnchangedAci):
            yield verified
            return
        manifest = verified.read.validated.manifest
        image, layers = verified.read.image(), [verified.layer]
        if manifest.dependencies or manifest.path_whitelist:
            dependencies = fetcher.fetch_dependencies(verified)
            top, *others = [aci_rendering.make_renderable(each.read) for each in (verified, *dependencies)]
            image = aci_rendering.render_images(top, others).image
            layers += [each.layer for each in dependencies]
        used = {descriptor.digest for descriptor in image.manifest().layers}
        yield FetchedAci(
            image=image,
            layers=tuple(layer for layer in layers if layer.descriptor.digest in used),
            name=manifest.name,
            version=find_value(manifest.labels, "version") or "",
            image_id=verified.read.validated.image_id,
            url=endpoint.url,
            size=verified.size,
            decision=verified.decision,
            signature_digest=verified.signature_digest,
            freshness=verified.freshness,
        )


class _Fetcher:
    """Fetches one image and everything that it depends on.

    Their files, and their layers in the store, exist until ``stack`` is closed.
    """

    def __init__(
        self, session: DiscoverySession, trust: TrustOptions, platform: Platform, stack: ExitStack
    ) -> None:
        self._session = session
        self._trust = trust
        self._platform = platform
        self._stack = stack
        self._dependencies: dict[str, _VerifiedFile] = {}

    def fetch(
        self,
        endpoint: Endpoint,
        request: ImageRequest,
        web: Web,
        find_freshness: Callable[[], Freshness | None] = lambda: None,
        limit: int = MAX_IMAGE,
    ) -> _VerifiedFile | UnchangedAci:
        """Return a verified image, unless it is unchanged."""
        web.check_url(endpoint.url)
        web.check_url(endpoint.signature)
        signature = self._fetch_signature(endpoint, request, web)
        home = self._session.home
        self._stack.enter_context(home.lock(f"fetch-{lock_name(endpoint.url)}"))
        conversion = self._stack.enter_context(StreamConversion(home, endpoint.url))
        verification = self._stack.enter_context(self._start_verification(conversion, signature, request))
        download = Download(
            *(web, endpoint.url, home, self._session.progress),
            limit=limit,
            peers=self._session.peers,
            growing=conversion.file,
        )
        downloaded = self._download(download, find_freshness(), request)
        if downloaded.is_unchanged:
            return UnchangedAci(downloaded.freshness)
        if signature is None and not self._trust.insecure:
            signature = self._fetch_signature(endpoint, request, web, is_last=True)
        path = self._place(download, signature)
        read, layer = self._finish(conversion, path, request, verification.finish())
        decision, signature = self._admit(read, signature, endpoint, request, web)
        return _VerifiedFile(
            read=read,
            layer=layer,
            decision=decision,
            size=downloaded.size,
            signature_digest=digest.of(signature or b""),
            freshness=downloaded.freshness,
            reach=web.reach,
        )

    def _download(
        self, download: Download, stored_freshness: Freshness | None, request: ImageRequest
    ) -> Downloaded:
        try:
            return download.run(stored_freshness, self._session.clock, str(request))
        except FormatError:  # the file is not an image: nothing of it can be continued
            download.discard()
            raise

    def fetch_dependencies(self, image: _VerifiedFile) -> list[_VerifiedFile]:
        """Return all images that an image depends on, directly or not.

        A host that an image names is one that a server leads to.
        """
        pending = [(dependency, image.reach) for dependency in image.read.validated.manifest.dependencies]
        while pending:
            dependency, reach = pending.pop(0)
            key = msgspec.json.encode(dependency).decode()
            if key in self._dependencies:
                continue
            if len(self._dependencies) >= MAX_DEPENDENCIES:
                raise FormatError(f"the image depends on more than {MAX_DEPENDENCIES} images")
            labels = {label.name: label.value for label in dependency.labels}
            request = make_request(dependency.image_name, labels, self._platform)
            fetched = self._fetch_named(request, dependency.size, self._session.web(reach))
            validated = fetched.read.validated
            if dependency.image_id and validated.image_id != dependency.image_id:
                raise FormatError(
                    f"the dependency {request} has the ID {validated.image_id[:20]}…, not"
                    f" {dependency.image_id[:20]}…",
                    hint="its publisher replaced it; ask for an image with its new ID",
                )
            self._dependencies[key] = fetched
            pending += [(each, fetched.reach) for each in validated.manifest.dependencies]
        return list(self._dependencies.values())

    def _fetch_named(self, request: ImageRequest, size: int, web: Web) -> _VerifiedFile:
        session = self._session
        discovery = resolver.resolve(request.name, request.labels, web, session, keys=False)
        endpoints = [endpoint for endpoint in discovery.images if endpoint.kind == "aci"]
        if not endpoints:
            raise explain_absence(discovery, "App Container image")
        errors: list[PumiceError] = []
        for endpoint in endpoints:
            try:
                fetched = self.fetch(endpoint, request, web, limit=size or MAX_IMAGE)
            except PumiceError as error:
                errors.append(error)
                continue
            assert not isinstance(fetched, UnchangedAci)  # noqa: S101 - nothing of it is known, so it is downloaded
            return fetched
        raise errors[0]

    def _fetch_signature(
        self, endpoint: Endpoint, request: ImageRequest, web: Web, *, is_last: bool = False
    ) -> bytes | None:
        """Return the signature of an image, None if it is not ready yet, or need not exist."""
        name, trust = str(request), self._trust
        if not trust.insecure:
            issuers.check_trust(name, trust.directories)
        try:
            page = web.get(endpoint.signature, limit=openpgpsig.MAX_FILE)
        except TransportError as error:
            raise FetchError(error.message, where=error.where, hint=error.hint) from None
        if page.status == 200 and not page.is_cut:
            if not trust.insecure:
                where = redact_url(endpoint.signature)
                issuers.check_issuers(page.content, name, trust.directories, where, trust.now)
            return page.content
        if trust.insecure or (page.status == _ACCEPTED and not is_last):
            return None
        if page.status in (404, 410):
            raise MissingFileError("the image has no signature there", where=redact_url(endpoint.signature))
        if page.is_cut:
            raise FormatError("the signature is larger than 1 MiB", where=redact_url(endpoint.signature))
        raise status_error(page.headers, endpoint.signature)

    def _place(self, download: Download, signature: bytes | None) -> Path:
        """Move a download and its signature to a directory of their own, and return the image's path."""
        folder = Path(
            self._stack.enter_context(tempfile.TemporaryDirectory(dir=download.path.parent, prefix="fetch-"))
        )
        path = folder / "image.aci"
        with translate_os_errors(str(folder)):
            download.path.replace(path)
            download.discard()
        _write_signature(path, signature)
        return path

    def _start_verification(
        self, conversion: StreamConversion, signature: bytes | None, request: ImageRequest
    ) -> StreamVerification:
        trust = self._trust
        task = None
        if signature is not None and not trust.insecure:
            trusted = issuers.list_certificates(str(request), trust.directories)
            task = make_task(signature, trusted, trust.now)
        return StreamVerification(conversion.file, task)

    def _finish(
        self,
        conversion: StreamConversion,
        path: Path,
        request: ImageRequest,
        signers: tuple[tuple[bytes, str], ...],
    ) -> tuple[ReadAci, UncommittedLayer]:
        """Return the image with its layer if it is the one that was asked for."""
        converted = conversion.finish(path)
        check_manifest(converted.validated.manifest, request, redact_url(conversion.url))
        archive = Archive(path, archive_members.read_status(path), signers=signers)
        return ReadAci(converted.validated, converted.layer, archive), converted.layer

    def _admit(
        self, read: ReadAci, signature: bytes | None, endpoint: Endpoint, request: ImageRequest, web: Web
    ) -> tuple[Decision, bytes | None]:
        """Return the decision about an image and its signature, which is fetched again if it is wrong."""
        try:
            return self._decide(read, request, endpoint.url), signature
        except TrustError:
            # The image may have been replaced between the two downloads.
            newer = None if self._trust.insecure else self._fetch_signature(endpoint, request, web)
            if newer is None or newer == signature:
                raise
        _write_signature(read.archive.path, newer)
        return self._decide(read, request, endpoint.url), newer

    def _decide(self, read: ReadAci, request: ImageRequest, url: str) -> Decision:
        trust = self._trust
        try:
            return admission.admit(
                read.image(),
                "pull",
                self._session.home,
                admission.AdmissionRequest(
                    reference=redact_url(url), name=str(request), allow_older=trust.allow_older
                ),
                progress=self._session.progress,
                directories=trust.directories,
                now=trust.now,
                insecure=trust.insecure,
            )
        except PumiceError as error:
            path = str(read.archive.path)
            if error.where and path in error.where:
                error.where = error.where.replace(path, redact_url(url))
            raise


def _write_signature(path: Path, signature: bytes | None) -> None:
    """Write the signature of an image next to it."""
    if signature is not None:
        with translate_os_errors(str(path)):
            path.with_name(path.name + SUFFIX).write_bytes(signature)
