"""Run ``pumice`` without writing evidence, to measure what evidence costs. Pumice has no option for this.

    python -m bench.bare build recipe.yaml

It gathers no facts and writes no documents. It also does not compute the two digests that only the documents
need: SHA-1 of files and SHA-512 of packages.
"""

from __future__ import annotations

import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING
from unittest.mock import patch

from pumice.assembly import evidence
from pumice.cli.main import main
from pumice.packing import package_cutter, segment_writer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pumice.digests import Digest
    from pumice.store.home import Home


class _NoHash:
    """A hash that ignores its input."""

    def update(self, chunk: bytes | memoryview, /) -> None:
        pass

    def hexdigest(self) -> str:
        return ""


def _write_empty_facts(*_inputs: object, home: Home, **_options: object) -> Digest:
    with home.blobs.writer() as writer:
        return writer.commit()


@contextmanager
def without_evidence() -> Iterator[None]:
    """Replace the functions that produce evidence by ones that do nothing."""
    with ExitStack() as stack:
        for module, name, replacement in (
            (evidence, "write_image_facts", _write_empty_facts),
            (evidence, "attach_evidence", lambda *_: {}),
            (segment_writer, "new_sha1", _NoHash),
            (package_cutter, "package_sha512", lambda _: ""),
        ):
            stack.enter_context(patch.object(module, name, replacement))
        yield


if __name__ == "__main__":
    with without_evidence():
        sys.exit(main(sys.argv[1:]))
