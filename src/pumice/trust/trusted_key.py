"""A key that counts, by which rule, and until when."""

from __future__ import annotations

import msgspec

from pumice.trust.keys import PublicKey


class TrustedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key and the rule by which it counts.

    ``expires`` is seconds since the epoch, 0 for never; ``revoked`` says since when or why.
    """

    key: PublicKey
    rule: str
    label: str = ""
    expires: int = 0
    revocation: str = ""
    replaces: str = ""
    """The fingerprint of the key whose place this takes: both together are one signer."""

    @property
    def kind(self) -> str:
        """What it is called in a sentence: a key, or an identity that takes the place of one."""
        return "identity" if self.key.kind == "identity" else "key"

    def rejection_reason(self, now: int) -> str:
        """Say why the key does not count at ``now``; "" if it does."""
        if self.revocation:
            return f"is revoked ({self.revocation})"
        if self.expires and self.expires <= now:
            return f"has expired on {format_day(self.expires)}"
        return ""


def format_day(seconds: int) -> str:
    """Return the day of a time in seconds since the epoch, UTC."""
    import datetime

    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d")
