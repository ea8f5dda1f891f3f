"""The signing time in a signature.

Images of one version are ordered by it, so signing an old image again must not make it newer. The time of
an existing signature is kept unless the user requires another time.
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
    """How to choose a signing time: ``required``, else that of existing signatures, else ``now``.

    ``trusted_keys`` returns the keys, besides the signing key, whose existing signatures of an image with a
    name are used. Times are in seconds since the epoch.
    """

    now: int = 0
    required: int = 0
    trusted_keys: Callable[[str], Sequence[PublicKey]] = lambda _: ()

    def is_outdated(self, claim: Claim) -> bool:
        """Return whether a claim is a signature with another time than the required one."""
        return claim.is_signature and self.required not in (0, claim.created)


UNDATED = SigningTime()


def choose_time(image: Image, home: Home | None, key: PublicKey, time: SigningTime, fallback: int) -> int:
    """Return the signing time of an image in seconds since the epoch, 0 for none.

    If existing signatures have no time, neither has the new one. ``fallback`` is the signing time of the
    index that lists the image, 0 for none.
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
        keys.verify_signature(key, value, claim.signed) for key in trusted_keys for value in claim.signatures
    )


def read_signing_time(text: str | None, environ: Mapping[str, str], now: int) -> SigningTime:
    """Return how to choose the time of new signatures, by ``--timestamp`` or SOURCE_DATE_EPOCH.

    The time of existing signatures counts if they are by keys that the policy trusts. Raises UsageError.
    """
    from pumice.trust import policy

    def trusted_keys(name: str) -> list[PublicKey]:
        name_policy = policy.read_name_policy(name, policy.policy_directories(environ))
        return [trusted_key.key for trusted_key in name_policy.keys if not trusted_key.revocation]

    return SigningTime(now=now, required=parse_required_time(text, environ, now), trusted_keys=trusted_keys)


def parse_required_time(text: str | None, environ: Mapping[str, str], now: int) -> int:
    """Return the time of ``--timestamp`` or SOURCE_DATE_EPOCH, 0 for neither; raises UsageError."""
    if text is None:
        epoch = environ.get(EPOCH, "")
        return max(1, _parse_seconds(epoch, EPOCH)) if epoch else 0  # 0 means no time
    return now if text == NOW else _parse_seconds(text, "--timestamp")


def _parse_seconds(text: str, where: str) -> int:
    seconds = int(text) if text.isascii() and text.isdigit() and len(text) < 13 else _parse_date(text)
    if not 0 <= seconds <= strictjson.MAX_SECONDS:
        raise UsageError(
            f"invalid time {text[:40]!r}", where=where, hint="use seconds since the epoch, or 'now'"
        )
    return seconds


def _parse_date(text: str) -> int:
    import datetime

    try:
        date = datetime.datetime.fromisoformat(text)
        return int(date.replace(tzinfo=date.tzinfo or datetime.UTC).timestamp())
    except (ValueError, OverflowError):
        return -1
