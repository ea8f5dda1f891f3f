"""``pumice rm``: remove images from the local store by name."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pumice.cli import arguments as command_line
from pumice.errors import ImageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from pumice.store.refs import Refs


def _parser() -> argparse.ArgumentParser:
    made = command_line.parser(
        "rm",
        "Remove images from the local store by name. All of them, or none if one is not there.",
        epilog="The space is freed by the next 'pumice gc', except for what other images need.",
        progress=False,
    )
    made.add_argument(
        "references", metavar="REF", nargs="+", help="name:version, or sha256:DIGEST for every name of it"
    )
    return made


def main(arguments: Sequence[str]) -> int:
    """Run the command; print the names that are gone."""
    asked = _parser().parse_args(arguments)
    from pumice.store.home import Home, locate

    with Home(locate(os.environ)) as home:
        names = home.refs.names()
        doomed: dict[str, None] = {}
        for reference in asked.references:
            doomed |= dict.fromkeys(_find(reference, names, home.refs))
        for name in doomed:
            if home.refs.remove(name):
                print(name)
    return 0


def _find(reference: str, names: Sequence[str], refs: Refs) -> Iterable[str]:
    if reference in names:
        return [reference]
    if reference.startswith("sha256:"):
        found = [name for name, descriptor in refs.all().items() if descriptor.digest == reference]
    else:
        found = [name for name in names if name.rpartition(":")[0] == reference]
        if len(found) > 1:
            raise ImageError(
                f"there are {len(found)} versions of {reference}, so each must be named",
                hint="write " + " ".join(found[:10]),
            )
    if not found:
        raise ImageError(
            f"there is no image {reference[:200]!r} in the store", hint="'pumice images' lists what is there"
        )
    return found
