"""``pumice aci extract``: unpack an App Container image into a directory."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pumice.cli.display import progress_modes
from pumice.cli.image_access import aci_options
from pumice.cli.parsing import arguments as command_line
from pumice.errors import ImageError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator


def add_parser(parser: command_line.Parser) -> None:
    """Add the action to the parser of ``pumice aci``."""
    action = command_line.add_action(
        parser,
        "extract",
        run,
        "unpack an image, without its dependencies, into a directory",
        progress=True,
        examples=("pumice aci extract hello.aci layout", "pumice aci extract --rootfs-only hello.aci root"),
    )
    action.add_argument("file", metavar="FILE", help="image to read")
    action.add_argument("directory", metavar="DIR", help="new or empty directory")
    action.add_argument(
        "--rootfs-only", action="store_true", help="unpack the root file system into DIR itself"
    )
    aci_options.add_non_standard_option(action)


def run(options: argparse.Namespace) -> int:
    """Unpack the image: the manifest and the root file system, or that alone."""
    from pumice import files
    from pumice.appc.aci_archive import MANIFEST, ROOTFS
    from pumice.image import aci_extraction

    progress = progress_modes.make_progress(options.progress)
    directory = Path(options.directory)

    def extract(target: Path) -> bytes:
        extracted = aci_extraction.extract_rootfs(
            Path(options.file), target, progress, non_standard=options.non_standard
        )
        aci_options.print_warnings(options.file, extracted.warnings)
        return extracted.manifest

    if options.rootfs_only:
        extract(directory)
        return 0
    with _open_directory(directory):
        files.replace(directory / MANIFEST, extract(directory / ROOTFS), mode=0o644)
    return 0


@contextmanager
def _open_directory(directory: Path) -> Iterator[None]:
    """Make a directory, which is removed again after an error; raises ImageError unless it is empty."""
    from pumice import ownership
    from pumice.os_errors import IMAGE, translate_os_errors

    with translate_os_errors(directory, IMAGE):
        is_new = not directory.is_dir()
        if is_new:
            ownership.make_directory(directory)
        elif any(directory.iterdir()):
            raise ImageError("the directory is not empty", where=str(directory)[:200])
        try:
            yield
        except BaseException:
            if is_new:
                shutil.rmtree(directory, ignore_errors=True)
            raise
