"""``pumice rm``: remove images from the local store by name, and pods."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from pumice.cli.parsing import arguments as command_line
from pumice.cli.pods.pod_or_image import find_names_of_digest, find_pod_or_image
from pumice.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pumice.runtime.pods.pod_store import PodState
    from pumice.store.home import Home


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice rm``."""
    parser = command_line.make_parser(
        "rm",
        "Remove images from the local store, and pods. If one does not exist, none is removed.",
        epilog="Data that no other image needs stays as a cache, which 'pumice gc' deletes some days later.",
        progress=False,
        examples=("pumice rm example.com/hello:1.0", "pumice rm --force web"),
    )
    parser.add_argument(
        "references",
        metavar="REF",
        nargs="+",
        help="name:version, or a digest to remove all its names; or the name or id of a pod",
    )
    parser.add_argument("-f", "--force", action="store_true", help="kill and remove pods that are running")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command; print the names that are gone."""
    options = parser().parse_args(arguments)
    from pumice.image.transports import references
    from pumice.store.home import Home, locate

    with Home(locate(os.environ)) as home:
        names = home.refs.names()
        names_to_remove: dict[str, None] = {}
        pods_to_remove: dict[str, PodState] = {}
        for text in options.references:
            if pod := find_pod_or_image(text, names, home):
                pods_to_remove[pod.pod.id] = pod
                continue
            reference = references.parse_stored_name(text)
            names_to_remove |= dict.fromkeys(_find_names(reference, names, home))
        for pod in pods_to_remove.values():
            _remove_pod(home, pod, force=options.force)
        for name in names_to_remove:
            if home.refs.remove(name):
                print(name)
    return 0


def _remove_pod(home: Home, pod: PodState, *, force: bool) -> None:
    from pumice.runtime.pods import removal

    removal.remove_pod(home, pod, force=force)
    print(pod.pod.name)


def _find_names(reference: str, names: Sequence[str], home: Home) -> Iterable[str]:
    """Return the names that ``reference`` means: itself, the only version, or all of one digest."""
    if reference in names:
        return [reference]
    matches = [name for name in names if name.rpartition(":")[0] == reference]
    if len(matches) > 1:
        raise ImageError(
            f"there are {len(matches)} versions of {reference}, so each must be named",
            hint="write " + " ".join(matches[:10]),
        )
    matches = matches or find_names_of_digest(reference, home.refs)
    if not matches:
        from pumice.image.transports import mistakes

        mistakes.check_stored_name(reference)
        raise mistakes.explain_absence(reference, home, can_pull=False)
    return matches
