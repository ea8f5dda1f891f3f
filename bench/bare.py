"""``pumice`` without evidence, only to know what evidence costs: no user can ask for this.

    python -m bench.bare build recipe.yaml

Neither the documents are written nor the facts gathered, and the two digests of every byte that nothing
but the documents needs, SHA-1 of files and SHA-512 of packages, are not computed.
"""

from __future__ import annotations

import hashlib
import sys
from types import SimpleNamespace
from typing import Any

from pumice.assembly import evidence
from pumice.cli.main import main
from pumice.packing import segment_writer, segments


class _NoHash:
    """Takes bytes and does nothing with them."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def update(self, _: object) -> None: ...

    def hexdigest(self) -> str:
        return ""


def _no_facts(*arguments: Any) -> str:
    with arguments[-1].blobs.writer() as writer:
        return str(writer.commit())


def strip() -> None:
    """Take evidence out of this process."""
    evidence.write_image_facts = _no_facts
    evidence.attach_evidence = lambda *_: {}
    segment_writer.hashlib = SimpleNamespace(sha256=hashlib.sha256, md5=hashlib.md5, sha1=_NoHash)  # type: ignore[attr-defined] # it stands in for the module
    segments._file_sha512 = lambda _: ""


if __name__ == "__main__":
    strip()
    sys.exit(main(sys.argv[1:]))
