"""``pumice aci extract``: unpack an App Container image into a directory."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pumice.cli.display import progress_modes
from pumice.cli.image_access import aci_options
from pumice.cli.parsing import arguments as command_line
from pumice.errors import ImageError

if TYPE_CHECKING:
    import argparse


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
    from pumice import files, ownership
    from pumice.appc.aci_archive import MANIFEST, ROOTFS
    from pumice.appc.image_manifest import encode_document
    from pumice.image import aci_reader, rootfs
    from pumice.os_errors import IMAGE, translate_os_errors

    progress = progress_modes.make_progress(options.progress)
    directory = Path(options.directory)
    aci = aci_reader.read_aci(Path(options.file), progress, non_standard=options.non_standard)
    aci_options.print_warnings(options.file, aci.validated.warnings)
    image = aci.image()
    if options.rootfs_only:
        rootfs.write_directory(image, directory, progress=progress)
        return 0
    with translate_os_errors(directory, IMAGE):
        if directory.is_dir() and any(directory.iterdir()):
            raise ImageError("the directory is not empty", where=str(directory)[:200])
        if not directory.is_dir():
            ownership.make_directory(directory)
    rootfs.write_directory(image, directory / ROOTFS, progress=progress)
    files.replace(directory / MANIFEST, encode_document(aci.validated.manifest), mode=0o644)
    return 0
