"""Find and read the documents that are attached to an image, with their digests verified."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.formats import intoto, oci
from pumice.image import referrers

if TYPE_CHECKING:
    from pumice.formats.oci import Descriptor
    from pumice.image.model import Image

MAX_DOCUMENT = 256 << 20
"""The largest document in bytes that is read; 100,000 files take about 60 MB."""


def find_sbom(image: Image, media_type: str) -> Descriptor | None:
    """Return the SBOM of the given type that the build attached to ``image``, None if there is none.

    ``image`` has one platform.
    """
    for artifact in image.referrers():
        if artifact.artifact_type == media_type and oci.EVIDENCE in artifact.annotations:
            return artifact
    return None


def read_provenance(image: Image) -> intoto.Statement | None:
    """Return the provenance that is attached to an image of one platform, None if there is none.

    Raises FormatError if it is malformed. Who made the statement is not verified.
    """
    for artifact in image.referrers():
        if artifact.artifact_type == intoto.MEDIA_TYPE and oci.EVIDENCE in artifact.annotations:
            statement = intoto.read_statement(
                referrers.read_artifact_blob(image, artifact, intoto.MAX_STATEMENT)
            )
            if statement.predicate_type == intoto.PROVENANCE:
                return statement
    return None
