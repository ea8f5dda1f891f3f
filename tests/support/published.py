"""Images as they are gathered to be published."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.formats import oci
from pumice.image import graph
from pumice.image.transports.gathered_image import GatheredImage
from pumice.image.transports.local_source import LocalSource

if TYPE_CHECKING:
    from pumice.image.model import Image


def gather(image: Image) -> GatheredImage:
    """Return an image with all its referrers."""
    source = LocalSource(image)
    return GatheredImage(graph.gather_graph(source, oci.bare_descriptor(image.root)), source)
