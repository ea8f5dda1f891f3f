"""``pumice copy``: an image, with all that belongs to it, from one place to another."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import output, registries

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_EPILOG = """SRC is docker://HOST/NAME[:TAG][@DIGEST], oci:DIR[:TAG], oci-archive:FILE[:TAG],
docker-archive:FILE[:NAME:TAG], or an image in the store: name:version or a digest.
DST is docker://HOST/NAME[:TAG], oci:DIR[:TAG], oci-archive:FILE[:TAG], docker-archive:FILE[:TAG],
tar:FILE, dir:DIR or store:NAME[:VERSION]. Digests never change. What cannot be copied is an error."""


def _parser() -> argparse.ArgumentParser:
    made = command_line.make_parser(
        "copy",
        "Copy an image with all its platforms, signatures, SBOMs, attestations and other referrers.",
        epilog=_EPILOG,
    )
    made.add_argument("source", metavar="SRC", help="the image")
    made.add_argument("target", metavar="DST", help="where it goes")
    registries.graph_options(made)
    registries.store_options(made)
    registries.options(made)
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command; print the digest."""
    asked = _parser().parse_args(arguments)
    progress = output.make_progress(asked.progress)
    digest = registries.transfer(asked, asked.source, asked.target, progress).digest
    print(digest, file=sys.stderr if asked.target.partition(":")[2].startswith("-") else sys.stdout)
    return 0
