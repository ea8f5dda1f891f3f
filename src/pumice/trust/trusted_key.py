"""A trusted key, the rule that trusts it, and until when."""

from __future__ import annotations

import msgspec

from pumice.trust.keys import PublicKey


class TrustedKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key and the rule that trusts it.

    ``expires`` is in seconds since the epoch, 0 for never; ``revocation`` is the reason of a revocation.
    """

    key: PublicKey
    rule: str
    label: str = ""
    expires: int = 0
    revocation: str = ""
    replaces: str = ""
    """The fingerprint of the key that this one replaces; both are one signer."""

    @property
    def kind(self) -> str:
        """``identity`` or ``key``, for messages."""
        return "identity" if self.key.kind == "identity" else "key"

    def rejection_reason(self, now: int) -> str:
        """Return why the key is not trusted at ``now``, "" if it is."""
        if self.revocation:
            return f"is revoked ({self.revocation})"
        if self.expires and self.expires <= now:
            return f"expired on {format_day(self.expires)}"
        return ""


def format_day(seconds: int) -> str:
    """Return the day of a time in seconds since the epoch, in UTC."""
    import datetime

    return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%d")
