"""Documents that are attached to an image: found, and read with their digests checked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.formats import intoto, oci
from pumice.image import referrers

if TYPE_CHECKING:
    from pumice.formats.oci import Descriptor
    from pumice.image.model import Image

MAX_DOCUMENT = 256 << 20
"""Bytes of a document that is looked at: 100,000 files make 60 MB."""


def sbom(image: Image, media_type: str) -> Descriptor | None:
    """Return the bill of materials of that type that its build attached to an image, None if there is none.

    ``image`` is of one platform.
    """
    for artifact in image.referrers():
        if artifact.artifact_type == media_type and oci.EVIDENCE in artifact.annotations:
            return artifact
    return None


def provenance(image: Image) -> intoto.Statement | None:
    """Return the provenance that is attached to an image of one platform, None if there is none.

    Raises FormatError for one that is malformed. Whose word it is, only a signature can say.
    """
    for artifact in image.referrers():
        if artifact.artifact_type == intoto.MEDIA_TYPE and oci.EVIDENCE in artifact.annotations:
            found = intoto.read_statement(referrers.read_artifact_blob(image, artifact, intoto.MAX_STATEMENT))
            if found.predicate_type == intoto.PROVENANCE:
                return found
    return None
