"""Whether an image is older than those of its name that were admitted before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.errors import TrustError
from pumice.trust.decision import AdmissionRequest, Check

if TYPE_CHECKING:
    from pumice.image.model import Image
    from pumice.store.home import Home
    from pumice.trust.image_verification import VerifiedImage
    from pumice.trust.rollback import PendingRecord


class Freshness(msgspec.Struct, frozen=True):
    """Whether an image is older than admitted ones: the check, what to record, and the warning."""

    check: Check
    records: tuple[PendingRecord, ...] = ()
    warning: str = ""


def check_freshness(
    image: Image, verified: VerifiedImage, home: Home, request: AdmissionRequest
) -> Freshness:
    """Compare an image with the admitted ones of its name; raises TrustError if it is older."""
    from pumice.trust import rollback

    try:
        record = rollback.check_rollback(image, verified.name, home, signed_at=verified.signed_at)
    except TrustError as error:
        if not request.allow_older:
            raise
        check = Check("freshness", False, f"{error.message} (--allow-older)")
        return Freshness(check, warning=f"{error.where}: {error.message} (--allow-older)")
    if record is None:
        return Freshness(Check("freshness", False, "the image has no version to compare"))
    return Freshness(Check("freshness", True, "no newer image of this name was admitted before"), (record,))
