"""Verifiers of tokens for commands that take an issuer."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.trust.token_verification import TokenVerifier


def open_verifier(source: str, audiences: Sequence[str]) -> TokenVerifier:
    """Return the verifier of tokens for ``audiences`` of the issuer ``source``, a URL or a file.

    A file is read now, so that mistakes are reported at once; a URL when the first token comes. Raises
    UsageError, StoreError and FormatError.
    """
    from pumice.clock import SystemClock
    from pumice.trust import key_urls, token_verification

    load = token_verification.key_loader(source, _fetch)
    if not key_urls.is_url(source):
        load()
    return token_verification.TokenVerifier(load, audiences, SystemClock())


def _fetch(url: str, limit: int) -> bytes:
    from pumice.fetch.session import Session
    from pumice.store.home import Home, locate

    with Session(Home(locate(os.environ))) as session:
        return session.get(url, limit=limit, same_host=True).body
