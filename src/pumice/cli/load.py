"""``pumice load``: load images from an archive of docker, podman or skopeo into the store."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from pumice import files
from pumice.cli.display import output, progress_modes
from pumice.cli.image_access import image_copy, registries
from pumice.cli.parsing import arguments as command_line
from pumice.errors import ImageError, PumiceError, UsageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from pumice.cli.display.presenters import Quiet
    from pumice.cli.parsing.arguments import Parser
    from pumice.image.transports.saved_images import SavedImage
    from pumice.progress import Progress

_CHUNK = 1 << 20
_STDIN = "-"
_EPILOG = """FILE is an archive of 'docker save', 'podman save' or 'pumice save', or any OCI archive. All
images in it are loaded, with their signatures, SBOMs and other referrers, under the names that the
archive has for them. As with 'pumice pull', each must be signed by a trusted key."""


def parser() -> Parser:
    """Return the parser of the command."""
    verb_parser = command_line.make_parser(
        "load",
        "Load images from an archive into the local store.",
        epilog=_EPILOG,
        examples=("pumice load --input hello.tar",),
    )
    verb_parser.add_argument(
        "name", metavar="NAME", nargs="?", help="name[:version] for the only image of the archive"
    )
    verb_parser.add_argument(
        "-i", "--input", metavar="FILE", default=_STDIN, help="archive; - is standard input (default: -)"
    )
    verb_parser.add_argument("-q", "--quiet", action="store_true", help="print no names and no progress")
    verb_parser.add_argument(
        "--platform", metavar="PLATFORM", help="load only this platform, such as linux/arm64 (default: all)"
    )
    registries.store_options(verb_parser)
    verb_parser.set_defaults(only_image=False)
    return verb_parser


def main(arguments: Sequence[str]) -> int:
    """Run the command; print the names of the loaded images."""
    options = parser().parse_args(arguments)
    progress = progress_modes.make_progress("none" if options.quiet else options.progress)
    if options.input == _STDIN and options.name and files.is_file(options.name):
        hint = f"pass the archive with -i: pumice load -i {options.name[:200]}"
        raise UsageError(f"{options.name[:200]!r} is a file, not a name for the image", hint=hint)
    if options.input == _STDIN:
        import tempfile

        with tempfile.TemporaryDirectory(prefix="pumice-") as directory:
            path = _spool_stdin(Path(directory))
            try:
                _load(path, options, progress)
            except PumiceError as error:
                if error.where == path:
                    error.where = "standard input"  # the user does not know the copy
                raise
    else:
        _load(options.input, options, progress)
    return 0


def _spool_stdin(directory: Path) -> str:
    """Copy standard input to a file, because archives are read at any position."""
    stdin = sys.stdin.buffer
    if stdin.isatty():
        raise UsageError("cannot read an archive from a terminal", hint="pass --input FILE")
    path = directory / "archive.tar"
    from pumice.os_errors import IMAGE, translate_os_errors

    with translate_os_errors(str(path), IMAGE), path.open("xb") as file:
        while data := stdin.read(_CHUNK):
            file.write(data)
    return str(path)


def _load(path: str, options: argparse.Namespace, progress: Quiet) -> None:
    from pumice.image.transports import locations, saved_images

    started = time.monotonic()
    saved = saved_images.list_saved_images(Path(path))
    if options.name and len(saved) > 1:
        sentence = f"the archive holds {len(saved)} images, so NAME cannot be given"
        raise UsageError(sentence, where=path, hint="leave NAME out, and run 'pumice tag' afterwards")
    copied = []
    for image in saved:
        name = options.name or _full_name(image)
        if not name:
            raise ImageError(
                "the archive has no name for the image",
                where=path,
                hint=f"pass one: pumice load --input {options.input} NAME[:VERSION]",
            )
        loaded = _load_image(image, name, options, progress)
        copied.append(loaded)
        if not options.quiet:
            full_name = loaded.destination.describe(loaded.version).text.removeprefix(locations.STORE.scheme)
            print(output.printable_line(f"Loaded image: {full_name}"))
    from pumice.cli.image_access import transfer_result

    source = "standard input" if options.input == _STDIN else path
    result = transfer_result.describe_copy("loaded", copied, time.monotonic() - started)
    progress.finish(transfer_result.summarize(msgspec.structs.replace(result, source=source)))


def _load_image(
    image: SavedImage, name: str, options: argparse.Namespace, progress: Progress
) -> image_copy.CopiedImage:
    from pumice.image.transports import locations, references

    source = references.parse_source(image.location)
    destination = references.parse_destination(locations.with_scheme(locations.STORE, name))
    return image_copy.copy_image(options, lambda _: source, lambda _: destination, progress)


def _full_name(image: SavedImage) -> str:
    return f"{image.name}:{image.version}" if image.name and image.version else image.name
