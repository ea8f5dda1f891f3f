"""``pumice pull``: an image from a registry into the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.cli import output, registries

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

_EPILOG = """The image is called HOST/NAME:TAG in the store unless NAME says otherwise. What belongs to
it comes along. Blobs that are in the store are not fetched. The digest is printed."""


def _parser() -> argparse.ArgumentParser:
    made = command_line.make_parser(
        "pull", "Pull an image from a registry into the local store.", epilog=_EPILOG
    )
    made.add_argument("reference", metavar="REF", help="[docker://]HOST/NAME[:TAG][@DIGEST]")
    made.add_argument("name", metavar="NAME", nargs="?", help="name[:version] to call it in the store")
    registries.graph_options(made)
    registries.store_options(made)
    registries.options(made)
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command; print the digest."""
    asked = _parser().parse_args(arguments)
    from pumice.image.transports.places import STORE
    from pumice.registry.reference import parse_reference

    named = parse_reference(asked.reference)
    name = asked.name or str(named.repository)
    if not asked.name and named.tag:
        name = f"{name}:{named.tag}"
    progress = output.make_progress(asked.progress)
    source = registries.SCHEME + str(named)
    print(registries.transfer(asked, source, STORE + name.removeprefix(STORE), progress).digest)
    return 0
