"""Images written to locations and read from them, as the command line names these."""

from __future__ import annotations

import io
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NoReturn

from pumice.image.transports import references
from pumice.image.transports.locations import Access, OutgoingImage
from pumice.progress import Progress, Silent
from pumice.store.home import Home

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.formats.oci import Platform
    from pumice.image.model import Image
    from pumice.registry.client import Client


def no_client() -> NoReturn:
    """Stand for a client where no registry must be contacted."""
    raise AssertionError("a location that is not in a registry connected to one")


def access(
    home: Home,
    client: Callable[[], Client] = no_client,
    *,
    progress: Progress | None = None,
    stdout: BinaryIO | None = None,
) -> Access:
    return Access(home, client, progress or Silent(), stdout)


def find(reference: str, home: Home) -> Image:
    """Return the image that a REF names, outside of registries."""
    return references.find_source(reference, home, lookup="store").open(access(home)).image


def write(
    image: Image,
    destination: str,
    *,
    name: str = "",
    version: str = "",
    platform: Platform | None = None,
    home: Home | None = None,
    progress: Progress | None = None,
    stdout: io.BytesIO | None = None,
    referrers_in_index: bool = False,
) -> None:
    """Write an image to a DEST, outside of registries. Without a ``home``, with a store of its own."""
    location = references.parse_destination(destination)
    with ExitStack() as stack:
        if home is None:
            directory = stack.enter_context(tempfile.TemporaryDirectory())
            home = stack.enter_context(Home(Path(directory)))
        outgoing = OutgoingImage(
            image=image if platform is None else image.select(platform),
            name=name,
            version=version,
            referrers_in_index=referrers_in_index,
        )
        location.write(outgoing, access(home, progress=progress, stdout=stdout))
