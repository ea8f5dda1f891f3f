"""When an image is signed, as the signature itself says.

Images of one version are ordered by it, so signing an old image again must not make it newer: the time
that it has is kept, unless somebody says otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from pumice.errors import UsageError
from pumice.formats import strictjson

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pumice.image.model import Image
    from pumice.store.home import Home
    from pumice.trust.claims import Claim
    from pumice.trust.keys import PublicKey

EPOCH = "SOURCE_DATE_EPOCH"
NOW = "now"


class SigningTime(msgspec.Struct, frozen=True, kw_only=True):
    """Which time a signature gets: ``required`` if that is not 0, else the one it has, else ``now``.

    ``believed`` gives the keys, besides the one that signs, whose signatures of an image of that name say
    which time it has. All in seconds since the epoch.
    """

    now: int = 0
    required: int = 0
    trusted_keys: Callable[[str], Sequence[PublicKey]] = lambda _: ()

    def is_outdated(self, claim: Claim) -> bool:
        """Whether a signature of ours has another time than the required one."""
        return claim.is_signature and self.required not in (0, claim.created)


UNDATED = SigningTime()


def choose_time(image: Image, home: Home | None, key: PublicKey, time: SigningTime, fallback: int) -> int:
    """Return the time to sign an image at: the required one, that of earlier signatures, or now.

    Earlier signatures without a time keep it so. ``fallback`` is the time of the index that lists it.
    """
    if time.required:
        return time.required
    from pumice.trust import claims, image_names

    trusted_keys = (key, *time.trusted_keys(image_names.declared_name(image)))
    times = [
        claim.created
        for claim in claims.read_claims(image, home, signatures_only=True)
        if claim.subject == image.root.digest
        and claim.is_signature
        and _is_signed_by_any(claim, trusted_keys)
    ]
    return max(times) if times else fallback or time.now


def _is_signed_by_any(claim: Claim, trusted_keys: Sequence[PublicKey]) -> bool:
    from pumice.trust import keys

    return any(
        keys.verify_signature(one, value, claim.signed) for one in trusted_keys for value in claim.signatures
    )


def parse_required_time(text: str | None, environ: Mapping[str, str], now: int) -> int:
    """Return the time that ``--timestamp`` or the environment requires, 0 for none; raises UsageError."""
    if text is None:
        epoch = environ.get(EPOCH, "")
        return max(1, _parse_seconds(epoch, EPOCH)) if epoch else 0  # 0 is no time
    return now if text == NOW else _parse_seconds(text, "--timestamp")


def _parse_seconds(text: str, where: str) -> int:
    seconds = int(text) if text.isascii() and text.isdigit() and len(text) < 13 else _parse_date(text)
    if not 0 <= seconds <= strictjson.MAX_SECONDS:
        raise UsageError(
            f"{text[:40]!r} is not a time", where=where, hint="write seconds since the epoch, or 'now'"
        )
    return seconds


def _parse_date(text: str) -> int:
    import datetime

    try:
        date = datetime.datetime.fromisoformat(text)
        return int(date.replace(tzinfo=date.tzinfo or datetime.UTC).timestamp())
    except (ValueError, OverflowError):
        return -1
