"""Images that discovery finds in a registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.cli.image_access import image_copy

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    from pumice.discovery.labels import ImageRequest
    from pumice.discovery.session import DiscoverySession
    from pumice.discovery.stored_images import FetchedImage
    from pumice.discovery.tags import Endpoint
    from pumice.discovery.web import Web
    from pumice.image.transports.locations import Location, OpenedImage


def pull_image(
    endpoint: Endpoint,
    request: ImageRequest,
    web: Web,
    session: DiscoverySession,
    options: argparse.Namespace,
) -> FetchedImage:
    """Pull an image from the registry that a page names; it must be signed as the requested name.

    ``options`` has the values of `registries.transfer_options`. Raises PumiceError.
    """
    from pumice.discovery.guarded_transport import GuardedTransport
    from pumice.discovery.stored_images import FetchedImage
    from pumice.discovery.web import Reach
    from pumice.image.transports import locations, references
    from pumice.registry.client import Client

    source = references.parse_pull_source(endpoint.url)
    reach = Reach.PUBLIC if web.reach is None else web.reach
    options.signed_as = str(request)
    version = request.version or source.address.tag or "latest"
    name = f"{request.name}:{version}"
    destination = references.parse_destination(locations.with_scheme(locations.STORE, name))
    transport = GuardedTransport(session.transport, reach)
    copied = image_copy.copy_image(
        *(options, lambda _: source, _checking(destination, request, endpoint), session.progress),
        open_client=lambda: Client(
            *(session.credentials, session.settings), transport=transport, progress=session.progress
        ),
    )
    return FetchedImage(
        name=name,
        digest=copied.digest,
        url=endpoint.url,
        size=copied.counts.sent_size,
        is_new=copied.counts.sent > 0,
        is_verified=copied.is_verified,
    )


def _checking(
    destination: Location, request: ImageRequest, endpoint: Endpoint
) -> Callable[[OpenedImage], Location]:
    """Return a function that returns the destination of an image that has the requested labels."""
    from pumice.discovery.labels import check_oci_labels
    from pumice.registry.errors import redact_url

    def check(opened: OpenedImage) -> Location:
        check_oci_labels(opened.image, request, redact_url(endpoint.url))
        return destination

    return check
