"""Fetches an image by its name into the store, from the first endpoint that has an acceptable one.

What was fetched from a URL is remembered with its validators, so that an image that has not changed is not
downloaded again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NoReturn

import msgspec

from pumice import digest
from pumice.decoding import decode_msgpack
from pumice.discovery import resolver
from pumice.discovery.aci_fetch import FetchedAci, TrustOptions, UnchangedAci, fetch_aci
from pumice.discovery.page_cache import Freshness
from pumice.discovery.protocol import explain_absence
from pumice.discovery.stored_images import FetchedImage, admit_stored, describe_stored, find_stored
from pumice.errors import FetchError, FormatError, ImageError, PumiceError, UsageError
from pumice.image.transports import store, transfer
from pumice.image.transports.locations import STORE, Access, Address, OpenedImage, open_local_source
from pumice.registry.errors import redact_url
from pumice.store.archive_marks import ArchiveMark
from pumice.trust.decision import list_archive_signers

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.discovery.labels import ImageRequest
    from pumice.discovery.session import DiscoverySession
    from pumice.discovery.tags import Endpoint
    from pumice.discovery.web import Web
    from pumice.formats.oci import Platform
    from pumice.store.home import Home

PullPolicy = Literal["new", "always", "never"]
_KIND = "fetched"


class _FetchRecord(msgspec.Struct, frozen=True):
    """What a URL had, under which name it is in the store, and how that may be asked for again."""

    name: str
    digest: str
    freshness: Freshness


def fetch_image(
    request: ImageRequest,
    session: DiscoverySession,
    trust: TrustOptions,
    platform: Platform,
    fetch_oci: Callable[[Endpoint, ImageRequest, Web], FetchedImage],
    *,
    pull: PullPolicy = "always",
) -> FetchedImage:
    """Return the image in the store; ``fetch_oci`` pulls one from a registry. Raises PumiceError."""
    store.check_stored_name(f"{request.name}:{request.version or 'latest'}")
    if pull != "always" and (stored := find_stored(request, session.home)) is not None:
        return stored
    if pull == "never":
        raise ImageError(
            f"there is no {request} for {request.labels['os']}/{request.labels['arch']} in the store",
            hint="fetch it without --pull never",
        )
    web = session.web()
    discovery = resolver.resolve(request.name, request.labels, web, session, keys=False)
    if not discovery.images:
        raise explain_absence(discovery, "image")
    errors: list[PumiceError] = []
    for endpoint in discovery.images:
        try:
            if endpoint.kind == "registry":
                return fetch_oci(endpoint, request, web)
            return _fetch_aci(endpoint, request, web, session, trust, platform)
        except PumiceError as error:
            errors.append(error)
            if len(discovery.images) > 1:
                session.progress.warn(f"{redact_url(endpoint.url)}: {error.message}")
    raise _choose_error(errors)


def _choose_error(errors: list[PumiceError]) -> PumiceError:
    """Return the error that says most: a server that does not respond says less than a wrong image."""
    telling = [error for error in errors if not isinstance(error, FetchError)]
    return (telling or errors)[0]


def _fetch_aci(
    endpoint: Endpoint,
    request: ImageRequest,
    web: Web,
    session: DiscoverySession,
    trust: TrustOptions,
    platform: Platform,
) -> FetchedImage:
    home = session.home
    key = digest.of(endpoint.url.encode())
    record = _load_record(key, home)
    stored = _find_recorded(record, request, session, trust)
    if record is not None and stored is not None and record.freshness.is_fresh(session.clock()):
        return stored

    def find_freshness() -> Freshness | None:
        nonlocal record, stored
        if (newer := _load_record(key, home)) != record:  # another process fetched it meanwhile
            record, stored = newer, _find_recorded(newer, request, session, trust)
        return record.freshness if record is not None and stored is not None else None

    with fetch_aci(endpoint, request, web, session, trust, platform, find_freshness) as fetched:
        if not isinstance(fetched, UnchangedAci):
            result, freshness = _store(fetched, request, session), fetched.freshness
        elif record is not None and stored is not None:
            result, freshness = stored, record.freshness.renew(fetched.freshness)
        else:
            raise FetchError("the server says that nothing has changed", where=redact_url(endpoint.url))
        if freshness is not None:
            entry = _FetchRecord(result.name, result.digest, freshness)
            home.records.put(_KIND, key, msgspec.msgpack.encode(entry))
    return result


def _load_record(key: str, home: Home) -> _FetchRecord | None:
    data = home.records.get(_KIND, key)
    try:
        return None if data is None else decode_msgpack(data, _FetchRecord)
    except msgspec.MsgspecError:  # written by another version of Pumice
        return None


def _find_recorded(
    record: _FetchRecord | None, request: ImageRequest, session: DiscoverySession, trust: TrustOptions
) -> FetchedImage | None:
    """Return the image of a record if the store still has it, it is the requested one, and is admitted."""
    if record is None:
        return None
    stored = describe_stored(record.name, request, session.home)
    if stored is None or stored.digest != record.digest:
        return None
    mark = session.home.archive_marks.get(record.digest)
    if mark is None or not mark.signers:
        return None
    return admit_stored(stored, request, session.home, trust, session.progress)


def _store(fetched: FetchedAci, request: ImageRequest, session: DiscoverySession) -> FetchedImage:
    """Write an image to the store; its name comes last."""
    version = fetched.version or request.version or "latest"
    name = f"{fetched.name}:{version}"
    try:
        store.check_stored_name(name)
    except UsageError:
        raise FormatError(
            f"the image has the version {version[:60]!r}, which no image in the store can have",
            where=redact_url(fetched.url),
            hint="a version has letters, digits and .-_+~",
        ) from None
    destination = store.StoreLocation(Address(STORE, name), any_version=True)
    signers = list_archive_signers(fetched.decision)
    mark = ArchiveMark(
        image_id=fetched.image_id, url=redact_url(fetched.url), sizes=(fetched.size,), signers=signers
    )
    opened = OpenedImage(
        *(fetched.image, lambda: open_local_source(fetched.image), fetched.name, version), archive_mark=mark
    )
    gathered = transfer.gather_image(opened)
    access = Access(session.home, _refuse_client, session.progress)
    for layer in fetched.layers:
        layer.commit()
    transfer.copy_image(gathered, opened, destination, access)
    return FetchedImage(
        name=name,
        digest=fetched.image.root.digest,
        image_id=fetched.image_id,
        url=fetched.url,
        size=fetched.size,
        is_new=True,
        is_verified=bool(signers),
    )


def _refuse_client() -> NoReturn:
    raise AssertionError("an image in a file needs no registry")
