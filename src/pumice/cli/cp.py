"""``pumice cp``: copy files into and out of a running pod, or copy an image, as crane does."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from pumice.cli.parsing import arguments as command_line
from pumice.cli.pods import pod_arguments, pod_views
from pumice.errors import PodError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pumice.runtime.pods.copying.copy import Place
    from pumice.store.home import Home

_EPILOG = """SRC and DST are paths of this machine, or POD:PATH in a running pod. '-' is a tar file: SRC - is
read from standard input and unpacked into the directory DST, DST - is written to standard output. As with
cp, a directory is copied into a directory that exists; write SRC/. to copy what is in it.
If neither SRC nor DST names a pod, the command is 'pumice copy', which copies images."""


def parser() -> argparse.ArgumentParser:
    """Return the parser of ``pumice cp``."""
    parser = command_line.make_parser(
        "cp",
        "Copy files and directories into and out of a running pod.",
        progress=False,
        epilog=_EPILOG,
        examples=("pumice cp web:/etc/nginx ./nginx", "pumice cp page.html web:/srv/www/"),
    )
    parser.add_argument("source", metavar="SRC", help="path, POD:PATH or -")
    parser.add_argument("target", metavar="DST", help="path, POD:PATH or -")
    pod_arguments.add_app(parser, only_one=True)
    parser.add_argument("-a", "--archive", action="store_true", help=argparse.SUPPRESS)
    for spelling in ("=true", "=false"):
        parser.add_argument(
            f"--archive{spelling}",
            dest="archive",
            action="store_const",
            const=spelling == "=true",
            help="keep the owners of files that are copied into a pod, instead of giving them to the user of"
            " its program"
            if spelling == "=false"
            else argparse.SUPPRESS,
        )
    parser.set_defaults(archive=True)
    parser.add_argument(
        "--overwrite", action="store_true", help="replace directories with files, and files with directories"
    )
    parser.add_argument(
        "--max-size", metavar="SIZE", help="fail if the files are larger in total (default: 64g)"
    )
    return parser


def main(arguments: Sequence[str]) -> int:
    """Run the command."""
    if _copies_images(arguments):
        from pumice.cli import copy as image_copy

        return image_copy.main(arguments)
    options = parser().parse_args(arguments)
    from pumice.runtime.isolation.option_values import parse_size
    from pumice.runtime.pods.copying import copy

    with pod_views.open_home() as home:
        source, target = (_parse_place(text, options.app, home) for text in (options.source, options.target))
        home.close()
    if source.state is None and target.state is None:
        raise UsageError(
            "neither SRC nor DST is in a pod", hint="write POD:PATH for a path in a pod, see 'pumice ps'"
        )
    if target.is_archive and sys.stdout.isatty():
        raise UsageError("cannot write an archive to a terminal", hint="redirect standard output to a file")
    copy_options = copy.CopyOptions(
        owner=_owner(target) if options.archive else "keep",
        overwrite=options.overwrite,
        max_bytes=parse_size("--max-size", options.max_size, "10g") if options.max_size else 0,
    )
    copy.copy_files(source, target, copy_options)
    return 0


def _copies_images(arguments: Sequence[str]) -> bool:
    """Return whether the arguments are those of ``pumice copy``: locations of images, and no pod."""
    places = [text for text in arguments if not text.startswith("-")]
    with pod_views.open_home() as home:
        if any(_find(text, home) for text in places):
            return False
    return any(_is_image_location(text) for text in places)


def _is_image_location(text: str) -> bool:
    from pumice.image.transports.locations import TRANSPORTS

    head, colon, _ = text.partition(":")
    return bool(colon) and ("/" in head or any(transport.name == head for transport in TRANSPORTS))


def _find(text: str, home: Home) -> bool:
    from pumice.runtime.pods import pod_store

    name, colon, _ = text.partition(":")
    return bool(colon and name and "/" not in name and pod_store.find_pods(home, name))


def _parse_place(text: str, app: str | None, home: Home) -> Place:
    """Return the place that an argument means; raises PodError if it is in a pod that does not exist."""
    from pumice.runtime.pods import pod_store
    from pumice.runtime.pods.copying.copy import Place

    name, colon, path = text.partition(":")
    if not colon or not name or "/" in name:
        if "\0" in text or not text:
            raise UsageError("a path is empty")
        return Place(text)
    if not path:
        raise UsageError(f"{text[:200]!r} has no path", hint=f"write {name[:100]}:/PATH")
    try:
        pod = pod_store.find_pod(home, name)
    except PodError as error:
        error.hint = f"list them with 'pumice ps', or write ./{text[:100]} for a file of this machine"
        raise
    return Place(path, pod_store.find_app(pod, app))


def _owner(target: Place) -> tuple[int, int]:
    """Return the user and group of the program of a pod."""
    if target.state is None:
        return 0, 0
    from pumice.runtime.pods.execute import read_options

    options = read_options(target.state)
    return options.uid, options.gid
