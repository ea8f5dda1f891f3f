"""What the handlers of endpoints share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from pumice.registry.server.access import Access
    from pumice.registry.server.offer import Offer
    from pumice.registry.server.response_cache import ResponseCache
    from pumice.registry.server.storage.protocol import Storage
    from pumice.registry.server.threads import Threads
    from pumice.registry.server.upload_transfers import UploadTransfers


class HandlerContext(msgspec.Struct, frozen=True):
    """The parts of a server that its handlers use.

    ``refuse_offer`` returns why a manifest is not accepted, or None if it is; ``allow_missing_blobs``
    accepts manifests whose blobs are not here.
    """

    storage: Storage
    threads: Threads
    access: Access
    response_cache: ResponseCache
    upload_transfers: UploadTransfers
    refuse_offer: Callable[[Offer], str | None] | None = None
    allow_missing_blobs: bool = False

    def is_readable_by(self, user: str) -> Callable[[str], bool]:
        """Return the function that tells whether ``user`` may read a repository."""
        return lambda repository: self.access.is_allowed(user, repository, to_write=False)
