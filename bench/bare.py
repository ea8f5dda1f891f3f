"""``pumice`` without evidence, to measure what evidence costs; users cannot choose this.

    python -m bench.bare build recipe.yaml

It writes no documents and gathers no facts. It also does not compute the two digests that only the documents
need: SHA-1 of files and SHA-512 of packages.
"""

from __future__ import annotations

import sys
from typing import Any

from pumice.assembly import evidence
from pumice.cli.main import main
from pumice.packing import segment_writer, segments


class _NoHash:
    """A hash that ignores its input."""

    def update(self, chunk: bytes | memoryview, /) -> None:
        pass

    def hexdigest(self) -> str:
        return ""


def _write_empty_facts(*arguments: Any) -> str:
    home = arguments[-1]
    with home.blobs.writer() as writer:
        return str(writer.commit())


def disable_evidence() -> None:
    """Disable evidence in this process."""
    evidence.write_image_facts = _write_empty_facts
    evidence.attach_evidence = lambda *_: {}
    segment_writer.new_sha1 = _NoHash
    segments._file_sha512 = lambda _: ""


if __name__ == "__main__":
    disable_evidence()
    sys.exit(main(sys.argv[1:]))
