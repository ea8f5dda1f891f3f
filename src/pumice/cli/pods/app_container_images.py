"""The images that commands run, App Container images in files with what they depend on."""

from __future__ import annotations

import os
from argparse import Namespace
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.cli.image_access import registries
from pumice.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pumice.appc.image_manifest import Dependency
    from pumice.discovery.aci_fetch import TrustOptions
    from pumice.discovery.labels import ImageRequest
    from pumice.discovery.stored_images import FetchedImage
    from pumice.discovery.tags import Endpoint
    from pumice.discovery.web import Web
    from pumice.image.model import Image
    from pumice.progress import Progress
    from pumice.runtime.app_container.dependency_images import DependencySearch
    from pumice.runtime.run_options import ImageOptions
    from pumice.store.home import Home


@contextmanager
def open_image(
    reference: str, home: Home, progress: Progress, options: Namespace, source: ImageOptions
) -> Iterator[Image]:
    """Give the image that a REF names, from any location, with everything that it depends on.

    ``options`` has the values of `registries.options`. Raises PumiceError.
    """
    from pumice.image.transports import references
    from pumice.image.transports.locations import ACI

    if references.transport_of(reference) is not ACI:
        with registries.open_image(reference, home, progress, options) as image:
            yield image
        return
    from pumice.image import aci_cache
    from pumice.runtime.app_container.dependency_images import complete_image

    path = Path(references.parse_source(reference).address.path)
    search = make_search((), home, progress, options, source)
    yield complete_image(aci_cache.open_aci(path, home.records, progress), search)


def check_files(option: str, files: Sequence[str]) -> None:
    """Raise UsageError unless the values of an option are files."""
    from pumice.image.transports import references
    from pumice.image.transports.locations import ACI

    for file in files:
        transport = references.transport_of(file)
        if transport is ACI:
            raise UsageError(
                f"{option} takes a file, not {file[:100]!r}", hint=f"write {file[len(ACI.scheme) :][:100]}"
            )
        if transport is not None:
            raise UsageError(
                f"{option} takes the file of an App Container image, not {file[:100]!r}",
                hint=f"convert it first: pumice convert {file[:100]} aci:FILE",
            )


def make_search(
    files: Sequence[str], home: Home, progress: Progress, options: Namespace, source: ImageOptions
) -> DependencySearch:
    """Return how dependencies are found, first in ``files``, and admitted, as ``source`` says."""
    from pumice.runtime.app_container.dependency_images import DependencySearch

    return DependencySearch(
        home=home,
        progress=progress,
        source=source,
        files=tuple(map(Path, files)),
        discover=lambda dependency: discover(dependency, home, progress, options, source),
    )


def discover(
    dependency: Dependency,
    home: Home,
    progress: Progress,
    options: Namespace,
    source: ImageOptions,
    *,
    port: int | None = None,
) -> None:
    """Fetch a dependency into the store, as 'pumice fetch' does; raises PumiceError.

    ``port`` is that of the discovery pages, by default 443.
    """
    from pumice.cli.image_access import registry_fetch
    from pumice.discovery import image_fetch
    from pumice.discovery.labels import make_request
    from pumice.discovery.session import DiscoverySession
    from pumice.formats import platforms

    platform = source.platform or platforms.from_machine(os.uname().machine)
    labels = {label.name: label.value for label in dependency.labels}
    request = make_request(dependency.image_name, labels, platform)
    trust = _make_trust_options(source, is_pinned=bool(dependency.image_id))
    # A login of the command line is for the registries that it names, not for hosts that an image names.
    credentials = registries.find_credentials(options)
    settings = registries.client_settings(options)
    with DiscoverySession(home, credentials, settings, progress, environ=os.environ, port=port) as session:

        def pull(endpoint: Endpoint, request: ImageRequest, web: Web) -> FetchedImage:
            pull_options = _make_pull_options(options, trust, platforms.format_platform(platform))
            return registry_fetch.pull_image(endpoint, request, web, session, pull_options)

        image_fetch.fetch_image(request, session, trust, platform, pull)


def _make_trust_options(source: ImageOptions, *, is_pinned: bool) -> TrustOptions:
    from pumice.clock import SystemClock
    from pumice.discovery.aci_fetch import TrustOptions
    from pumice.trust import policy

    return TrustOptions(
        directories=policy.policy_directories(os.environ),
        now=SystemClock().now(),
        insecure=source.is_insecure,
        allow_older=source.allow_older or is_pinned,
    )


def _make_pull_options(options: Namespace, trust: TrustOptions, platform: str) -> Namespace:
    """Return the options of 'pumice fetch' for a dependency."""
    values = {
        "platform": platform,
        "only_image": False,
        "insecure_options": ["image"] if trust.insecure else [],
        "allow_older": trust.allow_older,
    }
    return Namespace(**{**vars(options), **values})
