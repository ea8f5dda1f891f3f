"""Copying an image from one location to another, as the options of a command say."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from pumice.cli.image_access import encryption_options, registries

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from pumice.image.model import Image
    from pumice.image.transports.gathered_image import GatheredImage
    from pumice.image.transports.locations import Access, Counts, Location, OpenedImage
    from pumice.progress import Progress
    from pumice.registry.client import Client
    from pumice.store.home import Home
    from pumice.trust.decision import Decision


class CopiedImage(NamedTuple):
    """An image that was copied: where the copy is, and what was copied."""

    source: Location
    destination: Location
    version: str
    """The version that the source has for it, "" for none."""
    gathered: GatheredImage
    counts: Counts
    platforms: tuple[str, ...]
    """Its platforms, empty if that is unknown without another request."""
    is_verified: bool
    """Whether it is signed by trusted keys; only copies into the store are verified."""

    @property
    def digest(self) -> str:
        """The digest of the image."""
        return self.gathered.graph.root.digest


def copy_image(
    options: argparse.Namespace,
    find_source: Callable[[Home], Location],
    find_destination: Callable[[OpenedImage], Location],
    progress: Progress,
    *,
    open_client: Callable[[], AbstractContextManager[Client]] | None = None,
) -> CopiedImage:
    """Copy an image as `registries.graph_options` say; return where the copy is.

    `registries.store_options` say which images may enter the store. ``open_client`` is as for
    `registries.access`. Raises PumiceError.
    """
    from pumice.formats import platforms
    from pumice.image.transports import transfer
    from pumice.image.transports.gathered_image import image_of
    from pumice.store.home import Home, locate

    platform = platforms.parse_platform(options.platform) if options.platform else None
    with (
        Home(locate(os.environ), progress=progress) as home,
        registries.access(
            home, progress, options, stdout=sys.stdout.buffer, open_client=open_client
        ) as opened,
    ):
        origin = find_source(home)
        image = origin.open(opened)
        to = find_destination(image)
        to.describe(image.version)  # raises for a version that is not a tag, before anything is copied
        is_admitted = to.address.transport.is_store and not origin.address.transport.is_store
        decision = _admit(options, origin, image.image, home, progress) if is_admitted else None
        image = _record_signers(encryption_options.transform(options, image), decision)
        gathered = transfer.gather_image(image, with_referrers=not options.only_image, platform=platform)
        with _sharing(options, gathered, home, opened) as shared:
            counts = transfer.copy_image(shared, image, to, opened)
        names = _list_platforms(origin, to, image_of(gathered), home)
        return CopiedImage(
            origin, to, image.version, gathered, counts, names, bool(decision and decision.signatures)
        )


@contextmanager
def _sharing(
    options: argparse.Namespace, gathered: GatheredImage, home: Home, access: Access
) -> Iterator[GatheredImage]:
    """Give the image with blobs that come from peers too, if the command has `registries.peer_options`."""
    if gathered.repository is None or not getattr(options, "peers", False):
        yield gathered
        return
    from pumice.swarm import peer_source

    scratch = home.scratch_directory()
    with peer_source.share_with_peers(gathered, access.client(), scratch, access.progress) as shared:
        yield shared


def _list_platforms(origin: Location, to: Location, image: Image, home: Home) -> tuple[str, ...]:
    """Return the platforms of an image that was copied; a single manifest has its own in the config."""
    from pumice.errors import PumiceError
    from pumice.formats import platforms
    from pumice.image.model import Image

    is_stored = to.address.transport.is_store
    if is_stored:
        image = Image(image.root, home.blobs)
    try:
        if origin.address.transport.is_registry and not is_stored and not image.is_index():
            return ()
        return tuple(dict.fromkeys(map(platforms.format_platform, image.platforms())))
    except PumiceError:  # artifacts are copied whatever they contain
        return ()


def _admit(
    options: argparse.Namespace, origin: Location, image: Image, home: Home, progress: Progress
) -> Decision:
    """Refuse an image that is not admitted before any layer of it is fetched; return the decision."""
    from pumice.cli.display import confirmation
    from pumice.trust import admission

    return admission.admit(
        image,
        "pull",
        home,
        admission.AdmissionRequest(
            reference=str(origin.address), name=options.signed_as, allow_older=options.allow_older
        ),
        environ=os.environ,
        progress=progress,
        insecure="image" in options.insecure_options,
        confirm=confirmation.unsigned_image_question(),
    )


def _record_signers(image: OpenedImage, decision: Decision | None) -> OpenedImage:
    """Return an image of an archive with the keys that had signed that, which the store remembers."""
    if image.archive_mark is None or decision is None:
        return image
    import msgspec

    from pumice.trust.decision import list_archive_signers

    mark = msgspec.structs.replace(image.archive_mark, signers=list_archive_signers(decision))
    return msgspec.structs.replace(image, archive_mark=mark)
