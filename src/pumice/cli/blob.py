"""``pumice blob``: print a blob by its digest."""

from __future__ import annotations

import hashlib
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pumice.cli.image_access import registries
from pumice.cli.parsing import arguments as command_line
from pumice.errors import UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    from pumice.cli.parsing.arguments import Parser
    from pumice.digest import Digest

_CHUNK = 1 << 18
_EPILOG = """LOCATION is docker://HOST/NAME, oci:DIR or oci-archive:FILE. With a name or nothing before
@DIGEST, the blob is read from the local store. The content is checked against the digest while it is
written; if it does not match, the exit code is 7."""


def parser() -> Parser:
    """Return the parser of the command."""
    verb_parser = command_line.make_parser(
        "blob",
        "Print a layer, config or any other blob, byte for byte.",
        progress=False,
        epilog=_EPILOG,
        examples=("pumice blob docker://registry.example/team/hello@sha256:0123456789ab",),
    )
    verb_parser.add_argument("reference", metavar="[LOCATION@]DIGEST", help="blob to print")
    registries.options(verb_parser)
    return verb_parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    options = parser().parse_args(arguments)
    from pumice import digest
    from pumice.image.model import wrong_content
    from pumice.registry.reference import is_digest

    location, _, name = options.reference.rpartition("@")
    if not is_digest(name):
        problem = "is not a whole digest" if name.startswith(("sha256:", "sha512:")) else "has no digest"
        hint = "write LOCATION@sha256:HEX, or only sha256:HEX"
        raise UsageError(f"{options.reference[:200]!r} {problem}", hint=hint)
    blob_digest = digest.check(name)
    blob_hash = hashlib.sha256()
    with _open_blob(location, blob_digest, options) as file:
        while data := file.read(_CHUNK):
            blob_hash.update(data)
            sys.stdout.buffer.write(data)
    if f"sha256:{blob_hash.hexdigest()}" != blob_digest:
        raise wrong_content(blob_digest)
    return 0


@contextmanager
def _open_blob(location: str, blob_digest: Digest, options: argparse.Namespace) -> Iterator[BinaryIO]:
    """Give the content of a blob at a location; "" and names without a transport mean the store."""
    from pumice.image.transports import references
    from pumice.store.home import Home, locate

    with (
        Home(locate(os.environ)) as home,
        registries.access(home, options=options) as access,
    ):
        source = references.find_source(location or blob_digest, home)
        repository = source.describe().repository
        if source.address.transport.is_store:
            opened = home.blobs.open(blob_digest)
        elif repository is not None:
            opened = access.client().open_blob(repository, blob_digest)
        else:
            opened = source.open(access).image.blobs.open(blob_digest)
        with opened as file:
            yield file
